"""A broken chat that does not shut down properly."""

import asyncio
import signal
from dataclasses import dataclass

from .chat import Chat


@dataclass
class ForgetsToSayGoodbye(Chat):
    """Broken: *on SIGTERM, accepted requests are finished and dashboards get a close frame*. It exits at once.

    There is no handler for SIGTERM, or a wrapper script swallowed it and the process was killed. All see a 1006.
    """

    async def start(self) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
