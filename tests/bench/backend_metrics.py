"""What the backend's metrics cost: the CPU for counting a message, as a share of all CPU for the message.

Counting is measured on a hub with idle dashboards, in alternating blocks with and without it, because a few
microseconds would be lost in the noise of a whole backend. The message is measured in a whole backend at full rate.
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
"""Messages per second, and for how many seconds."""
BLOCKS, BLOCK = 40, 200
"""Pairs of blocks with and without counting, and the messages in each block."""

PATIENCE = 20.0
"""Seconds until an operation on a socket times out."""

SUBSCRIBE = b'{"action": "subscribe", "subscription_type": "chat_updates"}'
HANDSHAKE = (
    b"GET /ws/dashboard HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def figures() -> Iterator[Figure]:
    for dashboards in (1, DASHBOARDS):
        counting = fresh("backend_metrics", str(dashboards))["seconds"]
        with running(dashboards) as backend:
            backend.cpu()  # warm-up
            rest = backend.cpu() - counting
        name = f"backend's metrics: share of its CPU, dashboards: {dashboards}"
        yield Figure(name, 100 * counting / rest, PERCENT, "%")


class Loaded:
    """A backend with its dashboards, and one widget that sends."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self._port = port
        self._widget = socket.create_connection(("127.0.0.1", port), PATIENCE)
        made = self._post("/api/users/chats/create", b'{"email": "a@x", "name": "Ann"}')
        self._path = f"/api/users/chats/{json.loads(made)['chat_id']}/send"

    def cpu(self) -> float:
        """Sends at the rate for a while. Returns the backend's CPU seconds per message."""
        before, count = self._cpu(), int(RATE * SECONDS)
        due = time.perf_counter()
        for _ in range(count):
            self._post(self._path, b'{"content": "%s", "role": "user"}' % (b"x" * 100))
            due += 1 / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
        return (self._cpu() - before) / count

    def _cpu(self) -> float:
        """The CPU seconds of all its threads, from the scheduler: the usual counters have steps of 10 ms."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def _post(self, path: str, body: bytes) -> bytes:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._widget.sendall(head.encode() + body)
        # Each response is one JSON object without nested ones.
        response = _read_until(self._widget, b"}")
        assert response.startswith(b"HTTP/1.1 200 "), response
        return response.split(b"\r\n\r\n", 1)[1]


@contextmanager
def running(dashboards: int) -> Iterator[Loaded]:
    """A backend with dashboards that read and discard everything."""
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
    for request, reply in ((HANDSHAKE, b'"connected"'), (subscribe, b'"subscribed"')):
        dashboard.sendall(request)
        _read_until(dashboard, reply)
    return dashboard


def _read_until(connection: socket.socket, end: bytes) -> bytes:
    """Reads until `end` is in the data, and returns the data."""
    data = b""
    while end not in data:
        piece = connection.recv(1 << 16)
        assert piece, f"expected {end!r}, got {data!r} and the end"
        data += piece
    return data


def _read(selector: selectors.BaseSelector, end: threading.Event) -> None:
    buffer = bytearray(1 << 16)
    while not end.is_set():
        for key, _ in selector.select(0.2):
            assert isinstance(key.fileobj, socket.socket)
            if not key.fileobj.recv_into(buffer):
                selector.unregister(key.fileobj)


class NullDashboard:
    """A subscriber that does nothing."""

    def write(self, _data: bytes) -> bool:
        return True

    def unsent(self) -> int:
        return 0


async def counting(dashboards: int) -> float:
    """CPU seconds for counting one message, each with its own commit and broadcast."""
    metrics = BackendMetrics()

    async def block(*, count: bool) -> float:
        hub = Hub(metrics, join_window=0.0, held_limit=0)
        for _ in range(dashboards):
            hub.subscribe(NullDashboard(), "x")
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

    observe, count_slice = FastHistogram.observe, Hub._count
    differences: list[float] = []
    for _ in range(BLOCKS):
        FastHistogram.observe, Hub._count = observe, count_slice  # type: ignore[method-assign]
        used = await block(count=True)
        FastHistogram.observe = Hub._count = lambda *_: None  # type: ignore[method-assign, assignment]
        differences.append(used - await block(count=False))
    FastHistogram.observe, Hub._count = observe, count_slice  # type: ignore[method-assign]
    expected = BLOCKS * BLOCK * dashboards
    assert metrics.registry.get_sample_value("chat_delivery_seconds_count") == expected
    return median(differences) + await _lag() / loop_lag.EVERY / RATE


async def _lag() -> float:
    """CPU seconds for one measurement of the loop's lag."""
    begun = time.process_time()
    for _ in range(BLOCK):
        await asyncio.sleep(0.001)
    return (time.process_time() - begun) / BLOCK


def main() -> None:
    """Runs in a fresh process."""
    print(json.dumps({"seconds": uvloop.run(counting(int(sys.argv[1])))}))


if __name__ == "__main__":
    main()
