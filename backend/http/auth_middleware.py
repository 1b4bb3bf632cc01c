"""In front of the HTTP API where origins or tokens are set: 401 without a token, CORS for the listed origins only.

Without either it is not there at all. Handshakes of WebSockets are refused in dashboard_socket.py.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.wire.headers import header

from .auth import Tokens, foreign, needs_token
from .responses import refuse

_ALLOW = b"access-control-allow-origin"


def gated(app: ASGIApp, origins: frozenset[str] | None, tokens: Tokens | None, metrics: BackendMetrics) -> ASGIApp:
    """The app behind a gate, or the app itself if there is nothing to keep."""
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
        """Answer one request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = scope["headers"]
        if self._origins is not None:
            send = _for_listed(send, None if foreign(headers, self._origins) else header(headers, b"origin"))
        # A preflight cannot carry a token: it asks whether one may be sent.
        if (
            self._tokens is not None
            and scope["method"] != "OPTIONS"
            and needs_token(scope["path"])
            and not self._tokens.accept(headers)
        ):
            self._metrics.unauthorized.inc()
            await refuse(send, 401, "Authorization: expected Bearer and a valid token", challenge=True)
            return
        await self._app(scope, receive, send)


def _for_listed(send: Send, origin: bytes | None) -> Send:
    """A `send` whose answers may be read by pages of `origin`, or by none. Inside, they are made for any."""

    async def send_for_listed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [pair for pair in message.get("headers", ()) if pair[0] != _ALLOW]
            if origin is not None:
                headers.append((_ALLOW, origin))
            headers.append((b"vary", b"Origin"))
            message = {**message, "headers": headers}
        await send(message)

    return send_for_listed
