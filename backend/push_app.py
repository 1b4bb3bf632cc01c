"""The push chat's FastAPI app: routes and lifespan. The busiest call and the WebSocket are bare ASGI endpoints."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from chatswarm.backend.chat.push_service import PushService
from chatswarm.backend.endpoints.api_docs import docs_routes
from chatswarm.backend.endpoints.basics import UpgradeRequired, add_cors, add_errors, add_monitoring, lifespan_of
from chatswarm.backend.endpoints.openapi import document
from chatswarm.backend.endpoints.push_calls import PostEndpoint, add_calls
from chatswarm.backend.endpoints.push_socket import SOCKET, PushEndpoint
from chatswarm.backend.fanout.sockets import Sockets
from chatswarm.backend.http.responses import push_refusal
from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.workers.supervisor import WorkerContext

from .settings import Settings


class PushApp(FastAPI):
    """FastAPI with a shortcut to the posts: its middleware and routing cost more than the endpoint does."""

    settings: Settings
    post_message: ASGIApp

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document of all routes, bare endpoints included."""
        return document(self.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        endpoint: ASGIApp = super().__call__
        if scope["type"] == "http" and scope["method"] == "POST":
            path = scope["path"]
            if path.startswith("/api/rooms/") and path.endswith("/messages") and path.count("/") == 4:
                endpoint = self.post_message
        await endpoint(scope, receive, send)


def create_push_app(settings: Settings, sockets: Sockets, worker: WorkerContext | None = None) -> FastAPI:
    """The app of one worker. The server that runs it must use `sockets.protocol` for its WebSockets."""
    tokens = settings.user_tokens
    assert tokens is not None, "settings with `push` have tokens"
    service = PushService(settings, sockets, BackendMetrics(), worker)
    app = PushApp(lifespan=lifespan_of(service), openapi_url=None)
    app.settings = settings
    app.state.service = service
    app.state.ready = None
    add_cors(app)
    app.post_message = PostEndpoint(service, tokens)
    app.router.routes += [
        WebSocketRoute(SOCKET, PushEndpoint(service, tokens)),
        Route(SOCKET, UpgradeRequired(push_refusal), methods=["GET"]),
    ]
    if settings.api_docs:
        app.router.routes += docs_routes(settings)
    add_errors(app, push_refusal)
    add_calls(app, service, tokens)
    add_monitoring(app, service)
    return app
