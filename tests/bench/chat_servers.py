"""Starts chat servers for rows, each in its own process, and reads how much CPU they use."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from chatswarm.loadtests.system.children import free_port
from tests.backend.servers import is_listening

from .driver import PATIENCE, HttpConnection, Wire, client_frame, handshake, post
from .figure import ROOT

SUBSCRIBE = client_frame(b'{"action": "subscribe", "subscription_type": "chat_updates"}')
FIN_TEXT = 0x81
"""The first byte of a text frame. It is in no ASCII text, and the lengths of the servers' frames are others."""


@dataclass(frozen=True)
class ChatServer:
    """A running server."""

    pid: int
    port: int
    wire: Wire

    def cpu(self) -> float:
        """The CPU seconds of all its threads, from the scheduler: the usual counters have steps of 10 ms."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


Starts = Callable[[], AbstractContextManager[ChatServer]]
"""Starts a server and ends it."""


@contextmanager
def process(command: Sequence[str], port: int, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """Starts a server and waits until it listens. Yields its process id."""
    variables = {**os.environ, **(environment or {})}
    nowhere = subprocess.DEVNULL
    server = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=nowhere, stderr=nowhere)
    try:
        end = time.monotonic() + PATIENCE
        while not is_listening(port):
            assert server.poll() is None, f"{command[0]} did not start"
            assert time.monotonic() < end, f"{command[0]} does not listen"
            time.sleep(0.05)
        yield server.pid
    finally:
        server.kill()
        server.wait()


@contextmanager
def reference_chat() -> Iterator[ChatServer]:
    """The reference chat, with a fresh database and one chat."""
    # Started as the opponents are, and not by ReferenceBackend: in a separate session, it would take more CPU here.
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        flags = ["--port", str(port), "--database", f"sqlite:///{folder}/chat.db", "--pages-port", "off"]
        with process([sys.executable, "-m", "chatswarm.backend", *flags], port) as pid:
            yield ChatServer(pid, port, guide_wire(new_chat(port, "a@x")))


def new_chat(port: int, email: str) -> str:
    """Opens a chat. Returns its id."""
    connection = HttpConnection(port)
    made = connection.answer(post("/api/users/chats/create", json.dumps({"email": email, "name": "Ann"}).encode()))
    connection.close()
    chat_id: str = json.loads(made)["chat_id"]
    return chat_id


def guide_wire(chat_id: str) -> Wire:
    """How to speak to a chat that speaks the guide's protocol."""
    body = json.dumps({"content": "x" * 100, "role": "user"}).encode()
    steps = [(handshake("/ws/dashboard"), b'"connected"'), (SUBSCRIBE, b'"subscribed"')]
    return Wire(steps, FIN_TEXT, post(f"/api/users/chats/{chat_id}/send", body))
