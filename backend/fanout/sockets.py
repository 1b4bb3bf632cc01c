"""Dashboards' sockets: uvicorn's WebSocket protocol with a non-blocking, bounded write path.

uvicorn's own `send` waits until a connection can take more, for ever if the peer has stopped reading, and so do its
pings and its shutdown. Here everything is sent through one bounded path, `DashboardProtocol.write`, and a connection
that reads too slowly for too long is cut off:

    write         ── over the buffer limit? ──► cut off, "buffer"
    check_limits  ─┬ oldest unsent byte too old? ──► cut off, "age"      (every TICK, over all connections)
                   └ closing, but not closed in time? ──► aborted

The app gets the connection under EXTENSION in the scope's extensions. This depends on the internals of uvicorn's
`WebSocketsSansIOProtocol`, so uvicorn is pinned exactly.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import Any, Final, Literal

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeader, InvalidState
from websockets.frames import CloseCode, Frame
from websockets.headers import parse_subprotocol
from websockets.http11 import Request, Response
from websockets.protocol import Protocol, State
from websockets.server import ServerProtocol

from .backlog import Backlog

EXTENSION: Final = "chatswarm.ready_bytes"

TICK: Final = 0.5
"""Seconds between two checks of all connections."""

_SEND_BUFFER: Final = 32 << 10
"""Requested from the kernel, which doubles it. By default, it takes megabytes before a byte counts as unsent."""

_LINGER: Final = 1.0
"""Seconds that a closing connection has to take the remaining bytes before it is aborted."""

LOGGER: Final = "uvicorn.error.dashboards"
"""What uvicorn and websockets log for a dashboard."""

_log = logging.getLogger(LOGGER)

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

_MAX_FRAGMENTS: Final = 1024

Reason = Literal["buffer", "age"]


class Close(IntEnum):
    """The close codes that the chat sends."""

    GOING_AWAY = 1001
    BAD_TEXT = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    RESTART = 1012
    TRY_LATER = 1013
    NO_TOKEN = 4401


@dataclass
class Sockets:
    """All dashboards' connections of one server, and their limits: `buffer_limit` bytes unsent, `unsent_limit` seconds
    for the oldest unsent byte, `idle_timeout` seconds until a dashboard's first message.
    """

    buffer_limit: int
    unsent_limit: float
    idle_timeout: float = 60.0
    on_cut: Callable[[Reason], None] = lambda reason: None  # noqa: ARG005
    on_idle: Callable[[], None] = lambda: None
    on_tick: Callable[[], None] = lambda: None
    connections: set[DashboardProtocol] = field(default_factory=set)

    @property
    def protocol(self) -> Callable[..., DashboardProtocol]:
        """The factory that uvicorn calls for each connection."""
        return partial(DashboardProtocol, sockets=self)

    def unsent(self) -> int:
        """Unsent bytes, over all dashboards."""
        return sum(connection.unsent() for connection in self.connections)

    async def check_forever(self) -> None:
        """Check the limits of all connections every TICK seconds, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK)
            now = loop.time()
            self.on_tick()
            for number, connection in enumerate(list(self.connections)):
                connection.check_limits(now)
                if number % 1000 == 999:
                    await asyncio.sleep(0)


