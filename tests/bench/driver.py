"""Drives a chat server from raw sockets in one epoll loop: many dashboards, one widget, and readers of the list.

It is cheap on purpose, because it shares the machine with the server that is measured. It decodes nothing: it counts
announcements by a byte that each has once, and that the server sends nowhere else.
"""

import re
import resource
import select
import socket
import time
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from statistics import quantiles
from typing import Final

PATIENCE: Final = 10.0
"""Seconds without any event after which the driver gives up."""

_PER_ADDRESS: Final = 10_000
"""Connections from one loopback address, which has 28,000 ports."""

_AT_ONCE: Final = 500
"""Connections that are being opened: fewer than fit into the queue of a listening socket."""

_SPARE_FILES: Final = 100
_TINY: Final = 2048  # bytes
_PORT_AT_CONNECT: Final = 24  # IP_BIND_ADDRESS_NO_PORT
_PING: Final = b"\x89\x04"
"""The head of uvicorn's pings, which is in no text."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TAG = re.compile(rb"\r\netag: *(\S+)", re.IGNORECASE)


@dataclass(frozen=True)
class Wire:
    """How one server is spoken to."""

    steps: Sequence[tuple[bytes, bytes]]
    """What a dashboard writes, and the text for which it then waits, up to its subscription."""
    mark: int
    """The byte that is once in every announcement."""
    message: bytes
    """A widget's whole request."""


@dataclass
class Load:
    """What became of the messages that were sent."""

    messages: int
    expected: int
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    """Of each delivery, in seconds since the message was due."""
    refetches: int = 0
    fresh: int = 0
    """Refetches that got a list, and no 304."""

    @property
    def lost(self) -> int:
        return self.expected - len(self.latencies)

    def quantile(self, percent: int) -> float:
        """Of all latencies, in seconds; a lost delivery counts as infinite."""
        values = [*self.latencies, *[inf] * max(0, self.lost)]
        return quantiles(values, n=100, method="inclusive")[percent - 1]


class HttpConnection:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = bytearray()
        self._size = 0
        self.head = b""
        self.idle = True

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, request: bytes) -> None:
        self.idle = False
        self._size = 0
        self._data.clear()
        self._socket.sendall(request)

    def ask_again(self, request: bytes) -> None:
        """Asks as a browser does: with the tag of the last response. `request` lacks its empty line."""
        tag = _TAG.search(self.head)
        self.ask(request + (b"If-None-Match: %s\r\n\r\n" % tag[1] if tag else b"\r\n"))

    def read(self) -> None:
        """Reads once. The connection is idle when the response is complete. Raises AssertionError if it is no 2xx or
        304.
        """
        piece = self._socket.recv(1 << 17)
        assert piece, "expected a response, got the end of the connection"
        self._data += piece
        if not self._size:
            at = self._data.find(b"\r\n\r\n")
            if at < 0:
                return
            self.head = bytes(self._data[:at])
            assert self.head[9:12] in (b"200", b"304"), bytes(self._data)
            length = _LENGTH.search(self.head)
            self._size = at + 4 + (int(length[1]) if length else 0)
        self.idle = len(self._data) == self._size

    def answer(self, request: bytes) -> bytes:
        """The body of a short response."""
        self.ask(request)
        while not self.idle:
            self.read()
        return bytes(self._data).partition(b"\r\n\r\n")[2]

    def close(self) -> None:
        self._socket.close()


