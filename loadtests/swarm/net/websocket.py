"""A WebSocket for one greenlet: the Sans-I/O client of `websockets` on a gevent socket.

This is the cheapest way under Locust, and cheaper still while it listens: whole text frames, which are nearly all that
a dashboard receives, are cut out of the bytes here, in the loop's callback. Everything else (control frames, fragments,
protocol errors) is left to `websockets`.
"""

import errno
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent
from gevent import get_hub, socket
from gevent.event import AsyncResult
from websockets.client import ClientProtocol
from websockets.exceptions import NegotiationError, PayloadTooBig, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from chatswarm.loadtests.history.tables import UNREADABLE_HERE
from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.net.cookies import CookieJar
from chatswarm.loadtests.net.headers import Headers
from chatswarm.loadtests.system.rig_limits import RESOURCES, rig_limit_errno
from chatswarm.loadtests.system.text import one_line

from .addresses import Endpoint, connect, peer_of
from .deflate import DeflateOffer
from .incoming import READABLE, reader_of
from .outbox import MOST_WAITING, Outbox
from .requests import TOKEN, Unsendable, check_header, with_cookies
from .responses import BLANK_LINE, LONGEST_HEAD, fields_of, repaired
from .tls import wrapped

_READ_SIZE = 65536
_MAX_MESSAGE = 16 << 20  # bytes; a chat's frames have a few hundred
_WHOLE_TEXT, _WHOLE_BINARY = 0x81, 0x82  # first byte of a frame that is a whole message, and not compressed
_MASKED = 0x80  # in the second byte; only a client may mask
_STATUS = re.compile(rb"HTTP/1\.\d (\d{3})(?!\d)")
_HANDSHAKE_FIELDS = (b"upgrade", b"connection", b"sec-websocket-")
_LONGEST_SHOWN = 200  # characters of the target's text in an error


class ConnectError(Exception):
    """The WebSocket could not be opened; the text says what happened instead.

    `status` is that of the HTTP response, 0 if there was none. As in a Response, a negative `status` means that the rig
    is at fault. `headers` are the response's, and `retry_after` the one of a 429 or 503; `peer` is as in WebSocket.
    """

    def __init__(self, status: int, detail: str, headers: Headers = Headers(), peer: str = "") -> None:  # noqa: B008
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.retry_after = headers.first("retry-after")
        self.peer = peer


class Closed(Exception):
    """The WebSocket has ended. `code` is the close code, 1006 if there was no close frame.

    `rig_failed`: the rig ended it, because it ran out of a resource or got a message above its size limit.
    """

    def __init__(self, code: int, reason: str, cause: Exception | None = None) -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code
        self.rig_failed = isinstance(cause, PayloadTooBig) or (
            cause is not None and rig_limit_errno(cause) in RESOURCES
        )


def socket_url(base_url: str, path: str) -> str:
    """The WebSocket URL for an HTTP base URL. Raises ValueError if it is not a base URL."""
    return parse_address(base_url).socket_url + path