class DashboardProtocol(WebSocketsSansIOProtocol):
    """One dashboard's connection. Its public methods never wait and may be called in any state."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        sockets: Sockets,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = self.conn.logger = _log
        self.conn.send_response = self._respond  # type: ignore[method-assign]  # a subclass would have to be made as well
        self._sockets = sockets
        self._written = 0
        self._backlog = Backlog(self.loop.time())
        self._closing_since: float | None = None
        self._cut = False
        self._since = self.loop.time()
        self._received_message = False

    # For the app.

    def write(self, data: bytes) -> bool:
        """Write complete, encoded frames. False if the connection is not open, or this write exceeded its limit."""
        transport = self.transport
        if self.conn.state is not State.OPEN or transport.is_closing():
            return False
        if transport.get_write_buffer_size() + len(data) > self._sockets.buffer_limit:
            self._cut_off("buffer")
            return False
        transport.write(data)
        self._written += len(data)
        return True

    def unsent(self) -> int:
        """Bytes written but not yet taken by the kernel."""
        return self.transport.get_write_buffer_size()

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame and close; unsent bytes have _LINGER seconds before the connection is aborted."""
        if self.transport.is_closing():
            return
        self.stop_keepalive()
        try:
            self.conn.send_close(code, reason)
        except InvalidState:
            pass  # already closing, or never opened: no close frame to send
        else:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._close_transport()

    @property
    def close_code(self) -> int | None:
        """The close code of the side that sent one first; 1006 if neither did, None if the connection never opened."""
        # websockets echoes the peer's code, so it is recorded as sent as well.
        if self.conn.close_sent is not None:
            return int(self.conn.close_sent.code)
        return None if self.conn.state is State.CONNECTING else CloseCode.ABNORMAL_CLOSURE.value

    def abort(self) -> None:
        """Close the connection now; unsent bytes are lost."""
        self.stop_keepalive()
        self.close_sent = True
        self._reset()

    # For the server.

    def check_limits(self, now: float) -> None:
        """Cut off, close or abort this connection if it exceeds a time limit."""
        if self.transport.is_closing():
            if self._closing_since is None:
                self._closing_since = now
            elif now - self._closing_since > _LINGER:
                self.abort()
            return
        if not self._received_message and now - self._since > self._sockets.idle_timeout:
            self._sockets.on_idle()
            self.close(Close.POLICY, "said nothing")
            return
        age = self._backlog.age(self._written, self.unsent(), now)
        if age > self._sockets.unsent_limit:
            self._cut_off("age")

    def shutdown(self) -> None:
        """Close for the server's shutdown. uvicorn's own raises if the peer closed first, and then skips the rest."""
        if self.handshake_complete:
            self.close(Close.RESTART)
        elif not self.transport.is_closing():
            self.send_500_response()
            self._close_transport()

    def _cut_off(self, reason: Reason) -> None:
        """Close with 1013; abort if the peer has taken nothing for a while, since a close frame could not reach it."""
        if self._cut:
            return
        self._cut = True
        self._sockets.on_cut(reason)
        if reason == "age" and self.loop.time() - self._backlog.last_progress > 2 * TICK:
            self.abort()
        else:
            self.close(Close.TRY_LATER, "too slow")

    def _close_transport(self) -> None:
        self.transport.close()
        if self.unsent():
            self.loop.call_later(_LINGER, self._reset)

    def _reset(self) -> None:
        # Without a reset, the kernel keeps the unsent bytes and goes on offering them to a peer that does not read, and
        # the peer never learns that the connection is closed.
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):  # already closed
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()

    def begin(self, method: str, url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Begin the handshake of a request that has been parsed: uvicorn would have websockets parse it again.

        It has no body, and its headers have valid names and values.
        """
        fields = Headers()
        for name, value in headers:
            fields.set_insecure(name.decode("latin-1"), value.decode("latin-1"))
        # From here on, only frames come.
        self.conn.parser = Protocol.parse(self.conn)
        next(self.conn.parser)
        self.handle_connect(Request(url.decode("ascii"), fields, method))

    def _respond(self, response: Response) -> None:
        """Send the response to a handshake with the server's default headers: uvicorn leaves them out of refusals."""
        for name, value in self.default_headers:
            response.headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        ServerProtocol.send_response(self.conn, response)

    # Overrides that guard uvicorn's implementation.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection and shrink its send buffer."""
        super().connection_made(transport)
        self._sockets.connections.add(self)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection."""
        self._sockets.connections.discard(self)
        super().connection_lost(exc)

    def handle_connect(self, event: Request) -> None:
        """Pass the handshake to the app, with this connection in its scope."""
        try:
            for offered in event.headers.get_all("Sec-WebSocket-Protocol"):
                parse_subprotocol(offered)
        except InvalidHeader:
            # websockets would echo it in its refusal, and it may contain a token.
            del event.headers["Sec-WebSocket-Protocol"]
        super().handle_connect(event)
        if not self.close_sent:
            # The app's task has been created but has not run yet.
            self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]  # ASGI says dict; ours is a handle

    def handle_ping(self) -> None:
        """Send the pong within the same limits as everything else."""
        # uvicorn writes pongs without a limit: a client that pings and never reads would exhaust memory.
        output = b"".join(self.conn.data_to_send())
        if output:
            self.write(output)

    def handle_cont(self, event: Frame) -> None:
        """Accept a fragment, up to _MAX_FRAGMENTS per message."""
        if len(self.frames) >= _MAX_FRAGMENTS:
            # The size limit does not catch endless empty fragments.
            self.frames = []
            self.close(Close.POLICY, "too many fragments")
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Pass a complete message to the app."""
        self._received_message = True
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                # uvicorn does the same but logs a stack trace each time.
                self.frames = []
                self.close(Close.BAD_TEXT, "not UTF-8")
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Close with the matching code after a frame that violates the protocol."""
        if self.conn.close_sent is None:
            # The handshake was not complete, so there is no close frame to send.
            self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
            self.close_sent = True
            self.transport.abort()
            return
        super().handle_parser_exception()
