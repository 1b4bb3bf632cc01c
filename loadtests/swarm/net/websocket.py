"""A WebSocket for one greenlet: `websockets`' Sans-I/O client on a gevent socket, the cheapest way under Locust.

Cheaper still while it listens: whole text frames, nearly all that a dashboard ever gets, are cut out of the bytes right
here, in the loop's own callback. Everything else (control frames, fragments, what breaks the protocol) is left to
`websockets`.
"""

import errno
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import gevent
from gevent import get_hub, socket
from gevent.event import AsyncResult
from gevent.exceptions import BlockingSwitchOutError
from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from chatswarm.loadtests.history.tables import UNREADABLE_HERE
from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.system.rig_limits import RESOURCES, own_errno
from chatswarm.loadtests.system.text import one_line

from .addresses import Endpoint, connect
from .requests import Unsendable, check_header
from .responses import BLANK_LINE, LONGEST_HEAD, repaired
from .tls import wrapped

_READ_SIZE = 65536
_MAX_MESSAGE = 16 << 20  # bytes; a chat's frames have a few hundred
_WHOLE_TEXT = 0x81  # first byte of a text frame that is a message by itself
_MASKED = 0x80  # in the second byte; only a client may mask
_STATUS = re.compile(rb"HTTP/1\.\d (\d{3})(?!\d)")
_OF_A_HANDSHAKE = (b"upgrade", b"connection", b"sec-websocket-")
_LONGEST_SHOWN = 200  # characters of what a target says, in an error
_READ = 1  # libev's word for readable


