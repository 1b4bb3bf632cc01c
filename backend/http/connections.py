"""HTTP connections, which every dashboard's is until its handshake: bounded in number, and in time.

uvicorn waits for a request for as long as a client likes, and for one that never sends any, for good: a few thousand
idle sockets would take all open files. This leans on the inside of uvicorn's `HttpToolsProtocol`, which is why uvicorn
is pinned exactly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from uvicorn._types import HTTPScope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from chatswarm.backend.fanout.sockets import Sockets
from chatswarm.backend.metrics.metrics import BackendMetrics

from .capacity import Capacity
from .eviction import EvictionQueue, Late

KEEP_ALIVE: Final = 75
"""Seconds that an idle HTTP connection is kept. uvicorn's 5 s close it just when a widget's next message is due, which
then has no answer and an unknown outcome."""

_LINGER: Final = 1.0
"""Seconds that a closing connection has to take what is left, before it is aborted."""

_BODY: Final = b'{"message":"request: expected it whole in time, got a part of it","success":false}'
_TOO_LATE: Final = (
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


class HttpConnections:
    """All HTTP connections of one server, with their limits."""

    def __init__(self, room: Capacity, sockets: Sockets, request_timeout: float, metrics: BackendMetrics) -> None:
        # uvicorn closes idle connections itself; one that it cannot close, since the client takes nothing, is left.
        self.lobby: EvictionQueue[HttpConnection] = EvictionQueue(request_timeout, KEEP_ALIVE + _LINGER)
        self._room = room
        self._sockets = sockets
        self._metrics = metrics

    @property
    def protocol(self) -> Callable[..., asyncio.Protocol]:
        """What uvicorn is to make for each connection."""
        return partial(HttpConnection, http=self)

    def admit(self, connection: HttpConnection, everybody: int, now: float) -> None:
        """Take a new connection in. If it is one too many, another one goes, or else the new one."""
        if everybody > self._room.total or everybody - len(self._sockets.connections) > self._room.http:
            found = self.lobby.next_to_go()
            goes, reason = found if found is not None else (connection, "full")
            self._metrics.evicted[reason].inc()
            self.lobby.leave(goes)
            goes.transport.abort()
            if found is None:
                return
        self.lobby.arrive(connection, now)

    def look(self, now: float) -> None:
        """Close the connections whose time is up."""
        for connection, late in self.lobby.late(now):
            self._metrics.timeouts[late].inc()
            self.lobby.leave(connection)
            connection.give_up(late)


class HttpConnection(HttpToolsProtocol):
    """One connection, until it is closed or becomes a WebSocket."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        http: HttpConnections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._http = http
        self._lobby = http.lobby
        self._whole: HTTPScope | None = None
        """The request that was whole last; uvicorn makes a new scope when one begins."""

    def give_up(self, late: Late) -> None:
        """Close, with a 408 if a request is half there and not answered yet."""
        if late == "answer" or self.transport.is_closing():
            self.transport.abort()
            return
        cycle = self._cycle()
        if self.scope is not self._whole and not (cycle is not None and cycle.more_body and cycle.response_started):
            self.transport.write(_TOO_LATE)
        self.transport.close()
        self.loop.call_later(_LINGER, self.transport.abort)

    # What uvicorn and the parser tell.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, if there is room."""
        super().connection_made(transport)
        self._http.admit(self, len(self.connections), self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._lobby.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request, or several requests."""
        super().data_received(data)
        if self.scope is not self._whole:
            self._lobby.begin(self, self.loop.time())

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to sockets.py."""
        self._lobby.leave(self)
        super().handle_websocket_upgrade()

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._whole = self.scope
        self._lobby.whole(self)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A request is answered, and the next one begun if it is there."""
        another = bool(self.pipeline)
        super().on_response_complete()
        if not another or self.scope is not self._whole:
            self._wait()

    def pause_writing(self) -> None:
        """The client takes its answer too slowly."""
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        """The client has taken most of its answer."""
        super().resume_writing()
        cycle = self._cycle()
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            self._lobby.whole(self)

    def _cycle(self) -> RequestResponseCycle | None:
        """The newest request whose head is here. uvicorn's own annotation says that there always is one."""
        return self.cycle

    def _wait(self) -> None:
        now = self.loop.time()
        self._lobby.wait(self, now)
        if self.scope is not self._whole:
            self._lobby.begin(self, now)
