"""What both chats' apps have in common: CORS, errors, monitoring, and the reply to a plain request for a WebSocket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from chatswarm.backend.chat.worker_service import WorkerService
from chatswarm.backend.http.responses import error_response, refusal, send_whole
from chatswarm.backend.metrics.metrics import CONTENT_TYPE
from chatswarm.backend.store.records import OutcomeUnknownError, StoreUnavailableError
from chatswarm.backend.wire.shapes import Health, encode

from .request_bodies import GoneError, TooLongError, UnreadableError

READ = ["GET", "HEAD"]


class UpgradeRequired:
    """Refuses a plain HTTP request for a WebSocket's path, as sent by a browser's address bar or by a proxy that
    strips `Upgrade`.
    """

    def __init__(self, body: Callable[[str], bytes] = refusal) -> None:
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Respond to one request."""
        message = f"{scope['path']}: expected the handshake of a WebSocket, got a plain request"
        await send_whole(send, error_response(426, message, upgrade=True, body=self._body))


def json_response(value: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response whose body is this value."""
    return Response(encode(value), status, headers, media_type="application/json")


def lifespan_of(service: WorkerService) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """The lifespan of an app: its service starts before the first request, and closes after the last."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            await service.start()
            yield
        finally:
            await service.close()

    return lifespan


def add_cors(app: FastAPI) -> None:
    """Let pages of all origins call the app: see responses.ANY_ORIGIN."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["ETag", "Retry-After"],
    )


def add_errors(app: FastAPI, body: Callable[[str], bytes] = refusal) -> None:
    """Give every error the same shape, and never a stack trace."""

    async def error_response(_request: Request, error: Exception) -> Response:
        headers: Mapping[str, str] | None = None
        match error:
            case UnreadableError():
                status, message = 400, str(error)
            case TooLongError():
                status, message, headers = 413, f"body: expected at most {error} bytes", {"Connection": "close"}
            case StoreUnavailableError():
                status, message = 503, f"The store is not available, nothing was stored: {error}"
                headers = {"Retry-After": "1"}
            case OutcomeUnknownError():
                status, message = 500, f"The store failed, it may or may not be stored: {error}"
            case HTTPException():
                status, message, headers = error.status_code, str(error.detail), error.headers
            case _:
                status, message = 500, "Something went wrong here"
        return Response(body(message), status, headers, media_type="application/json")

    for kind in (
        Exception,
        UnreadableError,
        TooLongError,
        GoneError,
        StoreUnavailableError,
        OutcomeUnknownError,
        HTTPException,
    ):
        app.add_exception_handler(kind, error_response)


def add_monitoring(app: FastAPI, service: WorkerService) -> None:
    """Add `/health` and `/metrics`."""

    @app.api_route("/health", methods=READ)
    async def health() -> Response:
        try:
            await service.store.probe()
        except (StoreUnavailableError, OutcomeUnknownError) as error:
            return json_response(Health("unavailable", str(error)), 503, {"Retry-After": "1"})
        return json_response(Health("ok", "The store is writable"))

    @app.api_route("/metrics", methods=READ)
    async def metrics() -> Response:
        return Response(await service.exposition(), media_type=CONTENT_TYPE)
