"""A chat that ends badly."""

import asyncio
import signal
from dataclasses import dataclass

from .chat import Chat


@dataclass
class ForgetsToSayGoodbye(Chat):
    """Not kept: *on SIGTERM, what was accepted is finished and dashboards are told*. It ends at once: 1006 for all.

    Nobody wrote a handler for SIGTERM, or a wrapper script took the signal and the process was killed after it.
    """

    async def start(self) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