class WebSocket:
    """An open WebSocket, opened as Chrome opens one. Only one greenlet may receive or listen; others may send."""

    def __init__(
        self, url: str, timeout: float, headers: Mapping[str, str] | None = None, via: Endpoint | None = None, *,
        subprotocols: Sequence[str] = (), deflate: bool = True, cookies: CookieJar | None = None,
        on_skipped: Callable[[str], object] | None = None,
    ) -> None:  # fmt: skip
        """Connects; TCP, TLS and the handshake may take `timeout` seconds each. Raises ConnectError.

        `headers`: for the handshake, replacing defaults of the same name; `via`: a proxy's address to connect to, not
        the URL's; `subprotocols`: offered in this order, and the server must select one; `deflate`: whether to offer
        permessage-deflate; `cookies`: what the handshake sends, and where its response, a refusal included, sets them;
        `on_skipped`: see `addresses.connect`.
        """
        self._timeout = timeout
        self._tail = b""  # the start of a frame whose rest has not arrived yet
        self._fragments: list[bytes] = []
        self._ready: list[bytes] = []
        self._failure: OSError | None = None  # of the last read
        self._ended = False  # the peer has closed it, or broken the protocol
        self.received_at = 0.0  # when the bytes of the last messages arrived, in monotonic seconds
        self._head = b""  # of the handshake's response
        self.peer = ""
        """`host:port` of the address that it is connected to, IPv6 in brackets: the fault proxy's behind one."""
        self._socket: Any = None
        try:
            uri = parse_uri(url)
            sent_headers = with_cookies(headers or {}, "" if cookies is None else cookies.header(url))
            for name, value in sent_headers.items():
                check_header(name, value)
            client = _protocol(uri, subprotocols, deflate)
            self._socket = connect(*(via or (uri.host, uri.port)), timeout, "sockets", on_skipped)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peer = peer_of(self._socket)
            if uri.secure:
                self._socket.settimeout(timeout)
                self._socket = wrapped(self._socket, uri.host)
            self._outbox = Outbox(self._socket, secure=uri.secure)
            self._handshake(client, sent_headers, time.monotonic() + timeout)
        except BaseException as error:
            if self._socket is not None:
                self._socket.close()
            if not isinstance(error, Exception):
                raise
            raise _connect_error(error, self.headers, self.peer) from error
        finally:
            if cookies is not None:
                cookies.store(url, self.headers)
        self._read = reader_of(self._socket, secure=uri.secure)
        self._watcher = get_hub().loop.io(self._socket.fileno(), READABLE)

    @property
    def headers(self) -> Headers:
        """The header fields of the handshake's response. They are parsed on each call."""
        return fields_of(self._head) if self._head else Headers()

    @property
    def is_open(self) -> bool:
        """Whether a message can still be sent."""
        return self._protocol.state is State.OPEN

    def send(self, message: str | bytes) -> None:
        """Sends one message, text or binary, and waits until the kernel has taken it. Raises Closed.

        If it takes nothing for the constructor's `timeout`, the peer counts as dead. Not for the callback of `listen`,
        which must not wait: see `send_soon`.
        """
        if not self._push(message, None):
            raise self._closed()
        if self._outbox.waiting:
            self._outbox.flush(self._timeout)
        if self._outbox.failure is not None:
            raise self._closed()

    def send_soon(self, message: str | bytes) -> bool:
        """Sends one message, text or binary, after all before it, without waiting. Raises nothing.

        The event loop writes what the kernel does not take at once. Returns False if the connection has ended, or ends
        now, because more than 1 MiB is still waiting to be sent: whoever receives or listens gets Closed then, after
        all messages that had arrived.
        """
        return self._push(message, MOST_WAITING)

    def receive(self, timeout: float) -> list[bytes]:
        """The messages that arrived together, at `received_at`; an empty list after `timeout` seconds without any.

        Raises Closed.
        """
        if not self._ready:
            self._ready = self._arrived()  # at once: the loop may be late, and `timeout` 0
        if not self._ready:
            self._wait(self._ready.extend, timeout, once=True)
        messages, self._ready = self._ready, []
        return messages

    def listen(self, take: Callable[[Sequence[bytes]], object], seconds: float) -> None:
        """Passes on the messages that arrive together, for `seconds`. Raises Closed.

        `take` is called from the event loop and must not block: it may answer with `send_soon`.
        """
        if self._ready:
            ready, self._ready = self._ready, []
            take(ready)
        self._wait(take, seconds)

    def _wait(self, take: Callable[[Sequence[bytes]], object], seconds: float, *, once: bool = False) -> None:
        """As `listen`; `once`: until messages have arrived."""
        if self._protocol.state is not State.OPEN:
            raise self._closed()
        watcher = self._watcher
        ended: AsyncResult[None] = AsyncResult()

        def on_readable() -> None:
            try:
                messages = self._arrived()
                if messages:
                    take(messages)
                    if once:
                        watcher.stop()
                        ended.set(None)
                        return
                if self._ended:
                    raise self._closed()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is raised in the greenlet that waits
                watcher.stop()
                ended.set_exception(error)

        watcher.start(on_readable)
        try:
            ended.get(timeout=seconds)
        except gevent.Timeout:
            pass
        finally:
            watcher.stop()

    def _arrived(self) -> list[bytes]:
        """The messages that have arrived by now, at `received_at`. Raises Closed if the stream has ended."""
        try:
            data = self._read()
        except BlockingIOError:
            return []
        except OSError as error:
            data, self._failure = b"", error
        self.received_at = time.monotonic()
        if self._outbox.must_read:
            self._outbox.drain()
        messages = self._messages(data)
        if not data:
            raise self._closed()
        return messages

    def close(self, code: int = 1001) -> None:
        """Sends a close frame, and closes without waiting: not for the peer's, nor for what is still to be sent."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code)
            self._outbox.push(b"".join(self._protocol.data_to_send()))
        self._watcher.close()
        self._outbox.close()

    def _push(self, message: str | bytes, most_waiting: int | None) -> bool:
        """Hands a message to the outbox. Returns False if the connection has ended."""
        if self._protocol.state is not State.OPEN or self._outbox.failure is not None:
            return False
        if isinstance(message, str):
            self._protocol.send_text(_encoded(message))
        else:
            self._protocol.send_binary(message)
        self._outbox.push(b"".join(self._protocol.data_to_send()), most_waiting)
        return self._outbox.failure is None

    def _messages(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes; empty data is the end of the stream."""
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
                # A protocol error, which ends the connection: `websockets` finds the close code.
                self._feed(data[at:], messages)
                at = end
                break
            stop = start + length
            if stop > end:
                break
            if data[at] == _WHOLE_TEXT and not self._fragments:
                messages.append(data[start:stop])
            else:
                stop = self._take_other(data, at, start, stop, messages)
            at = stop
        self._tail = data[at:]
        return messages

    def _take_other(self, data: bytes, at: int, start: int, stop: int, messages: list[bytes]) -> int:
        """Takes the frame from `at` to `stop`, whose payload begins at `start`. Returns where to go on."""
        if data[at] == _WHOLE_BINARY and not self._fragments:
            messages.append(data[start:stop])
            return stop
        self._feed(data[at:stop], messages)
        # A page gets nothing that follows a close frame.
        return stop if self._protocol.state is State.OPEN else len(data)

    def _feed(self, data: bytes, messages: list[bytes]) -> None:
        """Feeds `data` to `websockets`, and appends the messages that it completes."""
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        self._ended = self._protocol.state is not State.OPEN
        # Pongs and the reply to a close frame: without them, the server would cut the connection.
        if answer := b"".join(self._protocol.data_to_send()):
            self._outbox.push(answer, MOST_WAITING)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._fragments.append(bytes(event.data))
                if event.fin:
                    messages.append(b"".join(self._fragments))
                    self._fragments.clear()

    def _handshake(self, client: ClientProtocol, headers: Mapping[str, str], deadline: float) -> None:
        request = client.connect()
        for name, value in headers.items():
            if name in request.headers:
                del request.headers[name]
            request.headers[name] = value
        client.send_request(request)
        self._socket.settimeout(max(0.001, deadline - time.monotonic()))
        self._socket.sendall(b"".join(client.data_to_send()))
        came = b""
        while True:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._socket.recv(_READ_SIZE)
            self.received_at = time.monotonic()
            came += data
            while (end := BLANK_LINE.search(came)) is not None:
                head, came = came[: end.start()], came[end.end() :]
                if not _is_interim(head):
                    self._take_response(client, head, came)
                    return
            if not data:
                what = f"in the middle of {came[:_LONGEST_SHOWN]!r}" if came else "without an answer"
                raise EOFError(f"the connection was closed during the handshake, {what}")
            if len(came) > LONGEST_HEAD or not came.startswith(b"HTTP/"[: len(came)]):
                raise EOFError(f"expected an HTTP answer, got {came[:_LONGEST_SHOWN]!r}")

    def _take_response(self, client: ClientProtocol, head: bytes, rest: bytes) -> None:
        """Takes the handshake's response, and the first bytes after it. Raises ConnectError and WebSocketException."""
        status_line, *fields = repaired(head).split(b"\r\n")
        status = _STATUS.match(status_line)
        if status is None:
            raise EOFError(f"expected an HTTP answer, got {head[:_LONGEST_SHOWN]!r}")
        self._head = head
        if status[1] != b"101":
            raise _refusal(int(status[1]), self.headers, self.peer)
        # Only the fields of the handshake: `websockets` is stricter than browsers about the others.
        kept = [line for line in fields if line.lower().startswith(_HANDSHAKE_FIELDS)]
        client.receive_data(b"\r\n".join([status_line, *kept, b"", b""]))
        if client.handshake_exc is not None:
            raise client.handshake_exc
        if client.available_subprotocols and client.subprotocol is None:
            # RFC 6455 allows it, but browsers' own standard does not.
            raise NegotiationError("subprotocols were offered, and the server selected none")
        self.subprotocol = client.subprotocol
        """The subprotocol that the server selected; None if none was offered."""
        self.deflate = bool(client.extensions)
        """Whether permessage-deflate was agreed on."""
        # A new state, because the client's keeps the whole handshake, in 2 KB.
        self._protocol = Protocol(Side.CLIENT, state=State.OPEN, max_size=_MAX_MESSAGE)
        self._protocol.extensions = client.extensions
        self._socket.settimeout(0)  # from here on, nothing waits for it
        self._ready = self._messages(rest) if rest else []

    def _closed(self) -> Closed:
        received = self._protocol.close_rcvd
        if received is not None:
            return Closed(received.code, received.reason)
        broken = self._protocol.parser_exc
        cause: Exception | None = broken
        if broken is None or isinstance(broken, EOFError):
            cause = self._outbox.failure or self._failure
        return Closed(1006, "" if cause is None else one_line(str(cause)), cause)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair becomes U+FFFD, as in a browser.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _is_interim(head: bytes) -> bool:
    status = _STATUS.match(head)
    return status is not None and status[1] != b"101" and status[1].startswith(b"1")