class Driver:
    """Dashboards and one widget at one server. Use `driving`, which closes them."""

    def __init__(self, port: int, wire: Wire) -> None:
        self._port = port
        self._wire = wire
        self._dashboards: dict[int, socket.socket] = {}
        self._seen: dict[int, int] = {}
        self._epoll = select.epoll()
        self._widget: HttpConnection | None = None
        self._readers: list[HttpConnection] = []
        self._buffer = bytearray(1 << 16)
        self.cut_off = 0
        """Dashboards whose connection the server has closed."""

    def connect(self, count: int, receive_buffer: int | None = None) -> float:
        """Adds dashboards. Returns the seconds until the last of them was subscribed."""
        steps, at = self._wire.steps, {}
        begun = time.perf_counter()
        opened = done = 0
        while done < count:
            while opened < count and opened - done < _AT_ONCE:
                dashboard = self._open(len(self._dashboards), receive_buffer)
                dashboard.sendall(steps[0][0])
                at[dashboard.fileno()] = (0, b"")
                opened += 1
            events = self._epoll.poll(PATIENCE)
            assert events, f"expected {count} dashboards, got {done}"
            for number, _ in events:
                step, data = at[number]
                data += self._dashboards[number].recv(1 << 16)
                if steps[step][1] not in data:
                    at[number] = (step, data)
                elif step + 1 == len(steps):
                    done += 1
                    self._seen[number] = 0
                else:
                    self._dashboards[number].sendall(steps[step + 1][0])
                    at[number] = (step + 1, b"")
        return time.perf_counter() - begun

    def stall(self) -> int:
        """One more dashboard, which then reads nothing. It counts nowhere. Returns its number."""
        before = set(self._dashboards)
        self.connect(1, _TINY)
        (number,) = set(self._dashboards) - before
        self._epoll.unregister(number)
        del self._seen[number]
        return number

    def is_reset(self, number: int) -> bool:
        """Whether the server has aborted this dashboard's connection."""
        poll = select.poll()
        poll.register(number, select.POLLHUP)
        return bool(poll.poll(0))

    def send(self, rate: float, count: int, *, refetches: float = 0.0, request: bytes = b"") -> Load:
        """Sends `count` messages at `rate` per second, and waits until each is on every dashboard. Meanwhile
        `refetches` per second `request` the list on the readers' connections, as a browser does: with the last tag.
        """
        seen, receive = dict.fromkeys(self._seen, 0), self._receive
        load = Load(count, count * len(seen))
        dues: list[float] = []
        widget = self._widget = self._widget or HttpConnection(self._port)
        begun = answered = next_refetch = time.perf_counter()
        self._epoll.register(widget, select.EPOLLIN)
        free = deque(self._readers)
        by_number = {reader.fileno(): reader for reader in self._readers}
        while len(dues) < count or not widget.idle or load.lost > 0 or len(free) < len(self._readers):
            now = time.perf_counter()
            due = begun + len(dues) / rate
            sending = len(dues) < count
            if sending and widget.idle and now >= due:
                # If the server was slow to answer, the message is late by its fault; otherwise by ours.
                dues.append(due if answered > due else now)
                widget.ask(self._wire.message)
                continue
            if sending and free and refetches and now >= next_refetch:
                free.popleft().ask_again(request)
                load.refetches += 1
                next_refetch += 1 / refetches
                continue
            wait = PATIENCE
            if sending:
                next_one = min(due if widget.idle else inf, next_refetch if refetches and free else inf)
                wait = max(0.0, min(next_one - now, PATIENCE))
            events = self._epoll.poll(wait)
            if not events and wait == PATIENCE:
                break  # what is missing now is lost
            for number, _ in events:
                if number in seen:
                    receive(number, seen, dues, load.latencies)
                elif reader := by_number.get(number):
                    reader.read()
                    if reader.idle:
                        load.fresh += reader.head[9:12] == b"200"
                        free.append(reader)
                else:
                    widget.read()
                    answered = time.perf_counter()
        self._epoll.unregister(widget)
        return load

    def add_readers(self, count: int) -> None:
        """Connections on which `send` reads the list."""
        for _ in range(count):
            reader = HttpConnection(self._port)
            self._readers.append(reader)
            self._epoll.register(reader, select.EPOLLIN)

    def close(self) -> None:
        for dashboard in self._dashboards.values():
            dashboard.close()
        for connection in [*self._readers, *([self._widget] if self._widget else [])]:
            connection.close()
        self._epoll.close()

    def _receive(self, number: int, seen: dict[int, int], dues: list[float], latencies: "array[float]") -> None:
        size = self._dashboards[number].recv_into(self._buffer)
        moment = time.perf_counter()
        if not size:
            self._epoll.unregister(number)
            del seen[number], self._seen[number]
            self.cut_off += 1
            return
        first, buffer = seen[number], self._buffer
        until = first + buffer.count(self._wire.mark, 0, size)
        ping = buffer.find(_PING, 0, size)
        if ping >= 0:
            payload = buffer[ping + 2 : ping + 6]
            until -= payload.count(self._wire.mark)
            self._dashboards[number].send(b"\x8a\x84\0\0\0\0" + payload)
        seen[number] = until
        for message in range(first, until):
            latencies.append(moment - dues[message])

    def _open(self, number: int, receive_buffer: int | None) -> socket.socket:
        opened = socket.socket()
        if receive_buffer is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        opened.setsockopt(socket.IPPROTO_IP, _PORT_AT_CONNECT, 1)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.bind((f"127.0.0.{1 + number // _PER_ADDRESS}", 0))
        opened.connect(("127.0.0.1", self._port))
        opened.setblocking(False)
        self._dashboards[opened.fileno()] = opened
        self._epoll.register(opened, select.EPOLLIN)
        return opened


@contextmanager
def driving(port: int, wire: Wire, dashboards: int) -> Iterator[Driver]:
    """A driver with this many dashboards, each with an open file of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, dashboards + _SPARE_FILES)), hard))
    driver = Driver(port, wire)
    try:
        driver.connect(dashboards)
        yield driver
    finally:
        driver.close()


def post(path: str, body: bytes, headers: Sequence[str] = ()) -> bytes:
    """A whole request with a JSON body."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def handshake(path: str) -> bytes:
    """The request that opens a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def client_frame(text: bytes) -> bytes:
    """A text frame of up to 125 bytes, with a mask of zeros."""
    assert len(text) < 126
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text
