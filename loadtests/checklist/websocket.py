"""The checklist's dashboard WebSocket: blocking, with a deadline for every wait.

Every `deadline` is a `time.monotonic()` time. Every failure is a `ProbeError`.
"""

import contextlib
import queue
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from chatswarm.loadtests.net.cookies import CookieJar
from chatswarm.loadtests.net.dialing import Dialer, DialError, request_target, seconds_left, start_thread
from chatswarm.loadtests.net.encodings import decoded
from chatswarm.loadtests.net.responses import Reader, ResponseHead, read_body, read_head
from chatswarm.loadtests.protocols.protocol import Handshake

from .http import MAX_SIZE, ProbeError, as_probe_errors, dial, excerpt, peer_of, with_cookies
from .symptoms import Failure

_MAX_REFUSAL = 1 << 16  # bytes of the body of a refused handshake that are read
_REFUSAL = 0.3  # seconds to wait for them: the status matters more
_POLL = 0.05  # seconds between checks whether to stop listening
_HANDSHAKE = (
    "upgrade",
    "connection",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
)


class Arrival(NamedTuple):
    """One text or binary message, and when it arrived."""

    at: float
    data: bytes


class DashboardSocket:
    """A WebSocket client for one thread at a time. `listen` hands it to its own thread for good."""

    def __init__(
        self,
        dialer: Dialer,
        handshake: Handshake,
        origin: str | None = None,
        turn: int = 0,
        cookies: CookieJar | None = None,
    ) -> None:
        self._dialer = dialer
        self._turn = turn
        self._cookies = CookieJar() if cookies is None else cookies
        url = replace(dialer.address, prefix="").socket_url + request_target(dialer.address, handshake.path)
        offered = [Subprotocol(name) for name in handshake.subprotocols] or None
        self._protocol = ClientProtocol(parse_uri(url), subprotocols=offered, max_size=MAX_SIZE)
        self._url = url
        headers = {**handshake.headers, **({} if origin is None else {"Origin": origin})}
        self._headers = with_cookies(headers, self._cookies.header(url))
        self._sock: socket.socket | None = None
        self._arrivals: deque[Arrival] = deque()
        self._pieces: list[bytes] = []
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.peer = ""  # the IP address that it is connected to

    def open(self, deadline: float) -> None:
        """Connects, and completes the opening handshake."""
        self._sock = dial(self._dialer, deadline, self._turn)
        self.peer = peer_of(self._sock)
        request = self._protocol.connect()
        request.headers.update(self._headers)
        self._protocol.send_request(request)
        self._flush(deadline)
        reader = Reader(self._sock, deadline)
        with as_probe_errors():
            head = read_head(reader)
        self._cookies.store(self._url, head.fields)
        if head.status != 101:
            raise _refused(reader, head)
        self._upgrade(head, bytes(reader.buffer))

    def _upgrade(self, head: ResponseHead, rest: bytes) -> None:
        """Has `websockets` validate the handshake, reduced to the headers it needs, and read what came after it."""
        lines = [f"{name}: {value}" for name, value in head.fields if name in _HANDSHAKE]
        response = "\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, "", ""]).encode("latin-1")
        self._protocol.receive_data(response)
        if (error := self._protocol.handshake_exc) is not None:
            raise ProbeError(Failure.NOT_WEBSOCKET, excerpt(str(error.__cause__ or error)))
        if rest:
            self._protocol.receive_data(rest)
        self._collect(time.monotonic())

    def send(self, data: str | bytes, deadline: float) -> None:
        """Sends one text or binary frame."""
        if self._protocol.state is not State.OPEN:
            raise ProbeError(Failure.CLOSED, self._close_reason())
        if isinstance(data, bytes):
            self._protocol.send_binary(data)
        else:
            self._protocol.send_text(data.encode())
        self._flush(deadline)

    def receive(self, deadline: float) -> Arrival:
        """The next message. Raises NO_FRAME if none came in time, and CLOSED if none can come any more."""
        while not self._arrivals:
            if isinstance(self._protocol.parser_exc, PayloadTooBig):
                raise ProbeError(Failure.NOT_READ_HERE, f"a message of more than {MAX_SIZE >> 20} MiB")
            if self._protocol.state is not State.OPEN:
                raise ProbeError(Failure.CLOSED, self._close_reason())
            try:
                self._receive_once(deadline)
            except TimeoutError:
                raise ProbeError(Failure.NO_FRAME) from None
        return self._arrivals.popleft()

    def listen(self, events: "queue.SimpleQueue[Any]") -> None:
        """From now on, puts every Arrival into `events`, and finally the ProbeError that ended the connection."""

        def pump() -> None:
            while not self._stopped.is_set():
                try:
                    events.put(self.receive(time.monotonic() + _POLL))
                except ProbeError as error:
                    if error.failure is not Failure.NO_FRAME:
                        events.put(error)
                        return

        try:
            self._thread = start_thread(pump, "dashboard")
        except DialError as error:
            raise ProbeError.from_dial(error) from error

    def close(self) -> None:
        """Sends a close frame and closes, without waiting for the other side."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(4 * _POLL)
        if self._sock is None:
            return
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            with contextlib.suppress(ProbeError):
                self._flush(time.monotonic() + _POLL)
        self._sock.close()

    def cut(self) -> None:
        """Ends the connection without a close frame, as when a network is gone."""
        if self._sock is not None:
            self._sock.close()

    def can_be_read(self) -> bool:
        """Whether `receive` has something to say at once, without reading from the network."""
        waiting = isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0
        return bool(self._arrivals) or self._protocol.state is not State.OPEN or waiting

    def fileno(self) -> int:
        """For `first_readable`."""
        assert self._sock is not None
        return self._sock.fileno()

    def _receive_once(self, deadline: float) -> None:
        assert self._sock is not None
        self._sock.settimeout(seconds_left(deadline))
        try:
            data = self._sock.recv(1 << 16)
        except TimeoutError:
            raise
        except OSError:
            data = b""  # a reset ends the connection just as an end of file does
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        self._collect(time.monotonic())
        with contextlib.suppress(ProbeError):  # a pong that cannot be sent shows in the next read
            # Half a pong would corrupt the frames after it, so it gets some time even past the deadline.
            self._flush(max(deadline, time.monotonic() + _POLL))

    def _collect(self, now: float) -> None:
        """Moves complete messages from the protocol to `_arrivals`."""
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._pieces.append(bytes(event.data))
                if event.fin:
                    self._arrivals.append(Arrival(now, b"".join(self._pieces)))
                    self._pieces.clear()

    def _flush(self, deadline: float) -> None:
        assert self._sock is not None
        for data in self._protocol.data_to_send():
            try:
                self._sock.settimeout(seconds_left(deadline))
                if data:
                    self._sock.sendall(data)
            except OSError as error:
                raise ProbeError.from_socket(error) from error

    def _close_reason(self) -> str:
        protocol = self._protocol
        if protocol.close_rcvd is None:
            return excerpt(str(protocol.parser_exc or "")) or "the connection ended without a close frame"
        return excerpt(str(protocol.close_rcvd))


def first_readable(sockets: Sequence[DashboardSocket], seconds: float) -> list[DashboardSocket]:
    """The sockets at which something has arrived; empty if nothing has in `seconds`."""
    if ready := [sock for sock in sockets if sock.can_be_read()]:
        return ready
    # Not a selector, which would need another file descriptor.
    poll = select.poll()
    for sock in sockets:
        poll.register(sock, select.POLLIN)
    descriptors = {descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)}
    return [sock for sock in sockets if sock.fileno() in descriptors]


def _refused(reader: Reader, head: ResponseHead) -> ProbeError:
    """The error for any status but 101. Includes the body if it comes at once and can be read."""
    if 300 <= head.status < 400 and (location := head.first("location")):
        detail = f"redirect to {excerpt(location)}"
    else:
        reader.deadline = min(reader.deadline, time.monotonic() + _REFUSAL)
        detail = ""
        with contextlib.suppress(OSError, ValueError):
            body = read_body(reader, head, _MAX_REFUSAL)
            detail = excerpt(decoded(head.value("content-encoding"), body, _MAX_REFUSAL))
    return ProbeError(Failure.STATUS, detail, head.status, excerpt(head.first("retry-after"), 40))
