"""HTTP/1.1 and WebSockets for the chats in this package, and the thread that serves one."""

import asyncio
import json
import ssl
import threading
import traceback
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

Response = tuple[int, object]
"""An HTTP status and a JSON body; a body of None is left out."""

NO_RESPONSE: Response = (0, None)
"""Close the connection without a response."""

_CLOSE_TIMEOUT = 2.0  # seconds until a close frame must have been answered


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request that was read. `path` is as it came, percent-encoded; `headers` are by lower-case name."""

    head: bytes
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def upgrades(self) -> bool:
        """Whether it opens a WebSocket."""
        return self.headers.get("upgrade", "").lower() == "websocket"


async def read_request(stream: asyncio.StreamReader) -> HttpRequest:
    """The next request. Raises IncompleteReadError if the connection ended."""
    head = await stream.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    url = urlsplit(target)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await stream.readexactly(int(headers.get("content-length", "0")))
    return HttpRequest(head, method, url.path, dict(parse_qsl(url.query)), headers, body)


def response_bytes(response: Response, headers: Mapping[str, str] | None = None) -> bytes:
    """A response as it is sent."""
    status, body = response
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(data)}")
    return "\r\n".join([*lines, "", ""]).encode() + data


@dataclass(eq=False)
class Socket:
    """The server's end of a WebSocket."""

    protocol: ServerProtocol
    writer: asyncio.StreamWriter

    def send(self, message: object) -> None:
        """Sends one text frame with JSON."""
        self.send_text(json.dumps(message))

    def send_text(self, text: str) -> None:
        """Sends one text frame."""
        if self.protocol.state is State.OPEN:
            self.protocol.send_text(text.encode())
            self.flush()

    def close(self, code: int) -> None:
        """Sends a close frame. The connection is closed when the client has answered it, or after two seconds.

        Closed at once, what the client still sends would reset the connection, and it could lose what it has not read.
        """
        if self.protocol.state is State.OPEN:
            self.protocol.send_close(code)
            self.flush()
            asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT, self.writer.close)

    def flush(self) -> None:
        self.writer.write(b"".join(self.protocol.data_to_send()))

    def answer(self, head: bytes, refused: int = 0, headers: Mapping[str, str] | None = None) -> bool:
        """Answers the handshake. Whether it succeeded. `refused`: the status to refuse it with."""
        self.protocol.receive_data(head)
        request = self.protocol.events_received()[0]
        assert isinstance(request, Request)
        response = self.protocol.reject(refused, "no") if refused else self.protocol.accept(request)
        response.headers.update(headers or {})
        self.protocol.send_response(response)
        self.flush()
        return response.status_code == HTTPStatus.SWITCHING_PROTOCOLS

    async def texts(self, stream: asyncio.StreamReader) -> AsyncIterator[str]:
        """The text frames that come, until either end closes the WebSocket. Pings are answered."""
        while self.protocol.close_rcvd is None and (data := await stream.read(65536)):
            is_open = self.protocol.state is State.OPEN
            self.protocol.receive_data(data)
            for event in self.protocol.events_received():
                if is_open and isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    yield bytes(event.data).decode()
            self.flush()


@dataclass
class Server:
    """Serves connections. `mistakes` are errors in this package, which are no planted defects."""

    mistakes: list[str] = field(default_factory=list, kw_only=True)

    async def converse(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection to its end."""
        raise NotImplementedError

    async def connected(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # Cancelled when the server stops.
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self.converse(stream, writer)
        except Exception:  # noqa: BLE001
            self.mistakes.append(traceback.format_exc())
        finally:
            writer.close()


@contextmanager
def serving(server: Server, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serves a chat from a separate thread. Yields its base URL."""
    loop = asyncio.new_event_loop()
    started = threading.Event()
    stop = asyncio.Event()
    ports: list[int] = []

    async def main() -> None:
        listener = await asyncio.start_server(server.connected, "127.0.0.1", 0, ssl=tls)
        ports.append(listener.sockets[0].getsockname()[1])
        started.set()
        await stop.wait()
        listener.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    assert started.wait(10)
    try:
        yield f"{'https' if tls else 'http'}://localhost:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
    assert not server.mistakes, server.mistakes[0]
