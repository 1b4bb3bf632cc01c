"""Starts real backends in their own processes, with small clients for them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from websockets.sync.client import ClientConnection, connect

from chatswarm.loadtests.system.children import free_port

from .described import hold_against_the_description

PATIENCE = 20.0
"""Timeout in seconds for anything on a busy machine."""


@dataclass
class Backend:
    """A running backend. Leaving `running` ends it; `start` and `stop` are for tests of starting and stopping."""

    folder: Path
    flags: Sequence[str] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    http: httpx.Client = field(init=False)

    @property
    def database(self) -> Path:
        return self.folder / "chat.db"

    @property
    def output(self) -> str:
        return (self.folder / "out.log").read_text()

    @property
    def errors(self) -> str:
        return (self.folder / "err.log").read_text()

    def start(self, before: Callable[[], None] | None = None) -> None:
        """Start it and wait until it responds; `before` runs in the new process."""
        if not self.port:
            self.port = free_port()
        with (self.folder / "out.log").open("ab") as out, (self.folder / "err.log").open("ab") as err:
            self.process = subprocess.Popen(
                [*COMMAND, "--port", str(self.port), "--database", f"sqlite:///{self.database}", *self.flags],
                stdout=out,
                stderr=err,
                env={**clean_environment(), **self.variables},
                preexec_fn=before,
            )
        self.http = fresh_client(self.port)
        process = self.process
        until(lambda: process.poll() is not None or self._answers())
        assert process.poll() is None, self.errors

    def _answers(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        assert self.process is not None
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def new_chat(self, email: str = "ann@example.org") -> str:
        answer = self.http.post("/api/users/chats/create", json={"email": email, "name": "Ann"})
        assert answer.status_code == 200, answer.text
        chat_id: str = answer.json()["chat_id"]
        return chat_id

    def send(self, chat_id: str, content: str, key: str | None = None) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key is not None else {}
        return self.http.post(f"/api/users/chats/{chat_id}/send", json={"content": content}, headers=headers)

    def send_many(self, chat_ids: list[str], count: int) -> list[float]:
        """Send `count` messages over `chat_ids`, one at a time per chat. Returns the seconds that each send took."""
        return asyncio.run(flood(self.port, chat_ids, count))

    def by_worker(self, name: str) -> dict[str, float]:
        """A metric of each worker, by its number."""
        found: dict[str, float] = {}
        for line in self.http.get("/metrics").text.splitlines():
            match = re.fullmatch(re.escape(name).replace("worker", r'worker="(\d+)"') + r" (\S+)", line)
            if match:
                found[match[1]] = float(match[2])
        return found

    def workers(self) -> list[int]:
        """The process ids of the workers, in the order in which they started."""
        assert self.process is not None
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    @contextmanager
    def each_worker(self, count: int) -> Iterator[list[httpx.Client]]:
        """A client with a connection to each of `count` workers."""
        clients: dict[str, httpx.Client] = {}
        try:
            end = time.monotonic() + PATIENCE
            while len(clients) < count:
                assert time.monotonic() < end, "a worker accepts no connections"
                client = fresh_client(self.port)
                # The beginning of the ETag is different for each process.
                worker = client.get("/api/debug/users-chats").headers["ETag"].partition("-")[0]
                if clients.setdefault(worker, client) is not client:
                    client.close()
            yield list(clients.values())
        finally:
            for client in clients.values():
                client.close()

    @contextmanager
    def dashboards_everywhere(self, count: int) -> Iterator[list[ClientConnection]]:
        """Subscribed dashboards, at least one on each of `count` workers."""
        with ExitStack() as stack:
            dashboards = [stack.enter_context(self.dashboard())]
            name = "chat_dashboards_subscribed{worker}"
            while len(dashboards) < 50 and len([n for n in self.by_worker(name).values() if n]) < count:
                dashboards.append(stack.enter_context(self.dashboard()))
            assert len(dashboards) < 50
            yield dashboards

    def texts(self, chat_id: str) -> list[str]:
        return [message["text"] for message in self.http.get(f"/api/chats/{chat_id}").json()["messages"]]

    def metric(self, name: str) -> float:
        for line in self.http.get("/metrics").text.splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
        raise KeyError(name)

    @contextmanager
    def dashboard(self, *, subscribe: bool = True) -> Iterator[ClientConnection]:
        """A dashboard that has read `connected`, and `subscribed` if it subscribes."""
        url = f"ws://127.0.0.1:{self.port}/ws/dashboard"
        with connect(url, compression=None, proxy=None, open_timeout=PATIENCE, max_queue=None) as dashboard:
            assert frame(dashboard)["type"] == "connected"
            if subscribe:
                say(dashboard, action="subscribe", subscription_type="chat_updates")
                assert frame(dashboard)["type"] == "subscribed"
            yield dashboard


HANDSHAKE = (
    b"GET /ws/dashboard HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

COMMAND = [sys.executable, "-m", "chatswarm.backend", "--pages-port", "off"]


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CHATSWARM_")}


@contextmanager
def running(
    folder: Path,
    *flags: str,
    before: Callable[[], None] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Backend]:
    """A backend with these flags and variables; `before` runs in its process before the program."""
    backend = Backend(folder, flags, variables=variables or {})
    try:
        backend.start(before)
        yield backend
    finally:
        if backend.process is not None:
            if backend.process.poll() is None:
                backend.process.send_signal(signal.SIGCONT)
                backend.process.kill()
            backend.process.wait(PATIENCE)
            backend.http.close()


def fresh_client(port: int) -> httpx.Client:
    """A client with a new connection, which any of several workers may accept."""
    return httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        timeout=PATIENCE,
        trust_env=False,
        verify=False,
        event_hooks={"response": [hold_against_the_description]},
    )


def is_listening(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), PATIENCE):
        return True
    return False


def until(ready: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Poll until it is true."""
    end = time.monotonic() + patience
    while not ready():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.02)


