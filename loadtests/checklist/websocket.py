"""A dashboard's WebSocket, in which every wait ends at a moment that the caller gives.

Every `deadline` is a reading of `time.monotonic()`. Whatever goes wrong is a `ProbeError`, and nothing else.
"""

import contextlib
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from chatswarm.loadtests.net.dialing import Dialer, DialError, left, request_target, start_thread
from chatswarm.loadtests.net.encodings import decoded
from chatswarm.loadtests.net.responses import Reader, ResponseHead, read_body, read_head

from .http import MOST, ProbeError, as_probe_errors, broken, dial, excerpt, peer_of, probe_error
from .symptoms import Failure

_MOST_REFUSAL = 1 << 16  # bytes of an answer to a handshake that are looked at
_REFUSAL = 0.3  # seconds for them: what matters is the status
_POLL = 0.05  # seconds between looks at whether to stop listening
_HANDSHAKE = (
    "upgrade",
    "connection",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
)


class Arrival(NamedTuple):
    """One text or binary message of a socket, and when it arrived."""

    at: float
    data: bytes


class DashboardSocket:
    """A WebSocket client: used by one thread at a time, until `listen` hands it to a thread of its own for good."""

    def __init__(
        self, dialer: Dialer, path: str, headers: Mapping[str, str], origin: str | None = None, turn: int = 0
    ) -> None:
        self._dialer = dialer
        self._turn = turn
        url = replace(dialer.address, prefix="").socket_url + request_target(dialer.address, path)
        self._protocol = ClientProtocol(parse_uri(url), max_size=MOST)
        self._headers = {**headers, **({} if origin is None else {"Origin": origin})}
        self._sock: socket.socket | None = None
        self._arrivals: deque[Arrival] = deque()
        self._pieces: list[bytes] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.peer = ""  # the number of the address that it is connected to

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
        if head.status != 101:
            raise _refused(reader, head)
        self._upgrade(head, bytes(reader.buffer))

    def _upgrade(self, head: ResponseHead, rest: bytes) -> None:
        """Has the protocol judge the handshake, in the strict form that it wants, and take what came after it."""
        lines = [f"{name}: {value}" for name, value in head.fields if name in _HANDSHAKE]
        answer = "\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, "", ""]).encode("latin-1")
        self._protocol.receive_data(answer)
        if (error := self._protocol.handshake_exc) is not None:
            raise ProbeError(Failure.NOT_WEBSOCKET, excerpt(str(error.__cause__ or error)))
        if rest:
            self._protocol.receive_data(rest)
        self._take(time.monotonic())

    def send(self, text: str, deadline: float) -> None:
        """Sends one text frame."""
        if self._protocol.state is not State.OPEN:
            raise ProbeError(Failure.CLOSED, self._closing())
        self._protocol.send_text(text.encode())
        self._flush(deadline)

    def receive(self, deadline: float) -> Arrival:
        """The next message. `NO_FRAME` when none came in time, `CLOSED` when none can come any more."""
        while not self._arrivals:
            if isinstance(self._protocol.parser_exc, PayloadTooBig):
                raise ProbeError(Failure.NOT_READ_HERE, f"a message of more than {MOST >> 20} MiB")
            if self._protocol.state is not State.OPEN:
                raise ProbeError(Failure.CLOSED, self._closing())
            try:
                self._pull(deadline)
            except TimeoutError:
                raise ProbeError(Failure.NO_FRAME) from None
        return self._arrivals.popleft()

    def listen(self, events: "queue.SimpleQueue[Any]") -> None:
        """From now on puts every Arrival into `events` as it comes, and at the end the ProbeError that ended it."""

        def pump() -> None:
            while not self._stop.is_set():
                try:
                    events.put(self.receive(time.monotonic() + _POLL))
                except ProbeError as error:
                    if error.failure is not Failure.NO_FRAME:
                        events.put(error)
                        return

        try:
            self._thread = start_thread(pump, "dashboard")
        except DialError as error:
            raise probe_error(error) from error

    def close(self) -> None:
        """Says goodbye and closes, without waiting for the other side."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(4 * _POLL)
        if self._sock is None:
            return
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            with contextlib.suppress(ProbeError):
                self._flush(time.monotonic() + _POLL)
        self._sock.close()

    def _pull(self, deadline: float) -> None:
        assert self._sock is not None
        self._sock.settimeout(left(deadline))
        try:
            data = self._sock.recv(1 << 16)
        except TimeoutError:
            raise
        except OSError:
            data = b""  # a reset ends the connection as an end of file does
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        self._take(time.monotonic())
        with contextlib.suppress(ProbeError):  # a pong that cannot be sent shows in the next read
            # One that is cut in the middle would spoil what follows it.
            self._flush(max(deadline, time.monotonic() + _POLL))

    def _take(self, now: float) -> None:
        """The messages in what was received, which came now."""
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
                self._sock.settimeout(left(deadline))
                if data:
                    self._sock.sendall(data)
            except OSError as error:
                raise broken(error) from error

    def _closing(self) -> str:
        protocol = self._protocol
        if protocol.close_rcvd is None:
            return excerpt(str(protocol.parser_exc or "")) or "the connection ended without a close frame"
        return excerpt(str(protocol.close_rcvd))


def _refused(reader: Reader, head: ResponseHead) -> ProbeError:
    """What another status than 101 says. What it says in words is taken if it comes at once, and can be read."""
    if 300 <= head.status < 400 and (location := head.first("location")):
        said = f"redirect to {excerpt(location)}"
    else:
        reader.deadline = min(reader.deadline, time.monotonic() + _REFUSAL)
        said = ""
        with contextlib.suppress(OSError, ValueError):
            body = read_body(reader, head, _MOST_REFUSAL)
            said = excerpt(decoded(head.value("content-encoding"), body, _MOST_REFUSAL))
    return ProbeError(Failure.STATUS, said, head.status, excerpt(head.first("retry-after"), 40))