def _protocol(uri: WebSocketURI, subprotocols: Sequence[str], deflate: bool) -> ClientProtocol:
    """The state of a connection before its handshake. Raises Unsendable."""
    if not all(map(TOKEN.fullmatch, subprotocols)) or len(set(subprotocols)) < len(subprotocols):
        # Some chats have a token in it.
        raise Unsendable("expected subprotocols that a browser takes, got one with another character, or twice")
    return ClientProtocol(
        uri,
        max_size=_MAX_MESSAGE,
        extensions=[DeflateOffer()] if deflate else None,
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
    )


def _refusal(status: int, headers: Headers, peer: str) -> ConnectError:
    detail = f"server rejected WebSocket connection: HTTP {status}"
    if 300 <= status < 400 and (location := headers.first("location")):
        # Browsers do not follow it.
        detail += f", Location: {one_line(location[:_LONGEST_SHOWN])}"
    return ConnectError(status, detail, headers, peer)


def _connect_error(error: Exception, headers: Headers, peer: str) -> ConnectError:
    """The ConnectError for a failure while opening a WebSocket."""
    if isinstance(error, ConnectError):
        return error
    detail = one_line(str(error)[:_LONGEST_SHOWN]) or type(error).__name__
    if isinstance(error, Unsendable):
        status = -errno.EINVAL
    elif (limit := rig_limit_errno(error)) is not None:
        status = -limit
    elif isinstance(error, (OSError, WebSocketException, EOFError)):
        status = 0
    else:
        status, detail = UNREADABLE_HERE, f"the rig failed: {type(error).__name__}: {detail}"
    return ConnectError(status, detail, headers, peer)