def frame(socket_: ClientConnection) -> dict[str, Any]:
    """The next frame."""
    value: dict[str, Any] = json.loads(socket_.recv(timeout=PATIENCE))
    return value


def say(socket_: ClientConnection, **values: object) -> None:
    socket_.send(json.dumps(values))


def raw_dashboard(port: int, *, receive_buffer: int | None = None, subscribe: bool = True) -> socket.socket:
    """A dashboard as a raw socket after its handshake, so that it can misbehave."""
    raw = socket.socket()
    raw.settimeout(PATIENCE)
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.connect(("127.0.0.1", port))
    raw.sendall(HANDSHAKE)
    seen = b""
    while b'"connected"' not in seen:
        seen += raw.recv(4096)
    if subscribe:
        raw.sendall(client_frame(0x81, b'{"action": "subscribe", "subscription_type": "chat_updates"}'))
        while b'"subscribed"' not in seen:
            seen += raw.recv(4096)
    return raw


def client_frame(first: int, payload: bytes) -> bytes:
    """A masked frame, with a mask of zeros; `first` is its first byte: FIN, reserved bits and opcode."""
    if len(payload) < 126:
        head = bytes([first, 0x80 | len(payload)])
    elif len(payload) < 1 << 16:
        head = bytes([first, 0xFE]) + struct.pack("!H", len(payload))
    else:
        head = bytes([first, 0xFF]) + struct.pack("!Q", len(payload))
    return head + bytes(4) + payload


def read_all(raw: socket.socket) -> bytes:
    """All bytes until the connection closes, in whatever way."""
    seen = b""
    with suppress(ConnectionResetError):
        while piece := raw.recv(65536):
            seen += piece
    return seen


def frames_in(seen: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcode and payload of each complete frame from a server."""
    at = 0
    while at + 2 <= len(seen):
        length, start = seen[at + 1], at + 2
        if length == 126:
            length, start = int.from_bytes(seen[start : start + 2], "big"), start + 2
        if start + length > len(seen):
            return
        yield seen[at] & 0xF, seen[start : start + length]
        at = start + length


def close_code(raw: socket.socket) -> int | None:
    """Read until the connection closes; returns the code of the close frame, if there was one."""
    for opcode, payload in frames_in(read_all(raw)):
        if opcode == 0x8:
            return int.from_bytes(payload[:2], "big")
    return None


async def flood(port: int, chat_ids: list[str], count: int) -> list[float]:
    """Post `count` messages of 200 bytes as fast as responses arrive. Returns the seconds that each took."""
    taken: list[float] = []
    left = iter(range(count))

    async def send(chat_id: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps({"content": "x" * 200, "role": "user"}).encode()
        request = (
            f"POST /api/users/chats/{chat_id}/send HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        for _ in left:
            started = time.monotonic()
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            assert head.startswith(b"HTTP/1.1 200 "), head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
            await asyncio.wait_for(reader.readexactly(length), PATIENCE)
            taken.append(time.monotonic() - started)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*[send(chat_id) for chat_id in chat_ids])
    return taken
