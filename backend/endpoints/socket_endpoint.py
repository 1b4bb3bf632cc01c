"""What the two WebSockets have in common: the extension, the refusals at the handshake, the limit, and the counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

import msgspec
from starlette.types import Receive, Scope, Send

from chatswarm.backend.chat.worker_service import WorkerService
from chatswarm.backend.fanout.sockets import EXTENSION, DashboardProtocol
from chatswarm.backend.http.auth import foreign
from chatswarm.backend.http.responses import CHALLENGE


class HandshakeRefusal(msgspec.Struct, frozen=True):
    """An HTTP response in place of the WebSocket."""

    reason: str
    status: int
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


NO_TOKEN: Final = HandshakeRefusal("token", 401, "Authorization: expected Bearer and a valid token", (CHALLENGE,))
_FOREIGN: Final = HandshakeRefusal("origin", 403, "Origin: expected one of those that are allowed here")


class SocketEndpoint(ABC):
    """Accepts connections with an allowed origin and whatever else it takes, up to the connection limit."""

    full: HandshakeRefusal
    """The refusal at the limit."""
    subprotocol: str
    """Selected if it is offered: a browser that offers subprotocols fails the connection if none is selected."""
    refusal_type: bytes
    """The content type of a refusal."""

    def __init__(self, service: WorkerService) -> None:
        self._settings = service.settings
        self._metrics = service.metrics
        self._open = 0

    @abstractmethod
    def _denied(self, scope: Scope) -> HandshakeRefusal | None:
        """Why this handshake is refused, beyond its origin; None to accept it."""

    @abstractmethod
    def _refusal_body(self, message: str) -> bytes:
        """The body of a refusal."""

    @abstractmethod
    async def _serve(self, connection: DashboardProtocol, scope: Scope, receive: Receive) -> None:
        """Serve an accepted connection until it closes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection from handshake to close."""
        if scope["type"] != "websocket":
            raise RuntimeError(f"{scope['path']}: expected a WebSocket")
        connection = scope["extensions"].get(EXTENSION)
        if not isinstance(connection, DashboardProtocol):
            raise RuntimeError(f"expected a server with the extension {EXTENSION}, got {sorted(scope['extensions'])}")
        await receive()  # websocket.connect
        refusal = _FOREIGN if foreign(scope["headers"], self._settings.origins) else self._denied(scope)
        if refusal is None and self._open >= self._settings.max_connections:
            refusal = self.full
        if refusal is not None:
            self._metrics.turned_away[refusal.reason].inc()
            headers = [(b"content-type", self.refusal_type), *refusal.headers]
            await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": self._refusal_body(refusal.message)})
            return
        self._open += 1
        self._metrics.connected.set(self._open)
        try:
            subprotocol = self.subprotocol if self.subprotocol in scope["subprotocols"] else None
            await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})
            await self._serve(connection, scope, receive)
        finally:
            self._open -= 1
            self._metrics.connected.set(self._open)
            code = connection.close_code
            if code is not None:
                self._metrics.closed(code)
