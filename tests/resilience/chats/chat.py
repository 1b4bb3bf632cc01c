"""A small clean chat that keeps its promises under faults. It shares no code with the reference backend.

A broken chat is a subclass that overrides as little as possible.
"""

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import ClassVar, NamedTuple
from urllib.parse import urlsplit

from .dashboard import Dashboard
from .store import Conversation, Message, Store, Unavailable

_TAIL = 3
"""The list shows this many of each chat's latest messages, and their total number."""
_MAX_CHARACTERS = 20_000
"""In a message."""


class JsonResponse(NamedTuple):
    """An HTTP response whose body is JSON: bytes that are already encoded, or a value."""

    status: int
    body: object
    headers: Mapping[str, str] = {}

    @property
    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Settings:
    """The command line flags."""

    name: str
    port: int
    host: str = "127.0.0.1"
    database: str = ""  # empty: in memory
    origins: tuple[str, ...] = ()  # allowed besides the chat's own
    token: str = ""  # that dashboards need; empty: none
    bus: str = ""  # a Redis or Valkey URL, for a chat with several workers
    listener: int | None = None  # a worker's inherited listening socket


@dataclass
class Chat:
    """The clean chat.

    A 2xx means that the message is on disk and will be shown; a 503, that it is not and will not be. After a restart,
    everything on disk is shown again. No dashboard waits for another, and no send waits for a dashboard. A dashboard
    that does not read is cut off. Bad frames harm only their sender, idle connections shut nobody out, and strangers
    are refused. On SIGTERM it finishes what it accepted, closes with 1012, and exits within seconds.
    """

    settings: Settings
    store: Store
    conversations: dict[str, Conversation] = field(default_factory=dict)
    dashboards: set[Dashboard] = field(default_factory=set)
    _list: bytes = b""  # encoded; empty: stale

    request_timeout: ClassVar[float | None] = 10
    """Seconds from connecting to the first complete request."""
    max_waiting_connections: ClassVar[int] = 200
    """How many connections may be without a complete request; beyond that, the oldest are closed."""
    max_open_files: ClassVar[int | None] = None
    """The limit on open files, and so on connections. None: the system's limit."""

    def __post_init__(self) -> None:
        self.conversations = {conversation.id: conversation for conversation in self.store.conversations()}

    # Overridden by broken chats.

    async def start(self) -> None:
        """Runs in the event loop before the first connection."""

    async def send(self, conversation: Conversation, role: str, text: str) -> JsonResponse:
        """Handles a new message: stores, lists and announces it, then responds."""
        message = await self.persist(conversation, role, text)
        self.add_to_list(message)
        await self.announce(message)
        return self.accepted(message)

    async def persist(self, conversation: Conversation, role: str, text: str) -> Message:
        """Stores a message. Returns once it is on disk. Raises Unavailable."""
        return await self.store.add_message(conversation.id, role, text)

    async def announce(self, message: Message) -> None:
        """Sends a frame to every subscriber, without waiting for any."""
        frame = notification(message)
        for dashboard in tuple(self.dashboards):
            if dashboard.subscribed:
                dashboard.send(frame)

    async def create(self, conversation: Conversation) -> None:
        """Creates a chat. Raises Unavailable."""
        await self.store.add_chat(conversation)
        self.conversations[conversation.id] = conversation
        self._list = b""

    async def find(self, chat: str) -> Conversation | None:
        return self.conversations.get(chat)

    def all_messages(self, conversation: Conversation) -> list[Message]:
        return list(conversation.messages.values())

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Whether a dashboard may connect. `headers`: of its handshake, with lower-case names."""
        origin = headers.get("origin", "")
        own = urlsplit(origin).netloc == headers.get("host", "")
        return (not origin or own or origin in self.settings.origins) and self.authorized(headers)

    def authorized(self, headers: Mapping[str, str]) -> bool:
        """Whether the request has the token, if there is one."""
        return not self.settings.token or headers.get("authorization") == f"Bearer {self.settings.token}"

    def received_frame(self, dashboard: Dashboard, text: str | bytes) -> None:
        """Handles a dashboard's frame, which may be malformed."""
        dashboard.send(self.reply(dashboard, text))

    def received_pong(self, dashboard: Dashboard) -> None:
        """Handles a dashboard's pong."""

    async def finish(self) -> None:
        """Runs in the event loop after the last request."""

    def serve(self) -> None:
        """Runs until SIGTERM."""
        from .server import Server, limit_files, listener_on

        limit_files(self.max_open_files)
        asyncio.run(Server(self).run(listener_on(self.settings.host, self.settings.port)))

    # The same for all chats.

    def reply(self, dashboard: Dashboard, text: str | bytes) -> bytes:
        """The reply to a dashboard's frame."""
        try:
            message = json.loads(text) if isinstance(text, str) else None
        except (ValueError, RecursionError):
            message = None
        action = message.get("action") if isinstance(message, dict) else None
        channel = message.get("subscription_type") if isinstance(message, dict) else None
        if action in ("subscribe", "unsubscribe") and channel == "chat_updates":
            dashboard.subscribed = action == "subscribe"
            return _json({"type": f"{action}d", "subscription_type": channel})
        if action == "ping":
            return _json({"type": "pong", "timestamp": "t"})
        return _json({"type": "error", "message": f"Unknown action: {str(action)[:100]}"})

    def greeting(self) -> bytes:
        """The first frame."""
        return _json({"type": "connected", "connection_id": str(uuid.uuid4()), "message": "hello"})

    def add_to_list(self, message: Message) -> None:
        """Adds a stored message to the list."""
        self.conversations[message.chat].messages[message.id] = message
        self._list = b""

    def accepted(self, message: Message) -> JsonResponse:
        return JsonResponse(200, {"success": True, "message": "sent", "message_id": message.id})

    async def respond(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> JsonResponse:
        """Handles any request."""
        if path == _LIST and not self.authorized(headers):
            return JsonResponse(401, {"detail": "for dashboards only"}, {"WWW-Authenticate": "Bearer"})
        try:
            return await self._respond(method, path, body)
        except Unavailable as error:
            return JsonResponse(503, {"detail": f"the store is unavailable: {error}"}, {"Retry-After": "1"})

    async def _respond(self, method: str, path: str, body: bytes) -> JsonResponse:
        if (method, path) == ("GET", _LIST):
            return JsonResponse(200, self.list_of_chats())
        if method == "GET" and path.startswith("/api/chats/"):
            conversation = await self.find(path.removeprefix("/api/chats/"))
            return (
                JsonResponse(200, _chat_json(conversation, self.all_messages(conversation)))
                if conversation
                else _not_found()
            )
        if method != "POST":
            return _not_found()
        values = _values(body)
        if values is None:
            return JsonResponse(400, {"detail": "expected a JSON object"})
        if path == "/api/users/data":
            return JsonResponse(200, {"success": True, "message": "thanks"})
        if path == "/api/users/chats/create":
            conversation = Conversation(str(uuid.uuid4()), str(values.get("email", "")), str(values.get("name", "")))
            await self.create(conversation)
            return JsonResponse(200, {"success": True, "chat_id": conversation.id, "message": "created"})
        parts = path.split("/")
        if len(parts) == 6 and parts[2] in _ROLES and (parts[3], parts[5]) == ("chats", "send"):
            conversation = await self.find(parts[4])
            text = values.get("content")
            if conversation is None:
                return _not_found()
            if not isinstance(text, str) or not text:
                return JsonResponse(400, {"detail": "expected content"})
            if len(text) > _MAX_CHARACTERS:
                return JsonResponse(413, {"detail": "too long"})
            return await self.send(conversation, _ROLES[parts[2]], text)
        return _not_found()

    def list_of_chats(self) -> bytes:
        """The list that dashboards refetch, encoded once for all of them."""
        if not self._list:
            users = [
                {
                    "_id": conversation.id,
                    "name": conversation.name,
                    "email": conversation.email,
                    "chats": [_chat_json(conversation, _latest(conversation))],
                }
                for conversation in self.conversations.values()
            ]
            self._list = _json({"users": users})
        return self._list


_LIST = "/api/debug/users-chats"
_ROLES = {"users": "user", "dashboard": "agent"}


def notification(message: Message) -> bytes:
    """The frame that announces a message."""
    data = {"type": "chat_message_notification", "chat_id": message.chat, "message_role": message.role}
    return _json({"type": "chat_updates", "data": {**data, "timestamp": "t", "message_id": message.id}})


def _latest(conversation: Conversation) -> list[Message]:
    return [*islice(reversed(conversation.messages.values()), _TAIL)][::-1]


def _chat_json(conversation: Conversation, messages: list[Message]) -> dict[str, object]:
    shown = [
        {"role": each.role, "text": each.text, "timestamp": "t", "read": False, "message_id": each.id}
        for each in messages
    ]
    return {
        "chat_id": conversation.id,
        "status": "active",
        "total_messages": len(conversation.messages),
        "messages": shown,
    }


def _values(body: bytes) -> dict[str, object] | None:
    try:
        values = json.loads(body)
        # A lone surrogate is valid JSON, but cannot be stored.
        json.dumps(values, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _not_found() -> JsonResponse:
    return JsonResponse(404, {"detail": "not found"})


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
