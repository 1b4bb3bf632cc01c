"""A WebSocket for one greenlet: `websockets`' Sans-I/O client on a gevent socket, the cheapest way under Locust.

Cheaper still while it listens: whole text frames, nearly all that a dashboard ever gets, are cut out of the bytes right
here, in the loop's own callback. Everything else (control frames, fragments, what breaks the protocol) is left to
`websockets`.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent import get_hub, socket, ssl
from gevent.event import AsyncResult
from gevent.exceptions import BlockingSwitchOutError
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from .addresses import Address, connect

_READ_SIZE = 65536
_MAX_MESSAGE = 16 << 20  # bytes; a chat's frames have a few hundred
_WHOLE_TEXT = 0x81  # first byte of a text frame that is a message by itself
_MASKED = 0x80  # in the second byte; only a client may mask
_BLANK_LINE = b"\r\n\r\n"
_READ = 1  # libev's word for readable


class ConnectError(Exception):
    """No WebSocket came about. `status` is the HTTP answer's, 0 if there was none; the text says what was seen."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Closed(Exception):
    """The WebSocket has ended. `code` is the close code, 1006 if it just broke off."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code


def socket_url(base_url: str, path: str) -> str:
    """Where the WebSocket of an HTTP base URL is: `http` becomes `ws`, `https` becomes `wss`."""
    return "ws" + base_url.rstrip("/").removeprefix("http") + path


class WebSocket:
    """An open WebSocket. Only one greenlet may receive or listen; another may send meanwhile."""

    def __init__(
        self, url: str, timeout: float, headers: Mapping[str, str] | None = None, via: Address | None = None
    ) -> None:
        """Connects; TCP, TLS and the handshake may take `timeout` seconds each. Raises ConnectError.

        `headers`: more of them for the handshake; `via`: a proxy's address instead of the URL's.
        """
        self._protocol = ClientProtocol(parse_uri(url), max_size=_MAX_MESSAGE)
        self._tail = b""  # the start of a frame whose rest has not come yet
        self._fragments: list[bytes] = []
        self._ready: list[bytes] = []
        self.received_at = 0.0  # monotonic seconds at which the bytes of the last messages came in
        parts = urlsplit(url)
        secure = parts.scheme == "wss"
        try:
            host, port = via or (str(parts.hostname), parts.port or (443 if secure else 80))
            self._socket: Any = connect(host, port, timeout)
        except OSError as error:
            raise ConnectError(0, str(error)) from error
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if secure:
                # SSL_CERT_FILE in the environment adds a private authority.
                self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=parts.hostname)
            self._shake_hands(headers or {}, time.monotonic() + timeout)
        except (OSError, InvalidHandshake, EOFError) as error:
            self._socket.close()
            status = error.response.status_code if isinstance(error, InvalidStatus) else 0
            raise ConnectError(status, str(error) or type(error).__name__) from error
        except BaseException:
            self._socket.close()
            raise
        # TLS may hold back bytes that have come in already: only its own recv knows, so it cannot be watched.
        self._readable = None if secure else get_hub().loop.io(self._socket.fileno(), _READ)

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
            except OSError:
                data = b""
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
                except OSError:
                    data = b""
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
        request.headers.update(headers)
        self._protocol.send_request(request)
        self._flush()
        head = b""
        while True:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._socket.recv(_READ_SIZE)
            self.received_at = time.monotonic()
            head, blank_line, rest = (head + data).partition(_BLANK_LINE)
            if data and not blank_line and len(head) < _READ_SIZE:
                continue
            # Only the head is the protocol's: what follows a good answer in the same bytes is ours to cut.
            self._protocol.receive_data(head + blank_line)
            if self._protocol.state is State.CONNECTING:
                self._protocol.receive_data(rest)
            if not data:
                self._protocol.receive_eof()
            if self._protocol.handshake_exc is not None:
                raise self._protocol.handshake_exc
            if self._protocol.state is State.OPEN:
                self._protocol.events_received()
                self._ready = self._messages(rest) if rest else []
                return
            if not data:
                raise EOFError("the connection was closed during the handshake")
            head = b""

    def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if not data:
            return
        try:
            self._socket.sendall(data)
        except (OSError, BlockingSwitchOutError) as error:
            # From the loop's callback nothing can be waited for: a peer that does not even read a pong is gone.
            raise Closed(1006, str(error)) from error

    def _closed(self) -> Closed:
        received = self._protocol.close_rcvd
        return Closed(received.code, received.reason) if received is not None else Closed(1006, "")
