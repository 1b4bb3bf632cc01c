"""`GET /api/debug/users-chats`: the busiest read, as a bare ASGI endpoint over the list's ready bytes."""

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
    """Answers with the list as it is now, or 304 if that is what the client has."""

    def __init__(self, service: ChatService) -> None:
        self._service = service
        self._default = service.settings.list_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer one request."""
        started = time.perf_counter()
        outcome: Refetch = "failed"
        size = 0
        try:
            outcome, size = await self._answer(scope, send)
        finally:
            self._service.metrics.refetched(outcome, time.perf_counter() - started, size)

    async def _answer(self, scope: Scope, send: Send) -> tuple[Refetch, int]:
        """Answer; the outcome, and the bytes of the list that were sent."""
        limit = self._default
        if scope["query_string"]:
            try:
                asked = parse_qs(scope["query_string"].decode("latin-1")).get("limit")
                limit = whole_number(asked[-1] if asked else None, "limit", 1, LONGEST, limit)
            except (UnreadableError, ValueError) as error:
                await refuse(send, 400, str(error))
                return "failed", 0
        try:
            self._service.look()
        except StoreUnavailableError as error:
            await refuse(send, 503, f"The store is not available: {error}", retry_after=1)
            return "failed", 0
        ready = self._service.list.ready(limit)
        known = header(scope["headers"], b"if-none-match")
        if known is not None and _matches(known, ready.etag):
            await send({"type": "http.response.start", "status": 304, "headers": [*_FIXED, (b"etag", ready.etag)]})
            await send({"type": "http.response.body", "body": b""})
            return "304", 0
        length = (b"content-length", b"%d" % len(ready.body))
        await send({"type": "http.response.start", "status": 200, "headers": [*_FIXED, (b"etag", ready.etag), length]})
        await send({"type": "http.response.body", "body": ready.body})
        return "200", len(ready.body)


def _matches(known: bytes, etag: bytes) -> bool:
    """Whether `If-None-Match` names the tag; proxies may have made it a weak one."""
    return known == etag or any(each.strip().removeprefix(b"W/") in (etag, b"*") for each in known.split(b","))
