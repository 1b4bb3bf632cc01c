"""`/ws/dashboard`: the handshake, and the reply to each frame. Nothing here waits for a slow reader.

Beyond the original protocol, `subscribe` accepts `"after": <message_id>` and replays every later message (replay.py may
send a `refetch` frame instead), and the reply to it contains the `last_message_id`.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress

import msgspec
from starlette.types import Receive, Scope

from chatswarm.backend.chat import guide_log
from chatswarm.backend.chat.service import ChatService
from chatswarm.backend.fanout.hub import Subscriber
from chatswarm.backend.fanout.replay import ChatUpdates, replay
from chatswarm.backend.fanout.sockets import DashboardProtocol
from chatswarm.backend.http.auth import SUBPROTOCOL
from chatswarm.backend.store.records import StoreUnavailableError
from chatswarm.backend.store.timestamps import timestamp
from chatswarm.backend.wire import frames

from .socket_endpoint import NO_TOKEN, HandshakeRefusal, SocketEndpoint


class _ClientFrame(msgspec.Struct):
    action: str = ""
    subscription_type: str = frames.CHAT_UPDATES
    after: int | None = None


_decode = msgspec.json.Decoder(_ClientFrame).decode


class DashboardEndpoint(SocketEndpoint):
    """Accepts dashboards with an allowed origin and a valid token, up to the connection limit."""

    full = HandshakeRefusal("full", 503, "Too many dashboards", ((b"retry-after", b"1"),))
    subprotocol = SUBPROTOCOL
    refusal_type = b"text/plain; charset=utf-8"

    def __init__(self, service: ChatService) -> None:
        super().__init__(service)
        self._service = service

    def _denied(self, scope: Scope) -> HandshakeRefusal | None:
        tokens = self._settings.dashboard_tokens
        return NO_TOKEN if tokens and not tokens.accept(scope["headers"], scope["subprotocols"]) else None

    def _refusal_body(self, message: str) -> bytes:
        return message.encode()

    async def _serve(self, connection: DashboardProtocol, scope: Scope, receive: Receive) -> None:  # noqa: ARG002
        await _Dashboard(self._service, connection).run(receive)


class _Dashboard:
    """One accepted connection."""

    def __init__(self, service: ChatService, connection: DashboardProtocol) -> None:
        self._service = service
        self._connection = connection
        self._id = str(uuid.uuid4())
        self._subscriber: Subscriber | None = None
        self._replay: asyncio.Task[None] | None = None

    async def run(self, receive: Receive) -> None:
        self._connection.write(frames.connected(self._id))
        if self._few():
            self._service.guide.put(guide_log.connected(self._id))
        try:
            while (message := await receive())["type"] == "websocket.receive":
                self._connection.write(self._reply(message.get("text")))
        finally:
            self._leave()

    def _reply(self, text: str | None) -> bytes:
        """The reply to one message; b"" if it has already been sent."""
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

    def _subscribe(self, request: _ClientFrame) -> bytes:
        hub = self._service.hub
        if request.after is not None and not 0 <= request.after < 1 << 63:
            return frames.error(f"Expected after to be a message_id, got {request.after}")
        # If the log cannot be read now, the missing messages arrive live, after an older last_message_id.
        with suppress(StoreUnavailableError):
            self._service.catch_up()
        if request.subscription_type != frames.CHAT_UPDATES:
            return frames.subscribed(request.subscription_type, hub.head)
        if self._subscriber is not None and request.after is None:
            return frames.subscribed(request.subscription_type, hub.head)
        self._leave()
        # Registering takes the head in the same step: later commits arrive live, earlier ones are replayed.
        self._subscriber = hub.subscribe(self._connection, self._id, hold=request.after is not None)
        self._service.metrics.subscribed.set(len(hub))
        if self._few():
            self._service.guide.put(guide_log.subscribed(self._id, request.subscription_type, len(hub)))
        reply = frames.subscribed(request.subscription_type, self._subscriber.since)
        if request.after is None:
            return reply
        self._connection.write(reply)
        self._replay = asyncio.get_running_loop().create_task(
            replay(
                hub,
                self._subscriber,
                request.after,
                ChatUpdates(self._service.log.page),
                self._service.metrics,
                max_unsent=self._service.settings.buffer_limit // 4,
            )
        )
        return b""

    def _leave(self) -> None:
        if self._subscriber is not None:
            self._service.hub.unsubscribe(self._subscriber)
            self._service.metrics.subscribed.set(len(self._service.hub))
            self._subscriber = None
        if self._replay is not None:
            self._replay.cancel()
            self._replay = None

    def _few(self) -> bool:
        return len(self._service.hub) <= guide_log.SUBSCRIBERS
