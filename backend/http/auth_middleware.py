"""Middleware for the HTTP API if origins or tokens are set: 401 without a token, CORS for allowed origins only.

Without either setting it is not installed. WebSocket handshakes are checked in dashboard_socket.py.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.wire.headers import header

from .auth import Tokens, foreign, needs_token
from .responses import error_response, send_whole

_ALLOW = b"access-control-allow-origin"


def with_auth(app: ASGIApp, origins: frozenset[str] | None, tokens: Tokens | None, metrics: BackendMetrics) -> ASGIApp:
    """The app behind this middleware, or the app itself if neither origins nor tokens are set."""
    return app if origins is None and tokens is None else _AuthMiddleware(app, origins, tokens, metrics)


class _AuthMiddleware:
    def __init__(
        self, app: ASGIApp, origins: frozenset[str] | None, tokens: Tokens | None, metrics: BackendMetrics
    ) -> None:
        self._app = app
        self._origins = origins
        self._tokens = tokens
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = scope["headers"]
        if self._origins is not None:
            send = _allow_origin(send, None if foreign(headers, self._origins) else header(headers, b"origin"))
        # A preflight cannot carry a token: it asks whether it may be sent.
        if (
            self._tokens is not None
            and scope["method"] != "OPTIONS"
            and needs_token(scope["path"])
            and not self._tokens.accept(headers)
        ):
            self._metrics.unauthorized.inc()
            await send_whole(
                send, error_response(401, "Authorization: expected Bearer and a valid token", challenge=True)
            )
            return
        await self._app(scope, receive, send)


def _allow_origin(send: Send, origin: bytes | None) -> Send:
    """A `send` that allows pages of `origin`, or none, to read the response; the app itself allows all origins."""

    async def send_with_origin(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [pair for pair in message.get("headers", ()) if pair[0] != _ALLOW]
            if origin is not None:
                headers.append((_ALLOW, origin))
            headers.append((b"vary", b"Origin"))
            message = {**message, "headers": headers}
        await send(message)

    return send_with_origin
