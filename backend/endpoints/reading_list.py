"""`GET /api/debug/users-chats`: the busiest read, over the list's encoded bytes."""

from __future__ import annotations

import time
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from chatswarm.backend.chat.service import ChatService
from chatswarm.backend.http.auth import LIST
from chatswarm.backend.http.responses import ANY_ORIGIN, WholeResponse, error_response, send_whole
from chatswarm.backend.metrics.metrics import Refetch
from chatswarm.backend.store.records import StoreUnavailableError
from chatswarm.backend.wire.headers import Headers, header

from .request_bodies import UnreadableError, whole_number

LONGEST = 10_000
_URL = LIST.encode()
_FIXED = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-cache"),
    ANY_ORIGIN,
    (b"access-control-expose-headers", b"ETag"),
)


class ListEndpoint:
    """Responds with the current list, or 304 if the client already has it."""

    def __init__(self, service: ChatService) -> None:
        self._service = service
        self._default = service.settings.list_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Respond to one request."""
        await send_whole(send, self._response(scope["query_string"], scope["headers"]))

    def ready(self, url: bytes, headers: Headers) -> WholeResponse | None:
        """The response to a GET of the list, without a task or any message of ASGI."""
        return self._response(b"", headers) if url == _URL else None

    def _response(self, query: bytes, headers: Headers) -> WholeResponse:
        started = time.perf_counter()
        outcome, response = self._outcome(query, headers)
        size = len(response.body) if outcome == "200" else 0
        self._service.metrics.refetched(outcome, time.perf_counter() - started, size)
        return response

    def _outcome(self, query: bytes, headers: Headers) -> tuple[Refetch, WholeResponse]:
        limit = self._default
        if query:
            try:
                limits = parse_qs(query.decode("latin-1")).get("limit")
                limit = whole_number(limits[-1] if limits else None, "limit", 1, LONGEST, limit)
            except (UnreadableError, ValueError) as error:
                return "failed", error_response(400, str(error))
        try:
            self._service.catch_up()
        except StoreUnavailableError as error:
            return "failed", error_response(503, f"The store is not available: {error}", retry_after=1)
        current = self._service.list.encoded(limit)
        known = header(headers, b"if-none-match")
        if known is not None and _matches(known, current.etag):
            return "304", WholeResponse(304, [*_FIXED, (b"etag", current.etag)])
        length = (b"content-length", b"%d" % len(current.body))
        return "200", WholeResponse(200, [*_FIXED, (b"etag", current.etag), length], current.body)


def _matches(known: bytes, etag: bytes) -> bool:
    """Whether `If-None-Match` contains the tag; a proxy may have made it a weak one."""
    return known == etag or any(each.strip().removeprefix(b"W/") in (etag, b"*") for each in known.split(b","))
