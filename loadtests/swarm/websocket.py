"""A WebSocket for one greenlet: `websockets`' Sans-I/O client on a gevent socket, the cheapest way under Locust."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from gevent import get_hub, socket, ssl
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

_READ_SIZE = 65536
_MAX_MESSAGE = 16 << 20  # bytes; a chat's frames have a few hundred


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
    """An open WebSocket. Only one greenlet may receive; another may send meanwhile."""

    def __init__(self, url: str, timeout: float) -> None:
        """Connects; the whole handshake may take `timeout` seconds. Raises ConnectError."""
        self._protocol = ClientProtocol(parse_uri(url), max_size=_MAX_MESSAGE)
        self._fragments: list[bytes] = []
        self._ready: list[bytes] = []
        self._readable: Any = None  # gevent's watcher of the socket
        self.received_at = 0.0  # monotonic seconds at which the bytes of the last messages came in
        parts = urlsplit(url)
        deadline = time.monotonic() + timeout
        try:
            self._socket = socket.create_connection(
                (parts.hostname, parts.port or (443 if parts.scheme == "wss" else 80)), timeout
            )
        except OSError as error:
            raise ConnectError(0, str(error)) from error
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if parts.scheme == "wss":
                # SSL_CERT_FILE in the environment adds a private authority.
                self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=parts.hostname)
            self._shake_hands(deadline)
            # TLS may hold back what has come in already: only its own recv knows.
            if parts.scheme == "ws":
                self._readable = get_hub().loop.io(self._socket.fileno(), 1)
        except (OSError, InvalidHandshake, EOFError) as error:
            self._socket.close()
            status = error.response.status_code if isinstance(error, InvalidStatus) else 0
            raise ConnectError(status, str(error) or type(error).__name__) from error
        except BaseException:
            self._socket.close()
            raise

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
        while not self._ready:
            try:
                if self._readable is None:
                    self._socket.settimeout(timeout)
                else:
                    # Waiting first saves the system call that would only say that nothing is there yet.
                    socket.wait(self._readable, timeout)
                data = self._socket.recv(_READ_SIZE)
            except TimeoutError:
                return []
            except OSError:
                data = b""
            self.received_at = time.monotonic()
            for event in self._feed(data):
                self._take(event)
            if not self._ready and (not data or self._protocol.state is not State.OPEN):
                self._shut()
                raise self._closed()
        messages, self._ready = self._ready, []
        return messages

    def close(self, code: int = 1001) -> None:
        """Says good-bye without waiting for the answer."""
        try:
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(code)
                self._flush()
        except Closed:
            pass
        finally:
            self._shut()

    def _shut(self) -> None:
        if self._readable is not None:
            self._readable.close()
            self._readable = None
        self._socket.close()

    def _shake_hands(self, deadline: float) -> None:
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        while True:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._socket.recv(_READ_SIZE)
            self.received_at = time.monotonic()
            answered = False
            for event in self._feed(data):
                if isinstance(event, Response):
                    answered = True
                else:
                    self._take(event)
            if self._protocol.handshake_exc is not None:
                raise self._protocol.handshake_exc
            if answered:
                return
            if not data:
                raise EOFError("the connection was closed during the handshake")

    def _feed(self, data: bytes) -> Iterator[object]:
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        # Pongs, and the answer to a Close: unsent, they would have the server cut us off.
        self._flush()
        return iter(self._protocol.events_received())

    def _take(self, event: object) -> None:
        if not isinstance(event, Frame) or event.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if event.fin and not self._fragments:
            self._ready.append(bytes(event.data))
            return
        self._fragments.append(bytes(event.data))
        if event.fin:
            self._ready.append(b"".join(self._fragments))
            self._fragments.clear()

    def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data:
            try:
                self._socket.sendall(data)
            except OSError as error:
                raise Closed(1006, str(error)) from error

    def _closed(self) -> Closed:
        received = self._protocol.close_rcvd
        return Closed(received.code, received.reason) if received is not None else Closed(1006, "")
