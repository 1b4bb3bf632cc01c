"""Serves a chat on asyncio: HTTP/1.1 and WebSockets, with limits and a timely shutdown."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import stat
import threading
from collections.abc import Mapping

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from chatswarm.loadtests.system.children import LIFELINE

from .chat import Chat, JsonResponse
from .dashboard import Dashboard

_MAX_BODY = 1 << 20
_MAX_FRAME = 1 << 16
_IDLE_TIMEOUT = 75.0  # seconds between two requests
_SEND_BUFFER = (
    1 << 16
)  # bytes in the kernel per connection; small, so that a dashboard that does not read is noticed soon
_GRACE = 2.0  # seconds to respond to open requests, and again for dashboards to close


def listener_on(host: str, port: int, *, shared: bool = False, send_buffer: int = _SEND_BUFFER) -> socket.socket:
    """Opens a socket that listens. `shared`: other sockets may use the same port."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    listener.bind((host, port))
    listener.listen(1024)
    return listener


def exit_with_parent() -> None:
    """Ends this process when the lifeline in its environment closes. Does nothing if there is none."""
    try:
        lifeline = int(os.environ.get(LIFELINE, ""))
        if not stat.S_ISFIFO(os.fstat(lifeline).st_mode):
            return
    except (ValueError, OSError):
        return

    def wait_for_end() -> None:
        while os.read(lifeline, 4096):
            pass
        os._exit(1)

    threading.Thread(target=wait_for_end, daemon=True).start()


def limit_files(limit: int | None) -> None:
    """Limits the number of open files. None: as many as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if limit is None else limit, hard))


class Server:
    """One chat's connections."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._new: dict[asyncio.StreamWriter, None] = {}  # without a complete request yet, oldest first
        self._idle: set[asyncio.StreamWriter] = set()  # between two requests
        self._connections: set[asyncio.Task[None]] = set()

    async def run(self, listener: socket.socket) -> None:
        """Serves until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await self._chat.start()
        server = await asyncio.start_server(self._accept, sock=listener, backlog=1024)
        checker = asyncio.create_task(self._check_dashboards())
        await stop.wait()
        server.close()
        checker.cancel()
        for writer in (*self._idle, *self._new):
            writer.transport.abort()
        dashboards = {dashboard.transport for dashboard in self._chat.dashboards}
        await self._wait_until_ended(_GRACE, except_for=len(dashboards))
        for dashboard in tuple(self._chat.dashboards):
            dashboard.close(CloseCode.SERVICE_RESTART)
        await self._wait_until_ended(_GRACE)
        for dashboard in tuple(self._chat.dashboards):
            dashboard.transport.abort()
        await self._chat.finish()
        self._chat.store.close()

    async def _wait_until_ended(self, grace: float, except_for: int = 0) -> None:
        """Waits until at most `except_for` connections are left."""
        end = asyncio.get_running_loop().time() + grace
        while len(self._connections) > except_for and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def _check_dashboards(self) -> None:
        while True:
            await asyncio.sleep(1)
            for dashboard in tuple(self._chat.dashboards):
                dashboard.cut_off_if_stalled()

    async def _accept(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self._new[writer] = None
        if len(self._new) > self._chat.max_waiting_connections:
            next(iter(self._new)).transport.abort()
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, _BadRequest):
                await self._serve_connection(stream, writer)
        finally:
            self._connections.discard(task)
            self._new.pop(writer, None)
            writer.close()

    async def _serve_connection(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        timeout = self._chat.request_timeout
        while True:
            async with asyncio.timeout(timeout):
                head = await _head(stream)
                self._idle.discard(writer)
                method, path, headers = _parsed(head)
                if headers.get("upgrade", "").lower() == "websocket":
                    self._new.pop(writer, None)
                    break
                body = await _body(stream, writer, headers)
            self._new.pop(writer, None)
            response = await self._chat.respond(method, path, headers, body)
            _write(writer, response)
            await asyncio.wait_for(writer.drain(), _IDLE_TIMEOUT)
            if headers.get("connection", "").lower() == "close":
                return
            timeout = _IDLE_TIMEOUT
            self._idle.add(writer)
        await self._serve_dashboard(head, headers, stream, writer)

    async def _serve_dashboard(
        self, head: bytes, headers: Mapping[str, str], stream: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        protocol = ServerProtocol(max_size=_MAX_FRAME)
        dashboard = Dashboard(protocol, writer.transport)
        protocol.receive_data(head)
        events = protocol.events_received()
        if not events or not isinstance(events[0], Request):
            raise _BadRequest
        if self._chat.admits(headers):
            protocol.send_response(protocol.accept(events[0]))
        else:
            protocol.send_response(protocol.reject(403, "not allowed\n"))
        dashboard.flush()
        if protocol.state is not State.OPEN:
            return
        self._chat.dashboards.add(dashboard)
        try:
            dashboard.send(self._chat.greeting())
            fragments = bytearray()
            kind = Opcode.TEXT
            while data := await stream.read(1 << 16):
                protocol.receive_data(data)
                for event in protocol.events_received():
                    assert isinstance(event, Frame)
                    if event.opcode is Opcode.PONG:
                        self._chat.received_pong(dashboard)
                    if event.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                        continue
                    kind = kind if event.opcode is Opcode.CONT else event.opcode
                    fragments += event.data
                    if event.fin:
                        self._handle_message(dashboard, bytes(fragments), kind)
                        fragments.clear()
                dashboard.flush()
                if protocol.close_expected():
                    break
        finally:
            self._chat.dashboards.discard(dashboard)
        # Closing with unread bytes sends a reset, which may overtake the close frame.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                while await stream.read(1 << 16):
                    pass

    def _handle_message(self, dashboard: Dashboard, data: bytes, kind: Opcode) -> None:
        try:
            text = data.decode() if kind is Opcode.TEXT else data
        except UnicodeDecodeError:
            dashboard.protocol.fail(CloseCode.INVALID_DATA)
        else:
            self._chat.received_frame(dashboard, text)


class _BadRequest(Exception):
    """A request that gets no response."""


async def _head(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise _BadRequest from None


def _parsed(head: bytes) -> tuple[str, str, dict[str, str]]:
    """The method, the path without its query, and the headers with lower-case names."""
    try:
        first, *lines = head.decode().split("\r\n")
        method, target, _ = first.split(" ")
        headers = dict(line.split(":", 1) for line in lines if line)
    except ValueError:
        raise _BadRequest from None
    return method, target.partition("?")[0], {name.lower(): value.strip() for name, value in headers.items()}


async def _body(stream: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: Mapping[str, str]) -> bytes:
    try:
        length = int(headers.get("content-length", "0"))
    except ValueError:
        raise _BadRequest from None
    if "transfer-encoding" in headers or not 0 <= length <= _MAX_BODY:
        _write(writer, JsonResponse(413, {"detail": "too long, or of unknown length"}))
        raise _BadRequest
    return await stream.readexactly(length)


def _write(writer: asyncio.StreamWriter, response: JsonResponse) -> None:
    body = response.encoded
    extra = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    head = (
        f"HTTP/1.1 {response.status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    )
    writer.write(head.encode() + body)
