"""What the backend's metrics cost it: the CPU that counting takes for each message, of all that a message costs it.

The counting is measured on a hub whose dashboards do nothing, in blocks with and without, because a few microseconds
drown in the noise of a whole backend; the message in a whole backend at the full rate.
"""

import asyncio
import json
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import uvloop

from chatswarm.backend.fanout.hub import Hub
from chatswarm.backend.metrics import loop_lag
from chatswarm.backend.metrics.histogram import FastHistogram
from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.wire.frames import OutgoingFrame

from .figure import ROOT, Figure, fresh

PERCENT = 3.0
DASHBOARDS = 300
RATE, SECONDS = 100, 4.0
"""Messages a second, and for how long."""
BLOCKS, BLOCK = 40, 200
"""Blocks of messages with and without, and how many messages each has."""

PATIENCE = 20.0
"""Seconds that anything may take before this gives up."""

SUBSCRIBE = b'{"action": "subscribe", "subscription_type": "chat_updates"}'
HANDSHAKE = (
    b"GET /ws/dashboard HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def figures() -> Iterator[Figure]:
    for dashboards in (1, DASHBOARDS):
        counting = fresh("backend_metrics", str(dashboards))["seconds"]
        with running(dashboards) as backend:
            backend.cpu()  # pays for what is made once
            rest = backend.cpu() - counting
        name = f"backend's metrics: of its CPU, dashboards: {dashboards}"
        yield Figure(name, 100 * counting / rest, PERCENT, "%")


class Loaded:
    """A backend with its dashboards, and the widget that sends."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self._port = port
        self._widget = socket.create_connection(("127.0.0.1", port), PATIENCE)
        made = self._post("/api/users/chats/create", b'{"email": "a@x", "name": "Ann"}')
        self._path = f"/api/users/chats/{json.loads(made)['chat_id']}/send"

    def cpu(self) -> float:
        """Send for a while, at the rate; the CPU seconds of the backend for each message."""
        before, count = self._cpu(), int(RATE * SECONDS)
        due = time.perf_counter()
        for _ in range(count):
            self._post(self._path, b'{"content": "%s", "role": "user"}' % (b"x" * 100))
            due += 1 / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
        return (self._cpu() - before) / count

    def _cpu(self) -> float:
        """Of all its threads, in seconds. The usual counters have steps of 10 ms, the scheduler's have none."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def _post(self, path: str, body: bytes) -> bytes:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._widget.sendall(head.encode() + body)
        # All answers to it are one JSON object with none in it.
        said = _until(self._widget, b"}")
        assert said.startswith(b"HTTP/1.1 200 "), said
        return said.split(b"\r\n\r\n", 1)[1]


@contextmanager
def running(dashboards: int) -> Iterator[Loaded]:
    """A backend with its dashboards, which read everything and look at nothing."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        command = [sys.executable, "-m", "chatswarm.backend"]
        flags = ["--port", str(port), "--database", f"sqlite:///{folder}/chat.db"]
        process = subprocess.Popen([*command, *flags], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.kill)
        while not _listening(port):
            assert process.poll() is None, "the backend did not start"
            time.sleep(0.05)
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(dashboards):
            selector.register(stack.enter_context(_dashboard(port)), selectors.EVENT_READ)
        end = threading.Event()
        reader = threading.Thread(target=_read, args=(selector, end))
        reader.start()
        stack.callback(reader.join)
        stack.callback(end.set)
        yield Loaded(process.pid, port)


def _listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def _dashboard(port: int) -> socket.socket:
    dashboard = socket.create_connection(("127.0.0.1", port), PATIENCE)
    subscribe = bytes([0x81, 0x80 | len(SUBSCRIBE)]) + bytes(4) + SUBSCRIBE
    for say, answer in ((HANDSHAKE, b'"connected"'), (subscribe, b'"subscribed"')):
        dashboard.sendall(say)
        _until(dashboard, answer)
    return dashboard


def _until(connection: socket.socket, end: bytes) -> bytes:
    """What the backend says, until this is in it."""
    said = b""
    while end not in said:
        piece = connection.recv(1 << 16)
        assert piece, f"expected {end!r}, got {said!r} and the end"
        said += piece
    return said


def _read(selector: selectors.BaseSelector, end: threading.Event) -> None:
    buffer = bytearray(1 << 16)
    while not end.is_set():
        for key, _ in selector.select(0.2):
            assert isinstance(key.fileobj, socket.socket)
            if not key.fileobj.recv_into(buffer):
                selector.unregister(key.fileobj)


class Nobody:
    """An outlet that does nothing."""

    def write(self, _data: bytes) -> bool:
        return True

    def unsent(self) -> int:
        return 0


async def counting(dashboards: int) -> float:
    """CPU seconds that counting takes for each message, each in a commit and a broadcast of its own."""
    metrics = BackendMetrics()

    async def block(*, count: bool) -> float:
        hub = Hub(metrics, join_window=0.0, held_limit=0)
        for _ in range(dashboards):
            hub.subscribe(Nobody(), "x")
        begun = time.process_time()
        for number in range(1, BLOCK + 1):
            if count:
                metrics.accepted["user"].inc()
                metrics.commit_seconds.observe(0.001)
                metrics.commit_writes.observe(1)
            hub.publish([OutgoingFrame(number, b"x", time.monotonic())])
            for _ in range(dashboards // 200 + 1):
                await asyncio.sleep(0)
        return (time.process_time() - begun) / BLOCK

    observe, after_each_slice = FastHistogram.observe, Hub._count
    differences: list[float] = []
    for _ in range(BLOCKS):
        FastHistogram.observe, Hub._count = observe, after_each_slice  # type: ignore[method-assign]
        used = await block(count=True)
        FastHistogram.observe = Hub._count = lambda *_: None  # type: ignore[method-assign, assignment]
        differences.append(used - await block(count=False))
    FastHistogram.observe, Hub._count = observe, after_each_slice  # type: ignore[method-assign]
    expected = BLOCKS * BLOCK * dashboards
    assert metrics.registry.get_sample_value("chat_delivery_seconds_count") == expected
    return median(differences) + await _lag() / loop_lag.EVERY / RATE


async def _lag() -> float:
    """CPU seconds of one look at the loop's lag."""
    begun = time.process_time()
    for _ in range(BLOCK):
        await asyncio.sleep(0.001)
    return (time.process_time() - begun) / BLOCK


def main() -> None:
    """In a process of its own."""
    print(json.dumps({"seconds": uvloop.run(counting(int(sys.argv[1])))}))


if __name__ == "__main__":
    main()
