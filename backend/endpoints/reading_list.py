"""`GET /api/debug/users-chats`: the busiest read, as a bare ASGI endpoint over the list's encoded bytes."""

from __future__ import annotations

import time
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from chatswarm.backend.chat.service import ChatService
from chatswarm.backend.http.responses import ANY_ORIGIN, refuse
from chatswarm.backend.metrics.metrics import Refetch
from chatswarm.backend.store.records import StoreUnavailableError
from chatswarm.backend.wire.headers import header

from .request_bodies import UnreadableError, whole_number

LONGEST = 10_000
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
        started = time.perf_counter()
        outcome: Refetch = "failed"
        size = 0
        try:
            outcome, size = await self._respond(scope, send)
        finally:
            self._service.metrics.refetched(outcome, time.perf_counter() - started, size)

    async def _respond(self, scope: Scope, send: Send) -> tuple[Refetch, int]:
        """Send the response. Returns the outcome and the bytes of the list that were sent."""
        limit = self._default
        if scope["query_string"]:
            try:
                limits = parse_qs(scope["query_string"].decode("latin-1")).get("limit")
                limit = whole_number(limits[-1] if limits else None, "limit", 1, LONGEST, limit)
            except (UnreadableError, ValueError) as error:
                await refuse(send, 400, str(error))
                return "failed", 0
        try:
            self._service.catch_up()
        except StoreUnavailableError as error:
            await refuse(send, 503, f"The store is not available: {error}", retry_after=1)
            return "failed", 0
        current = self._service.list.encoded(limit)
        known = header(scope["headers"], b"if-none-match")
        if known is not None and _matches(known, current.etag):
            await send({"type": "http.response.start", "status": 304, "headers": [*_FIXED, (b"etag", current.etag)]})
            await send({"type": "http.response.body", "body": b""})
            return "304", 0
        headers = [*_FIXED, (b"etag", current.etag), (b"content-length", b"%d" % len(current.body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": current.body})
        return "200", len(current.body)


def _matches(known: bytes, etag: bytes) -> bool:
    """Whether `If-None-Match` contains the tag; a proxy may have made it a weak one."""
    return known == etag or any(each.strip().removeprefix(b"W/") in (etag, b"*") for each in known.split(b","))
