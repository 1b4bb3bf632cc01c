"""HTTP connections, with limits on their number and on time. A dashboard's is one until its handshake.

uvicorn waits for a request without a deadline, so a few thousand idle sockets would use up all open files. This depends
on the internals of uvicorn's `HttpToolsProtocol`, so uvicorn is pinned exactly.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Container, Iterable
from functools import partial
from typing import Any, Final

from uvicorn._types import HTTPScope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from chatswarm.backend.fanout.sockets import DashboardProtocol, Sockets
from chatswarm.backend.metrics.metrics import BackendMetrics

from .capacity import Capacity
from .eviction import EvictionQueue, Late
from .responses import ReadyResponse, WholeResponse

KEEP_ALIVE: Final = 75
"""Seconds that an idle HTTP connection is kept. uvicorn's default of 5 s would close it just as a widget sends its next
message, which would then get no response and have an unknown outcome."""

_LINGER: Final = 1.0
"""Seconds that a closing connection has to take the remaining bytes before it is aborted."""

_MOST_FIELDS: Final = 128
_LONGEST_FIELD: Final = 8000
_FIELD: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]{0,%d}" % _LONGEST_FIELD)
_NO_HANDSHAKE: Final = (
    f"handshake: expected no body, and at most {_MOST_FIELDS} headers of at most {_LONGEST_FIELD} printable characters"
)
_OF_BODIES: Final = (b"content-length", b"transfer-encoding")

_TOO_LATE: Final = "request: expected it whole in time, got a part of it"


class HttpConnections:
    """All HTTP connections of one server, and their limits. `refusal` encodes the body of an error.

    What is `ready` is sent without a task and without the app, to clients of `ready_ports`.
    """

    def __init__(
        self,
        capacity: Capacity,
        sockets: Sockets,
        request_timeout: float,
        metrics: BackendMetrics,
        refusal: Callable[[str], bytes],
        ready: ReadyResponse | None = None,
        ready_ports: Container[int] = (),
    ) -> None:
        # uvicorn closes idle connections itself, except those whose client takes nothing: these time out here.
        self.queue: EvictionQueue[HttpConnection] = EvictionQueue(request_timeout, KEEP_ALIVE + _LINGER)
        self._capacity = capacity
        self._sockets = sockets
        self._metrics = metrics
        self._refusal = refusal(_TOO_LATE)
        self.ready = ready
        self.ready_ports = ready_ports

    def too_late(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The response to a request that is not complete in time, with these headers, too."""
        lines = b"".join([b"%s: %s\r\n" % pair for pair in headers])
        return (
            b"HTTP/1.1 408 Request Timeout\r\n%sconnection: close\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%s" % (lines, len(self._refusal), self._refusal)
        )

    @property
    def protocol(self) -> Callable[..., asyncio.Protocol]:
        """The factory that uvicorn calls for each connection."""
        return partial(HttpConnection, http=self)

    @property
    def dashboard(self) -> Callable[..., DashboardProtocol]:
        """The factory of what a connection becomes after the handshake of a WebSocket."""
        return self._sockets.protocol

    def admit(self, connection: HttpConnection, open_count: int, now: float) -> None:
        """Add a new connection. Over the limit, evict another one, or the new one if there is no candidate.

        `open_count` is the number of open connections, dashboards' included.
        """
        if open_count > self._capacity.total or open_count - len(self._sockets.connections) > self._capacity.http:
            found = self.queue.eviction_candidate()
            evicted, reason = found if found is not None else (connection, "full")
            self._metrics.evicted[reason].inc()
            self.queue.remove(evicted)
            evicted.transport.abort()
            if found is None:
                return
        self.queue.add(connection, now)

    def close_overdue(self, now: float) -> None:
        """Close the connections that exceed a time limit."""
        for connection, late in self.queue.overdue(now):
            self._metrics.timeouts[late].inc()
            self.queue.remove(connection)
            connection.give_up(late)


class HttpConnection(HttpToolsProtocol):
    """One connection, until it closes or becomes a WebSocket."""

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
        self._eviction_queue = http.queue
        self._complete: HTTPScope | None = None
        """The last complete request; uvicorn creates a new scope when a request starts."""
        self._response: WholeResponse | None = None
        """What is ready for the current request."""

    def give_up(self, late: Late) -> None:
        """Close, with a 408 if a request is incomplete and has no response yet."""
        if late == "answer" or self.transport.is_closing():
            self.transport.abort()
            return
        cycle = self._cycle()
        if self.scope is not self._complete and not (cycle is not None and cycle.more_body and cycle.response_started):
            self.transport.write(self._http.too_late(self.server_state.default_headers))
        self.transport.close()
        self.loop.call_later(_LINGER, self.transport.abort)

    # Callbacks of uvicorn and the parser.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection, within the limits."""
        super().connection_made(transport)
        self._http.admit(self, len(self.connections), self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection."""
        self._eviction_queue.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request, or several requests."""
        super().data_received(data)
        if self.scope is not self._complete:
            self._eviction_queue.request_started(self, self.loop.time())

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to a DashboardProtocol, with the request as it was parsed here."""
        url, headers = self.url, self.headers
        fits = len(url) <= _LONGEST_FIELD and url.isascii() and len(headers) <= _MOST_FIELDS
        if not fits or not all(map(_is_of_handshake, headers)):
            self.send_400_response(_NO_HANDSHAKE)
            return
        self._eviction_queue.remove(self)
        self.connections.discard(self)
        protocol = self._http.dashboard(self.config, self.server_state, self.app_state)
        protocol.connection_made(self.transport)
        protocol.begin(self.scope["method"], url, headers)
        self.transport.set_protocol(protocol)

    def on_headers_complete(self) -> None:
        """The head of a request is complete."""
        if self._http.ready is not None and self._can_be_ready():
            self._response = self._http.ready(self.url, self.headers)
        if self._response is None:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is complete."""
        self._complete = self.scope
        self._eviction_queue.request_complete(self)
        response, self._response = self._response, None
        if response is None:
            super().on_message_complete()
        else:
            self.transport.write(response.encoded(self.server_state.default_headers))
            self.on_response_complete()

    def on_response_complete(self) -> None:
        """A response is complete; uvicorn starts the next pipelined request, if any."""
        another = bool(self.pipeline)
        super().on_response_complete()
        if not another or self.scope is not self._complete:
            self._wait_for_client()

    def pause_writing(self) -> None:
        """The client takes its response too slowly."""
        super().pause_writing()
        self._wait_for_client()

    def resume_writing(self) -> None:
        """The client has taken most of its response."""
        super().resume_writing()
        cycle = self._cycle()
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            self._eviction_queue.request_complete(self)

    def _can_be_ready(self) -> bool:
        cycle = self._cycle()
        return (
            self.parser.get_method() == b"GET"
            and self.server is not None
            and self.server[1] in self._http.ready_ports
            and (cycle is None or cycle.response_complete)
            and not self.flow.write_paused
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
            and not any(name in _OF_BODIES for name, _ in self.headers)
        )

    def _cycle(self) -> RequestResponseCycle | None:
        """The newest request whose head has arrived; None before the first, despite uvicorn's annotation."""
        return self.cycle

    def _wait_for_client(self) -> None:
        now = self.loop.time()
        self._eviction_queue.wait_for_client(self, now)
        if self.scope is not self._complete:
            self._eviction_queue.request_started(self, now)


def _is_of_handshake(header: tuple[bytes, bytes]) -> bool:
    name, value = header
    return _FIELD.fullmatch(value) is not None and (name not in _OF_BODIES or value == b"0")
