"""Starts the tutorial's chat as a tutorial does, `uvicorn app:app`, on the project's own uvicorn, uvloop and httptools.

So it writes uvicorn's access log, a line for each request, here to nowhere.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from chatswarm.loadtests.system.children import free_port
from tests.bench.chat_servers import ChatServer, guide_wire, process

_CHAT = str(UUID(int=0))


@contextmanager
def tutorial(port: int | None = None) -> Iterator[ChatServer]:
    """The tutorial's chat, by default on a free port."""
    port = port or free_port()
    application = "tests.bench.opponents.tutorial_app:app"
    command = [sys.executable, "-m", "uvicorn", application, "--port", str(port)]
    with process(command, port) as pid:
        yield ChatServer(pid, port, guide_wire(_CHAT))
