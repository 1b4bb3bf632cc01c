"""Dashboards' sockets: uvicorn's WebSocket protocol, with a way to write ready bytes that never waits.

uvicorn's own `send` waits until a connection can take more, for good if the other side has stopped reading, and so do
its pings and its shutdown. Here everything that is sent goes through one bounded path, `DashboardProtocol.write`, and a
connection that takes too little for too long is cut off:

    write ── over the buffer limit? ──► cut off, "buffer"
    watch ── oldest unsent byte too old? ──► cut off, "age"      (every TICK, over all connections)
          └─ closing, but not closed in time? ──► aborted

The app finds the connection itself under EXTENSION in the scope's extensions. This leans on the inside of uvicorn's
`WebSocketsSansIOProtocol`, which is why uvicorn is pinned exactly.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import Any, Final, Literal

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import InvalidHeader, InvalidState
from websockets.frames import CloseCode, Frame
from websockets.headers import parse_subprotocol
from websockets.http11 import Request
from websockets.protocol import State

from .backlog import Backlog

EXTENSION: Final = "chatswarm.ready_bytes"

TICK: Final = 0.5
"""Seconds between two looks at all connections."""

_SEND_BUFFER: Final = 32 << 10
"""Asked of the kernel, which doubles it. With its own default it takes megabytes before a byte counts as unsent."""

_LINGER: Final = 1.0
"""Seconds that a closing connection has to take what is left, before it is aborted."""

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

_MAX_FRAGMENTS: Final = 1024

Reason = Literal["buffer", "age"]


class Close(IntEnum):
    """The close codes sent here."""

    GOING_AWAY = 1001
    BAD_TEXT = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    RESTART = 1012
    TRY_LATER = 1013


@dataclass
class Sockets:
    """All dashboards' connections of one server, and their limits: `buffer_limit` bytes, `unsent_limit` seconds for the
    oldest of them, `idle_timeout` seconds for a dashboard's first message.
    """

    buffer_limit: int
    unsent_limit: float
    idle_timeout: float = 60.0
    on_cut: Callable[[Reason], None] = lambda reason: None  # noqa: ARG005
    on_idle: Callable[[], None] = lambda: None
    on_tick: Callable[[], None] = lambda: None
    connections: set[DashboardProtocol] = field(default_factory=set)

    @property
    def protocol(self) -> Callable[..., asyncio.Protocol]:
        """What uvicorn is to make for each connection."""
        return partial(DashboardProtocol, sockets=self)

    def unsent(self) -> int:
        """Bytes that no dashboard has taken yet."""
        return sum(connection.unsent() for connection in self.connections)

    async def watch(self) -> None:
        """Look at all connections again and again, and cut off those that take too little. Ends when cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK)
            now = loop.time()
            self.on_tick()
            for number, connection in enumerate(list(self.connections)):
                connection.look(now)
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
        self._sockets = sockets
        self._written = 0
        self._backlog = Backlog(self.loop.time())
        self._closing_since: float | None = None
        self._cut = False
        self._since = self.loop.time()
        self._spoke = False

    # What the app may do.

    def write(self, data: bytes) -> bool:
        """Write whole, ready frames. False if the connection is not open, or is cut off because this was too much."""
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
        """Bytes written and not taken by the kernel yet."""
        return self.transport.get_write_buffer_size()

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye and close; what is unsent has a moment to be taken before the connection is aborted."""
        if self.transport.is_closing():
            return
        self.stop_keepalive()
        try:
            self.conn.send_close(code, reason)
        except InvalidState:
            pass  # it is closing already, or never opened: there is nothing to say
        else:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._leave()

    @property
    def close_code(self) -> int | None:
        """The code that the connection is over with, for whoever said it first; 1006 if nobody did, None if it was
        never open.
        """
        # websockets notes the other side's code as sent, too, because it is answered with the same.
        if self.conn.close_sent is not None:
            return int(self.conn.close_sent.code)
        return None if self.conn.state is State.CONNECTING else CloseCode.ABNORMAL_CLOSURE.value

    def abort(self) -> None:
        """End the connection now; what is unsent is lost."""
        self.stop_keepalive()
        self.close_sent = True
        self._reset()

    # What the server does.

    def look(self, now: float) -> None:
        """Cut off or abort this connection if its time is up."""
        if self.transport.is_closing():
            if self._closing_since is None:
                self._closing_since = now
            elif now - self._closing_since > _LINGER:
                self.abort()
            return
        if not self._spoke and now - self._since > self._sockets.idle_timeout:
            self._sockets.on_idle()
            self.close(Close.POLICY, "said nothing")
            return
        age = self._backlog.age(self._written, self.unsent(), now)
        if age > self._sockets.unsent_limit:
            self._cut_off("age")

    def shutdown(self) -> None:
        """The server stops. uvicorn's own raises where the peer has said goodbye first, and skips the rest then."""
        if self.handshake_complete:
            self.close(Close.RESTART)
        elif not self.transport.is_closing():
            self.send_500_response()
            self._leave()

    def _cut_off(self, reason: Reason) -> None:
        """1013 if it can still hear it, which one that took nothing for a while cannot."""
        if self._cut:
            return
        self._cut = True
        self._sockets.on_cut(reason)
        if reason == "age" and self.loop.time() - self._backlog.moved_at > 2 * TICK:
            self.abort()
        else:
            self.close(Close.TRY_LATER, "too slow")

    def _leave(self) -> None:
        self.transport.close()
        if self.unsent():
            self.loop.call_later(_LINGER, self._reset)

    def _reset(self) -> None:
        # Without a reset the kernel goes on offering what is unsent to somebody who does not read, and keeps it all the
        # while; and whoever did not read never learns that it is over.
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):  # it is closed already
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()

    # Where uvicorn's own needs a guard.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, with a small send buffer."""
        super().connection_made(transport)
        self._sockets.connections.add(self)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._sockets.connections.discard(self)
        super().connection_lost(exc)

    def handle_connect(self, event: Request) -> None:
        """Hand the handshake to the app, together with this connection."""
        try:
            for offered in event.headers.get_all("Sec-WebSocket-Protocol"):
                parse_subprotocol(offered)
        except InvalidHeader:
            # websockets would repeat it in its refusal, and there may be a token in it.
            del event.headers["Sec-WebSocket-Protocol"]
        super().handle_connect(event)
        if not self.close_sent:
            # The app's task was made, but has not run yet.
            self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]  # ASGI says dict; ours is a handle

    def handle_ping(self) -> None:
        """Answer a ping within the limits of everything else."""
        # uvicorn writes pongs without looking: somebody who pings and never reads would fill the memory.
        output = b"".join(self.conn.data_to_send())
        if output:
            self.write(output)

    def handle_cont(self, event: Frame) -> None:
        """Take a fragment, if there are not too many."""
        if len(self.frames) >= _MAX_FRAGMENTS:
            # The size limit does not see endless empty fragments.
            self.frames = []
            self.close(Close.POLICY, "too many fragments")
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Hand a whole message to the app."""
        self._spoke = True
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                # uvicorn does the same, but logs a stack trace for each.
                self.frames = []
                self.close(Close.BAD_TEXT, "not UTF-8")
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Close after a frame that breaks the protocol, with the code for it."""
        if self.conn.close_sent is None:
            # It failed before the handshake was through: there is no close frame to send.
            self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
            self.close_sent = True
            self.transport.abort()
            return
        super().handle_parser_exception()