class ConnectError(Exception):
    """No WebSocket came about. `status` is the HTTP answer's, 0 if there was none; the text says what was seen.

    A negative `status` is the rig's own doing, as an Answer's is. `retry_after`: what a 429 or 503 said.
    """

    def __init__(self, status: int, detail: str, retry_after: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.retry_after = retry_after


class Closed(Exception):
    """The WebSocket has ended. `code` is the close code, 1006 if it just broke off.

    `own`: what ended it was the rig's: short of memory, or of patience for a message that a browser may take.
    """

    def __init__(self, code: int, reason: str, cause: Exception | None = None) -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code
        self.own = isinstance(cause, PayloadTooBig) or (cause is not None and own_errno(cause) in RESOURCES)


def socket_url(base_url: str, path: str) -> str:
    """Where the WebSocket of an HTTP base URL is. Raises ValueError if it is no such URL."""
    return parse_address(base_url).socket_url + path


class WebSocket:
    """An open WebSocket. Only one greenlet may receive or listen; another may send meanwhile."""

    def __init__(
        self, url: str, timeout: float, headers: Mapping[str, str] | None = None, via: Endpoint | None = None, *,
        passed_over: Callable[[str], object] | None = None,
    ) -> None:  # fmt: skip
        """Connects; TCP, TLS and the handshake may take `timeout` seconds each. Raises ConnectError.

        `headers`: more of them for the handshake, which replace its own; `via`: a proxy's address instead of the URL's;
        `passed_over`: see `addresses.connect`.
        """
        self._tail = b""  # the start of a frame whose rest has not come yet
        self._fragments: list[bytes] = []
        self._ready: list[bytes] = []
        self._failure: OSError | None = None  # of the last read
        self.received_at = 0.0  # monotonic seconds at which the bytes of the last messages came in
        self._socket: Any = None
        try:
            uri = parse_uri(url)
            self._protocol = ClientProtocol(uri, max_size=_MAX_MESSAGE)
            for name, value in (headers or {}).items():
                check_header(name, value)
            self._socket = connect(*(via or (uri.host, uri.port)), timeout, "sockets", passed_over)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if uri.secure:
                self._socket.settimeout(timeout)
                self._socket = wrapped(self._socket, uri.host)
            self._shake_hands(headers or {}, time.monotonic() + timeout)
        except BaseException as error:
            if self._socket is not None:
                self._socket.close()
            if not isinstance(error, Exception):
                raise
            raise _connect_error(error) from error
        # TLS may hold back bytes that have come in already: only its own recv knows, so it cannot be watched.
        self._readable = None if uri.secure else get_hub().loop.io(self._socket.fileno(), _READ)

    def send(self, text: str) -> None:
        """Sends one text message. Raises Closed."""
        if self._protocol.state is not State.OPEN:
            raise self._closed()
        self._protocol.send_text(text.encode())
        self._flush()

    def receive(self, timeout: float) -> list[bytes]:
        """The messages that came in together, at least one; `received_at` is when. Empty after `timeout` seconds.

        Raises Closed.
        """
        deadline = time.monotonic() + timeout
        while not self._ready:
            if self._protocol.state is not State.OPEN:
                raise self._closed()
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self._socket.recv(_READ_SIZE)
            except TimeoutError:
                return []
            except OSError as error:
                data, self._failure = b"", error
            self.received_at = time.monotonic()
            self._ready = self._messages(data)
            if not data:
                raise self._closed()
        messages, self._ready = self._ready, []
        return messages

    def listen(self, take: Callable[[bytes], object], seconds: float) -> None:
        """Hands each message to `take` as it comes, for so many seconds. Raises Closed.

        `take` is called from the loop and must not wait for anything.
        """
        readable = self._readable
        if readable is None:
            self._listen_by_receiving(take, seconds)
            return
        number = self._socket.fileno()
        ended: AsyncResult[None] = AsyncResult()

        def on_readable() -> None:
            try:
                try:
                    data = os.read(number, _READ_SIZE)
                except BlockingIOError:
                    return
                except OSError as error:
                    data, self._failure = b"", error
                self.received_at = time.monotonic()
                for message in self._messages(data):
                    take(message)
                if not data or self._protocol.state is not State.OPEN:
                    raise self._closed()
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the greenlet that listens
                readable.stop()
                ended.set_exception(error)

        for message in self._ready:
            take(message)
        self._ready = []
        if self._protocol.state is not State.OPEN:
            raise self._closed()
        readable.start(on_readable)
        try:
            ended.get(timeout=seconds)
        except gevent.Timeout:
            pass
        finally:
            readable.stop()

    def close(self, code: int = 1001) -> None:
        """Says good-bye without waiting for the answer."""
        try:
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(code)
                self._flush()
        except Closed:
            pass
        finally:
            if self._readable is not None:
                self._readable.close()
            self._socket.close()

    def _listen_by_receiving(self, take: Callable[[bytes], object], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for message in self.receive(left):
                take(message)

    def _messages(self, data: bytes) -> list[bytes]:
        """The messages that are whole now that `data` has come; empty data is the end."""
        if not data:
            self._feed(b"", [])
            return []
        if self._tail:
            data = self._tail + data
        messages: list[bytes] = []
        at, end = 0, len(data)
        while end - at >= 2:
            length, start = data[at + 1], at + 2
            if length > 125:
                start += 2 if length == 126 else 8
                length = int.from_bytes(data[at + 2 : start]) if start <= end else end
            if data[at + 1] & _MASKED or length > _MAX_MESSAGE:
                # It breaks the protocol, which ends the connection: for `websockets` to say.
                self._feed(data[at:], messages)
                at = end
                break
            stop = start + length
            if stop > end:
                break
            if data[at] == _WHOLE_TEXT and not self._fragments:
                messages.append(data[start:stop])
            else:
                self._feed(data[at:stop], messages)
            at = stop
        self._tail = data[at:]
        return messages

    def _feed(self, data: bytes, messages: list[bytes]) -> None:
        """Has `websockets` take `data`, and adds the messages that come of it."""
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        # Pongs, and the answer to a Close: unsent, they would have the server cut us off.
        self._flush()
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._fragments.append(bytes(event.data))
                if event.fin:
                    messages.append(b"".join(self._fragments))
                    self._fragments.clear()

    def _shake_hands(self, headers: Mapping[str, str], deadline: float) -> None:
        request = self._protocol.connect()
        for name, value in headers.items():
            if name in request.headers:
                del request.headers[name]
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()
        came = b""
        while True:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._socket.recv(_READ_SIZE)
            self.received_at = time.monotonic()
            came += data
            while (end := BLANK_LINE.search(came)) is not None:
                head, came = came[: end.start()], came[end.end() :]
                if not _is_interim(head):
                    self._take_answer(head, came)
                    return
            if not data:
                what = f"in the middle of {came[:_LONGEST_SHOWN]!r}" if came else "without an answer"
                raise EOFError(f"the connection was closed during the handshake, {what}")
            if len(came) > LONGEST_HEAD or not came.startswith(b"HTTP/"[: len(came)]):
                raise EOFError(f"expected an HTTP answer, got {came[:_LONGEST_SHOWN]!r}")

    def _take_answer(self, head: bytes, rest: bytes) -> None:
        """The answer to the handshake, and the first bytes after it. Raises ConnectError and WebSocketException."""
        status_line, *fields = repaired(head).split(b"\r\n")
        status = _STATUS.match(status_line)
        if status is None:
            raise EOFError(f"expected an HTTP answer, got {head[:_LONGEST_SHOWN]!r}")
        if status[1] != b"101":
            raise _refusal(int(status[1]), fields)
        # Only what makes a handshake: of the rest `websockets` takes less than browsers do.
        kept = [line for line in fields if line.lower().startswith(_OF_A_HANDSHAKE)]
        self._protocol.receive_data(b"\r\n".join([status_line, *kept, b"", b""]))
        if self._protocol.handshake_exc is not None:
            raise self._protocol.handshake_exc
        self._protocol.events_received()
        self._ready = self._messages(rest) if rest else []

    def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if not data:
            return
        try:
            self._socket.sendall(data)
        except (OSError, BlockingSwitchOutError) as error:
            # From the loop's callback nothing can be waited for: a peer that does not even read a pong is gone.
            raise Closed(1006, str(error), error) from error

    def _closed(self) -> Closed:
        received = self._protocol.close_rcvd
        if received is not None:
            return Closed(received.code, received.reason)
        broken = self._protocol.parser_exc
        cause = self._failure if broken is None or isinstance(broken, EOFError) else broken
        return Closed(1006, "" if cause is None else one_line(str(cause)), cause)


def _is_interim(head: bytes) -> bool:
    status = _STATUS.match(head)
    return status is not None and status[1] != b"101" and status[1].startswith(b"1")


def _refusal(status: int, fields: list[bytes]) -> ConnectError:
    said = {name.strip().lower(): value.strip().decode("utf-8", "replace")
            for name, _, value in (line.partition(b":") for line in reversed(fields))}  # fmt: skip
    detail = f"server rejected WebSocket connection: HTTP {status}"
    if 300 <= status < 400 and (location := said.get(b"location")):
        # Browsers do not follow it.
        detail += f", Location: {one_line(location[:_LONGEST_SHOWN])}"
    return ConnectError(status, detail, said.get(b"retry-after"))


def _connect_error(error: Exception) -> ConnectError:
    """What a failure on the way to an open WebSocket means."""
    if isinstance(error, ConnectError):
        return error
    if isinstance(error, Unsendable):
        return ConnectError(-errno.EINVAL, str(error))
    detail = one_line(str(error)[:_LONGEST_SHOWN]) or type(error).__name__
    if (own := own_errno(error)) is not None:
        return ConnectError(-own, detail)
    if isinstance(error, (OSError, WebSocketException, EOFError, Closed)):
        return ConnectError(0, detail)
    return ConnectError(UNREADABLE_HERE, f"the rig failed: {type(error).__name__}: {detail}")
