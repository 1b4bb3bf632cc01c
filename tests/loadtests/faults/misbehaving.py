"""Scriptable servers, and rogues that attack them in this process, for the tests of rogues."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from chatswarm.loadtests.faults.fault import Fault, FaultContext
from chatswarm.loadtests.faults.rogue_faults import ROGUES
from chatswarm.loadtests.faults.rogues.instructions import Instructions
from chatswarm.loadtests.faults.rogues.rogue import CannotBeginError
from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.protocols.secrets import TOKEN
from chatswarm.loadtests.scenario.fault_kinds import FAULT_KINDS, FaultPlan

from .harness import PATIENCE

CONNECTED = b'{"type": "connected", "connection_id": "1", "message": ""}'
SUBSCRIBED = b'{"type": "subscribed", "subscription_type": "chat_updates"}'
ERROR = b'{"type": "error", "message": "no"}'
PONG = b'{"type": "pong"}'
TEXT, CLOSE, PING, CLIENT_PONG = 0x81, 0x88, 0x89, 0x8A


@dataclass
class Connection:
    """The server's end of one connection, served by its own thread."""

    sock: socket.socket
    number: int  # from 0, in the order accepted
    peer: str
    seen: bytes = b""
    head_read: bool = False

    def head(self) -> str:
        """Reads the request's head. Raises ConnectionError if the connection ends first."""
        while b"\r\n\r\n" not in self.seen:
            self._more()
        head, _, self.seen = self.seen.partition(b"\r\n\r\n")
        self.head_read = True
        return head.decode()

    def refuse(self, status: int) -> None:
        if not self.head_read:
            self.head()
        self.sock.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)

    def upgrade(self, head: str | None = None) -> None:
        lines = (head or self.head()).split("\r\n")
        key = next(line.partition(": ")[2] for line in lines if line.lower().startswith("sec-websocket-key:"))
        accept = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        self.sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(accept) + b"\r\n\r\n"
        )

    def dashboard(self, head: str | None = None) -> None:
        """Behaves like a proper server up to the subscription."""
        self.upgrade(head)
        self.send(TEXT, CONNECTED)
        self.frame()
        self.send(TEXT, SUBSCRIBED)

    def send(self, first: int, payload: bytes) -> None:
        length = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + struct.pack("!H", len(payload))
        self.sock.sendall(bytes([first]) + length + payload)

    def frame(self) -> tuple[int, bytes]:
        """Reads the client's next frame. Raises ConnectionError at the end."""
        head = self._exactly(2)
        length = head[1] & 0x7F
        if length > 125:
            length = int.from_bytes(self._exactly(2 if length == 126 else 8))
        mask = self._exactly(4) if head[1] & 0x80 else bytes(4)
        return head[0], bytes(byte ^ mask[at % 4] for at, byte in enumerate(self._exactly(length)))

    def close(self, code: int) -> None:
        """Closes properly: sends a close frame, then reads to the end."""
        self.send(CLOSE, struct.pack("!H", code))
        self.sock.shutdown(socket.SHUT_WR)
        self.read_on()

    def abort(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def read_on(self) -> None:
        while self.sock.recv(1 << 16):
            pass

    def _exactly(self, count: int) -> bytes:
        while len(self.seen) < count:
            self._more()
        data, self.seen = self.seen[:count], self.seen[count:]
        return data

    def _more(self) -> None:
        if not (data := self.sock.recv(1 << 16)):
            raise ConnectionResetError
        self.seen += data


@dataclass
class Server:
    """A listener, and all connections that it has accepted."""

    listener: socket.socket
    url: str
    connections: list[Connection] = field(default_factory=list)
    ended: list[Connection] = field(default_factory=list)


@contextmanager
def server(
    serve: Callable[[Connection], object], tls: ssl.SSLContext | None = None, listener: socket.socket | None = None
) -> Iterator[Server]:
    """Runs `serve` in a thread for each connection, and closes the connection when it returns."""
    with listener or socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        scheme = "http" if tls is None else "https"
        self = Server(listener, f"{scheme}://localhost:{listener.getsockname()[1]}")
        threads: list[threading.Thread] = []

        def answer(connection: Connection) -> None:
            with contextlib.suppress(OSError):
                if tls is not None:
                    connection.sock = tls.wrap_socket(connection.sock, server_side=True)
                serve(connection)
            connection.sock.close()
            self.ended.append(connection)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, peer = listener.accept()
                    sock.settimeout(PATIENCE)
                    connection = Connection(sock, len(self.connections), str(peer[0]))
                    self.connections.append(connection)
                    threads.append(threading.Thread(target=answer, args=(connection,), daemon=True))
                    threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield self
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join(PATIENCE)
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(PATIENCE)


def attack(
    kind: str,
    url: str,
    until: Callable[[Any], object],
    *,
    token: str | None = None,
    environment: Mapping[str, str] | None = None,
    protocol: str = "reference",
    run: str = "",
    rooms: Sequence[str] = (),
    **values: Any,
) -> dict[str, Any]:
    """Runs rogues in this process until `until` is true of them. Returns their evidence. Raises CannotBeginError."""
    secrets = environment or ({} if token is None else {TOKEN: token})
    instructions = Instructions(kind, url, protocol, run, rooms, values)

    async def attacked() -> dict[str, Any]:
        async with asyncio.TaskGroup() as tasks:
            rogue = instructions.rogue(tasks, secrets)
            try:
                await rogue.begin()
                deadline = time.monotonic() + PATIENCE
                while not until(rogue):
                    assert time.monotonic() < deadline, "gave up waiting"
                    await asyncio.sleep(0.02)
            except CannotBeginError as error:
                return {"problem": error}
            finally:
                evidence = await rogue.end()
            return dict(evidence)

    found = asyncio.run(attacked())
    if "problem" in found:
        raise cast("Exception", found["problem"])
    return found


def fault(kind: str, url: str, folder: Path, *, token: str | None = None, **values: float | str) -> Fault:
    """One occurrence of a rogue fault, not begun yet, as the nemesis makes it."""
    defaults = {key: parameter.default for key, parameter in FAULT_KINDS[kind].parameters.items()}
    plan = FaultPlan(
        name="f",
        kind=kind,
        at=0.0,
        length=1.0,
        every=None,
        on="target",
        values=cast("Any", {**defaults, **values}),
    )
    return ROGUES[kind](plan, 0, FaultContext(url, "reference", folder, cast("Any", None), token=token))


def did_nothing(evidence: Evidence) -> bool:
    return all(not value for value in evidence.values())
