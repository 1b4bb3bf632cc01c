"""`/ws/dashboard`: what a dashboard says, and what it is answered. Nothing in here waits for a dashboard to read.

Beyond the original, `subscribe` takes `"after": <message_id>` and replays what came after it (see replay.py, which may
send a frame of type `refetch`), and the answer to it names the `last_message_id`.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress

import msgspec
from starlette.types import Receive, Scope, Send

from chatswarm.backend.chat import guide_log
from chatswarm.backend.chat.service import ChatService
from chatswarm.backend.fanout.hub import Subscriber
from chatswarm.backend.fanout.replay import replay
from chatswarm.backend.fanout.sockets import EXTENSION, DashboardProtocol
from chatswarm.backend.http.auth import SUBPROTOCOL, foreign
from chatswarm.backend.http.responses import CHALLENGE
from chatswarm.backend.store.records import StoreUnavailableError
from chatswarm.backend.store.timestamps import timestamp
from chatswarm.backend.wire import frames


class _Request(msgspec.Struct):
    action: str = ""
    subscription_type: str = frames.CHAT_UPDATES
    after: int | None = None


class _Refusal(msgspec.Struct, frozen=True):
    """An HTTP answer instead of a WebSocket."""

    reason: str
    status: int
    message: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


_decode = msgspec.json.Decoder(_Request).decode

_FOREIGN = _Refusal("origin", 403, b"Origin: expected one of those that are allowed here")
_NO_TOKEN = _Refusal("token", 401, b"Authorization: expected Bearer and a valid token", (CHALLENGE,))
_FULL = _Refusal("full", 503, b"Too many dashboards", ((b"retry-after", b"1"),))


class DashboardEndpoint:
    """Accepts dashboards of the right origin with the right token, up to the limit on connections."""

    def __init__(self, service: ChatService) -> None:
        self._service = service
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, from its handshake to its end."""
        if scope["type"] != "websocket":
            raise RuntimeError("/ws/dashboard: expected a WebSocket")
        outlet = scope["extensions"].get(EXTENSION)
        if not isinstance(outlet, DashboardProtocol):
            raise RuntimeError(f"expected a server with the extension {EXTENSION}, got {sorted(scope['extensions'])}")
        await receive()  # websocket.connect
        metrics = self._service.metrics
        refusal = self._refusal(scope)
        if refusal is not None:
            metrics.turned_away[refusal.reason].inc()
            headers = [(b"content-type", b"text/plain; charset=utf-8"), *refusal.headers]
            await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": refusal.message})
            return
        self._open += 1
        metrics.connected.set(self._open)
        try:
            # A browser that offers subprotocols gives up if none of them is taken.
            subprotocol = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
            await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})
            await _Dashboard(self._service, outlet).run(receive)
        finally:
            self._open -= 1
            metrics.connected.set(self._open)
            code = outlet.close_code
            if code is not None:
                metrics.closed(code)

    def _refusal(self, scope: Scope) -> _Refusal | None:
        settings, headers = self._service.settings, scope["headers"]
        if foreign(headers, settings.origins):
            return _FOREIGN
        if settings.dashboard_tokens and not settings.dashboard_tokens.accept(headers, scope["subprotocols"]):
            return _NO_TOKEN
        return _FULL if self._open >= settings.max_connections else None


class _Dashboard:
    """One connection, from its accept to its end."""

    def __init__(self, service: ChatService, outlet: DashboardProtocol) -> None:
        self._service = service
        self._outlet = outlet
        self._id = str(uuid.uuid4())
        self._subscriber: Subscriber | None = None
        self._replay: asyncio.Task[None] | None = None

    async def run(self, receive: Receive) -> None:
        self._outlet.write(frames.connected(self._id))
        if self._few():
            self._service.guide.put(guide_log.connected(self._id))
        try:
            while (message := await receive())["type"] == "websocket.receive":
                self._outlet.write(self._answer(message.get("text")))
        finally:
            self._leave()

    def _answer(self, text: str | None) -> bytes:
        """The frame that answers one message; b"" if it was sent already."""
        if text is None:
            return frames.error("Expected a JSON text frame, got a binary one")
        try:
            request = _decode(text)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return frames.error(f"Expected a JSON object with an action, got: {error}")
        if request.action == "ping":
            return frames.pong(timestamp())
        if request.action not in ("subscribe", "unsubscribe"):
            return frames.error(f"Unknown action: {request.action[:200]}")
        if request.subscription_type not in frames.CHANNELS:
            return frames.error(f"Unknown subscription_type: {request.subscription_type[:200]}")
        if request.action == "unsubscribe":
            if request.subscription_type == frames.CHAT_UPDATES:
                self._leave()
            return frames.unsubscribed(request.subscription_type)
        return self._subscribe(request)

    def _subscribe(self, request: _Request) -> bytes:
        hub = self._service.hub
        if request.after is not None and not 0 <= request.after < 1 << 63:
            return frames.error(f"Expected after to be a message_id, got {request.after}")
        # If the log cannot be read now, what is missing comes live, after an older last_message_id.
        with suppress(StoreUnavailableError):
            self._service.look()
        if request.subscription_type != frames.CHAT_UPDATES:
            return frames.subscribed(request.subscription_type, hub.head)
        if self._subscriber is not None and request.after is None:
            return frames.subscribed(request.subscription_type, hub.head)
        self._leave()
        # Registering and taking the head is one step: what is committed from now on comes live, the rest is replayed.
        self._subscriber = hub.subscribe(self._outlet, self._id, hold=request.after is not None)
        if self._few():
            self._service.guide.put(guide_log.subscribed(self._id, request.subscription_type, len(hub)))
        answer = frames.subscribed(request.subscription_type, self._subscriber.since)
        if request.after is None:
            return answer
        self._outlet.write(answer)
        self._replay = asyncio.get_running_loop().create_task(
            replay(
                hub,
                self._subscriber,
                request.after,
                self._service.log.page,
                self._service.metrics,
                room=self._service.settings.buffer_limit // 4,
            )
        )
        return b""

    def _leave(self) -> None:
        if self._subscriber is not None:
            self._service.hub.unsubscribe(self._subscriber)
            self._subscriber = None
        if self._replay is not None:
            self._replay.cancel()
            self._replay = None

    def _few(self) -> bool:
        return len(self._service.hub) <= guide_log.SUBSCRIBERS
