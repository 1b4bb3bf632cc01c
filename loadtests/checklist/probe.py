"""Plain blocking HTTP and WebSocket, in which every wait ends at a moment that the caller gives.

Every `deadline` is a reading of `time.monotonic()`. Whatever goes wrong is a `ProbeError`, and nothing else.
No proxy from the environment, no redirects, no compression; certificates are verified.
"""

import contextlib
import io
import queue
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any, NamedTuple, cast
from urllib.parse import quote

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidMessage, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from chatswarm.loadtests.address import Address
from chatswarm.loadtests.targets.target import Request

from .symptoms import Failure

_MOST = 32 << 20  # bytes of one answer; the list of the largest chats is far below
_POLL = 0.05  # seconds between looks at whether to stop listening


class ProbeError(Exception):
    """What went wrong with the target, in terms that a diagnosis can be made from."""

    def __init__(self, failure: Failure, detail: str = "", status: int | None = None) -> None:
        super().__init__(f"{failure}: {detail}")
        self.failure = failure
        self.detail = detail
        self.status = status


class Answer(NamedTuple):
    """One HTTP answer, read to its end. `done` is when, `took` how long since the request went out, in seconds."""

    status: int
    body: bytes
    location: str
    done: float
    took: float


class Dialer:
    """Opens connections to one address, with TLS where it asks for it."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None = None) -> None:
        self.address = address
        self._tls = (tls or ssl.create_default_context()) if address.secure else None
        self._places: list[tuple[Any, ...]] = []

    def open(self, deadline: float) -> socket.socket:
        """A connected socket, after its TLS handshake."""
        sock = self._connect(deadline)
        if self._tls is None:
            return sock
        try:
            sock.settimeout(_left(deadline))
            return self._tls.wrap_socket(sock, server_hostname=self.address.host)
        except ssl.SSLCertVerificationError as error:
            raise ProbeError(Failure.UNTRUSTED, error.verify_message) from error
        except ssl.SSLError as error:
            raise ProbeError(Failure.TLS, (error.reason or str(error)).lower().replace("_", " ")) from error
        except OSError as error:
            raise _broken(error) from error
        finally:
            sock.close()  # of no effect once TLS has taken it over

    def _connect(self, deadline: float) -> socket.socket:
        errors: list[OSError] = []
        places = self._places or _resolve(self.address.host, self.address.port, deadline)
        for at, place in enumerate(places):
            try:
                sock = socket.socket(*place[:3])
            except OSError as error:  # a family that this machine does not have
                errors.append(error)
                continue
            try:
                # Each place gets its share of the time, so that one that drops packets leaves some for the next.
                sock.settimeout(_left(deadline) / (len(places) - at))
                sock.connect(place[4])
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                sock.close()
                errors.append(error)
                continue
            self._places = [place]
            return sock
        refused = next((error for error in errors if isinstance(error, ConnectionRefusedError)), None)
        if refused is not None:
            raise ProbeError(Failure.REFUSED) from refused
        told = {error.strerror for error in errors if error.strerror}
        raise ProbeError(Failure.UNREACHABLE, ", ".join(sorted(told))) from (errors[0] if errors else None)


def _resolve(host: str, port: int, deadline: float) -> list[tuple[Any, ...]]:
    # The system's resolver has no time limit of its own, so it is left behind in a thread when it takes too long.
    answers: queue.SimpleQueue[list[tuple[Any, ...]] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            answers.put(error if isinstance(error, OSError) else OSError(str(error)))

    threading.Thread(target=ask, daemon=True, name="resolve").start()
    try:
        answer = answers.get(timeout=_left(deadline))
    except (queue.Empty, TimeoutError):
        raise ProbeError(Failure.NO_SUCH_NAME, "the resolver gave no answer in time") from None
    if isinstance(answer, OSError):
        raise ProbeError(Failure.NO_SUCH_NAME, answer.strerror or str(answer)) from answer
    return answer


class Http:
    """One HTTP connection at a time, kept alive where the target allows it."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._sock: socket.socket | None = None

    def open(self, deadline: float) -> socket.socket:
        """Has a connection ready, so that the next request does not wait for one."""
        if self._sock is not None and _readable(self._sock):
            self.close()  # what is readable between two answers is the end of the connection
        if self._sock is None:
            self._sock = self._dialer.open(deadline)
        return self._sock

    def request(self, request: Request, deadline: float) -> Answer:
        """The answer, whatever its status."""
        address = self._dialer.address
        body = request.body or b""
        path = quote(address.prefix + request.path, safe="/%?&=:+,;@~!$'()*")
        headers = {"Host": address.authority, "User-Agent": "chatswarm", "Accept-Encoding": "identity"}
        headers |= request.headers
        if request.body is not None or request.method == "POST":
            headers["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        sock = self.open(deadline)
        began = time.monotonic()
        try:
            sock.settimeout(_left(deadline))
            sock.sendall(f"{request.method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
            answer, alive = _read_answer(sock, request.method, began, deadline)
        except IncompleteRead as error:
            self.close()
            raise ProbeError(Failure.CLOSED, "in the middle of the answer") from error
        except OSError as error:  # RemoteDisconnected, too, which is an HTTPException as well
            self.close()
            raise _broken(error) from error
        except (HTTPException, ValueError) as error:
            self.close()
            raise ProbeError(Failure.NOT_HTTP, excerpt(f"{type(error).__name__} {error}")) from error
        except ProbeError:
            self.close()
            raise
        if not alive:
            self.close()
        return answer

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _read_answer(sock: socket.socket, method: str, began: float, deadline: float) -> tuple[Answer, bool]:
    with contextlib.closing(HTTPResponse(cast("socket.socket", _Readable(sock, deadline)), method=method)) as response:
        response.begin()
        body = response.read(_MOST + 1)
        if len(body) > _MOST:
            raise ProbeError(Failure.UNREADABLE, f"more than {_MOST >> 20} MiB", response.status)
        if response.length:  # read() with a size does not complain itself when the connection ends too early
            raise IncompleteRead(body)
        done = time.monotonic()
        answer = Answer(response.status, body, response.getheader("Location") or "", done, done - began)
        return answer, not response.will_close


class _Readable:
    """What HTTPResponse needs of a socket; the time of a socket alone would start anew with every byte."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._raw = _Raw(sock, deadline)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._raw)


class _Raw(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer, as io has it
        self._sock.settimeout(_left(self._deadline))
        return self._sock.recv_into(buffer)


class Arrival(NamedTuple):
    """One text or binary message of a socket, and when it arrived."""

    at: float
    data: bytes


class DashboardSocket:
    """A WebSocket client: used by one thread at a time, until `listen` hands it to a thread of its own for good."""

    def __init__(self, dialer: Dialer, path: str) -> None:
        self._dialer = dialer
        self._protocol = ClientProtocol(parse_uri(dialer.address.socket_url + path))
        self._sock: socket.socket | None = None
        self._arrivals: deque[Arrival] = deque()
        self._pieces: list[bytes] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self, deadline: float) -> None:
        """Connects, and completes the opening handshake."""
        self._sock = self._dialer.open(deadline)
        self._protocol.send_request(self._protocol.connect())
        self._flush(deadline)
        while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
            try:
                self._pull(deadline)
            except TimeoutError:
                raise ProbeError(Failure.NO_ANSWER) from None
        match self._protocol.handshake_exc:
            case None:
                return
            case InvalidStatus(response=response):
                said = f"redirect to {response.headers.get('Location')}" if 300 <= response.status_code < 400 else ""
                raise ProbeError(Failure.STATUS, said or excerpt(bytes(response.body or b"")), response.status_code)
            case InvalidMessage(__cause__=EOFError()) as error:
                raise ProbeError(Failure.CLOSED) from error
            case InvalidMessage() as error:
                raise ProbeError(Failure.NOT_HTTP, excerpt(str(error.__cause__ or error))) from error
            case error:
                raise ProbeError(Failure.NOT_WEBSOCKET, excerpt(str(error)))

    def send(self, text: str, deadline: float) -> None:
        """Sends one text frame."""
        if self._protocol.state is not State.OPEN:
            raise ProbeError(Failure.CLOSED, self._closing())
        self._protocol.send_text(text.encode())
        self._flush(deadline)

    def receive(self, deadline: float) -> Arrival:
        """The next message. `NO_FRAME` when none came in time, `CLOSED` when none can come any more."""
        while not self._arrivals:
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

        self._thread = threading.Thread(target=pump, daemon=True, name="dashboard")
        self._thread.start()

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
        self._sock.settimeout(_left(deadline))
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
        now = time.monotonic()
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._pieces.append(bytes(event.data))
                if event.fin:
                    self._arrivals.append(Arrival(now, b"".join(self._pieces)))
                    self._pieces.clear()
        with contextlib.suppress(ProbeError):  # a pong that cannot be sent shows in the next read
            self._flush(deadline)

    def _flush(self, deadline: float) -> None:
        assert self._sock is not None
        for data in self._protocol.data_to_send():
            try:
                self._sock.settimeout(_left(deadline))
                if data:
                    self._sock.sendall(data)
            except OSError as error:
                raise _broken(error) from error

    def _closing(self) -> str:
        protocol = self._protocol
        if protocol.close_rcvd is None:
            return excerpt(str(protocol.parser_exc or "")) or "the connection ended without a close frame"
        return excerpt(str(protocol.close_rcvd))


def excerpt(said: bytes | str, most: int = 160) -> str:
    """The beginning of what a target said, on one line and safe to print on a terminal."""
    text = said[: 4 * most].decode(errors="replace") if isinstance(said, bytes) else said
    text = "".join(char if char.isprintable() else " " for char in text)
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _broken(error: OSError) -> ProbeError:
    if isinstance(error, TimeoutError):
        return ProbeError(Failure.NO_ANSWER)
    return ProbeError(Failure.CLOSED, excerpt(error.strerror or str(error)))


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _readable(sock: socket.socket) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(0))
