"""The FastAPI app: routes, error responses and lifespan. Hot paths and the WebSocket are bare ASGI endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from chatswarm.backend.chat.service import ChatService
from chatswarm.backend.endpoints.api_docs import docs_routes
from chatswarm.backend.endpoints.basics import (
    READ,
    UpgradeRequired,
    add_cors,
    add_errors,
    add_monitoring,
    json_response,
    lifespan_of,
)
from chatswarm.backend.endpoints.dashboard_socket import DashboardEndpoint
from chatswarm.backend.endpoints.openapi import document
from chatswarm.backend.endpoints.operations import SOCKET
from chatswarm.backend.endpoints.reading_list import ListEndpoint
from chatswarm.backend.endpoints.request_bodies import (
    MAX_FIELD,
    MAX_FORM,
    UnreadableError,
    fields,
    form_as_json,
    read_body,
    text_fields,
    whole_number,
)
from chatswarm.backend.endpoints.sending import SendEndpoint
from chatswarm.backend.fanout.sockets import Sockets
from chatswarm.backend.http.auth import LIST
from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.store.customers import open_chat, save_form
from chatswarm.backend.wire.shapes import (
    ContactForm,
    CustomersChats,
    NewChat,
    OpenedChat,
    Saved,
    WholeChat,
    numbered,
    shown_chat,
)
from chatswarm.backend.workers.supervisor import WorkerContext

from .settings import Settings


class ChatApp(FastAPI):
    """FastAPI with a shortcut to the hot endpoints: its middleware and routing cost more than the endpoints do.

    The same endpoints are also registered as routes, which handle the other methods and the CORS preflights.
    """

    settings: Settings

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document of all routes, bare endpoints included."""
        return document(self.settings)

    def set_hot_endpoints(
        self, list_chats: ASGIApp, send_user: ASGIApp, send_agent: ASGIApp, dashboards: ASGIApp
    ) -> None:
        """Set the endpoints that bypass middleware and routing."""
        self._list_chats, self._send_user, self._send_agent = list_chats, send_user, send_agent
        self._dashboards = dashboards

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        endpoint: ASGIApp = super().__call__
        if scope["type"] == "http":
            path, method = scope["path"], scope["method"]
            if method == "GET" and path == LIST:
                endpoint = self._list_chats
            elif method == "POST" and path.endswith("/send"):
                if path.startswith("/api/users/chats/") and path.count("/") == 5:
                    endpoint = self._send_user
                elif path.startswith("/api/dashboard/chats/") and path.count("/") == 5:
                    endpoint = self._send_agent
        elif scope["type"] == "websocket" and scope["path"] == SOCKET:
            endpoint = self._dashboards
        await endpoint(scope, receive, send)


def create_app(settings: Settings, sockets: Sockets, worker: WorkerContext | None = None) -> FastAPI:
    """The app of one worker. The server that runs it must use `sockets.protocol` for its WebSockets."""
    metrics = BackendMetrics()
    service = ChatService(settings, sockets, metrics, worker)

    # FastAPI's own document and pages are off: they do not know the bare endpoints, and load scripts from a CDN.
    app = ChatApp(lifespan=lifespan_of(service), openapi_url=None)
    app.settings = settings
    app.state.service = service
    add_cors(app)
    list_chats, send_user, send_agent, dashboards = (
        ListEndpoint(service),
        SendEndpoint(service, "user"),
        SendEndpoint(service, "agent"),
        DashboardEndpoint(service),
    )
    app.state.ready = list_chats.ready
    app.set_hot_endpoints(list_chats, send_user, send_agent, dashboards)
    app.router.routes += [
        Route(LIST, list_chats, methods=["GET"]),
        Route("/api/users/chats/{chat_id}/send", send_user, methods=["POST"]),
        Route("/api/dashboard/chats/{chat_id}/send", send_agent, methods=["POST"]),
        WebSocketRoute(SOCKET, dashboards),
        Route(SOCKET, UpgradeRequired(), methods=["GET"]),
    ]
    if settings.api_docs:
        app.router.routes += docs_routes(settings)
    add_errors(app)
    _add_customers(app, service)
    _add_reads(app, service)
    add_monitoring(app, service)
    return app


def _add_customers(app: FastAPI, service: ChatService) -> None:
    async def form(request: Request) -> Mapping[str, object]:
        return fields(
            await read_body(request.receive, MAX_FORM), request.headers.get("content-type", "").encode("latin-1")
        )

    @app.post("/api/users/data")
    async def contact(request: Request) -> Response:
        values = await form(request)
        contact = text_fields(values, ContactForm, MAX_FIELD)
        kept = form_as_json(values)
        await service.store.write(save_form(_email(contact.email), contact.name, contact.category, kept))
        return json_response(Saved(True, "Contact data saved"))

    @app.post("/api/users/chats/create")
    async def create(request: Request) -> Response:
        wanted = text_fields(await form(request), NewChat, MAX_FIELD)
        user_id, email = wanted.user_id or None, _email(wanted.email)
        if user_id is None and email is None:
            raise UnreadableError("user_id or email: expected one of them, got neither")
        chat = await service.store.write(open_chat(user_id, email, wanted.name))
        return json_response(OpenedChat(True, chat.id, chat.customer_id, "Chat created"))


def _add_reads(app: FastAPI, service: ChatService) -> None:
    # An id, or an email's local part, may contain a slash, which remains one in the path however it is encoded.
    @app.api_route("/api/users/{user_id_or_email:path}/chats", methods=READ)
    async def customers_chats(user_id_or_email: str) -> Response:
        service.catch_up()
        customer = service.list.customer(user_id_or_email)
        if customer is None:
            raise HTTPException(404, f"expected the id or email of a customer, got {user_id_or_email[:80]!r}")
        chats = []
        for chat in service.list.chats_of(customer):
            messages = await service.log.messages(chat)
            last_activity = messages[-1].at if messages else chat.created_at
            chats.append(shown_chat(chat, last_activity, len(messages), messages))
        return json_response(CustomersChats(customer.id, customer.name, customer.email, chats, len(chats)))

    @app.api_route("/api/chats/{chat_id}", methods=READ)
    async def whole_chat(chat_id: str, request: Request) -> Response:
        service.catch_up()
        chat = service.list.chat(chat_id)
        if chat is None:
            raise HTTPException(404, f"expected the id of a chat, got {chat_id[:80]!r}")
        after = whole_number(request.query_params.get("after"), "after", 0, 1 << 53, 0)
        limit = whole_number(request.query_params.get("limit"), "limit", 0, 1 << 31, -1)
        # Take the total first: the messages read afterwards are at least as new, so none is counted but missing.
        last_activity, total = service.list.activity(chat)
        messages = await service.log.messages(chat, after, None if limit < 0 else limit)
        if messages:
            total, last_activity = max((total, last_activity), (messages[-1].seq, messages[-1].at))
        return json_response(
            WholeChat(
                chat_id=chat.id,
                user_id=chat.customer_id,
                status=chat.status,
                created_at=chat.created_at,
                last_activity=last_activity,
                total_messages=total,
                messages=numbered(messages),
            )
        )


def _email(text: str | None) -> str | None:
    return (text.strip().lower() or None) if text is not None else None
