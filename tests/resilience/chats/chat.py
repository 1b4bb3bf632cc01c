"""A small clean chat that keeps its promises under faults, and shares nothing with the reference backend.

A broken chat is a copy of it that overrides as little as possible.
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
from .store import Message, Room, Store, Unavailable

_TAIL = 3
"""So many of each chat's last messages the list shows, and how many there are in all."""
_LONGEST = 20_000
"""Characters in a message."""


class Answer(NamedTuple):
    """An HTTP answer in JSON, ready or to be encoded."""

    status: int
    body: object
    headers: Mapping[str, str] = {}

    @property
    def ready(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    name: str
    port: int
    database: str = ""  # empty: in memory
    origins: tuple[str, ...] = ()  # besides the chat's own
    token: str = ""  # that dashboards must bear; empty: none
    bus: str = ""  # a Redis or Valkey, where a chat has several workers
    listener: int | None = None  # one of several workers: its listening socket, which it inherits


@dataclass
class Chat:
    """The clean one.

    A 2xx means that the message is on disk and will be shown; a 503, that it is not and will not be. What is on disk is
    shown again after a restart. No dashboard waits for another one, nor a send for any of them. A dashboard that does
    not read is cut off, bad frames harm only who sends them, idle connections shut nobody out, strangers are refused.
    On SIGTERM it finishes what it accepted, says goodbye with 1012, and ends within seconds.
    """

    settings: Settings
    store: Store
    rooms: dict[str, Room] = field(default_factory=dict)
    dashboards: set[Dashboard] = field(default_factory=set)
    _list: bytes = b""  # ready; empty: to be made anew

    longest_wait_for_a_request: ClassVar[float | None] = 10
    """Seconds from the connection to the first whole request."""
    most_without_a_request: ClassVar[int] = 200
    """So many connections may wait for their first whole request; of more, the oldest are closed."""
    most_files: ClassVar[int | None] = None
    """How many files, and so connections, may be open. None: as many as the system allows."""

    def __post_init__(self) -> None:
        self.rooms = {room.id: room for room in self.store.rooms()}

    # What a broken chat may override.

    async def start(self) -> None:
        """In the loop, before the first connection."""

    async def send(self, room: Room, role: str, text: str) -> Answer:
        """A message comes in: stored, shown, announced, answered."""
        message = await self.keep(room, role, text)
        self.show(message)
        await self.announce(message)
        return self.accepted(message)

    async def keep(self, room: Room, role: str, text: str) -> Message:
        """Returns when it is on disk. Raises Unavailable."""
        return await self.store.add_message(room.id, role, text)

    async def announce(self, message: Message) -> None:
        """A frame to every subscriber, without waiting for any."""
        frame = notification(message)
        for dashboard in tuple(self.dashboards):
            if dashboard.subscribed:
                dashboard.say(frame)

    async def create(self, room: Room) -> None:
        """A new chat. Raises Unavailable."""
        await self.store.add_chat(room)
        self.rooms[room.id] = room
        self._list = b""

    async def find(self, chat: str) -> Room | None:
        return self.rooms.get(chat)

    def all_messages(self, room: Room) -> list[Message]:
        return list(room.messages.values())

    def welcome(self, headers: Mapping[str, str]) -> bool:
        """Whether a dashboard may connect, by the headers of its handshake (names in small letters)."""
        origin = headers.get("origin", "")
        own = urlsplit(origin).netloc == headers.get("host", "")
        return (not origin or own or origin in self.settings.origins) and self.trusted(headers)

    def trusted(self, headers: Mapping[str, str]) -> bool:
        """Whether it is a dashboard that asks: it bears the token, where there is one."""
        return not self.settings.token or headers.get("authorization") == f"Bearer {self.settings.token}"

    def told(self, dashboard: Dashboard, text: str | bytes) -> None:
        """A dashboard's frame, which may be anything."""
        dashboard.say(self.reply(dashboard, text))

    def ponged(self, dashboard: Dashboard) -> None:
        """A dashboard has answered a ping."""

    async def finish(self) -> None:
        """In the loop, after the last request."""

    def serve(self) -> None:
        """Runs until SIGTERM."""
        from .server import Server, limit_files, listener_on

        limit_files(self.most_files)
        asyncio.run(Server(self).run(listener_on(self.settings.port)))

    # What is the same for all.

    def reply(self, dashboard: Dashboard, text: str | bytes) -> bytes:
        """What a dashboard's frame is answered with."""
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

    def show(self, message: Message) -> None:
        """From now on the list has it."""
        self.rooms[message.chat].messages[message.id] = message
        self._list = b""

    def accepted(self, message: Message) -> Answer:
        return Answer(200, {"success": True, "message": "sent", "message_id": message.id})

    async def respond(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Any request."""
        if path == _LIST and not self.trusted(headers):
            return Answer(401, {"detail": "for dashboards only"}, {"WWW-Authenticate": "Bearer"})
        try:
            return await self._respond(method, path, body)
        except Unavailable as error:
            return Answer(503, {"detail": f"the store is unavailable: {error}"}, {"Retry-After": "1"})

    async def _respond(self, method: str, path: str, body: bytes) -> Answer:
        if (method, path) == ("GET", _LIST):
            return Answer(200, self.list_of_chats())
        if method == "GET" and path.startswith("/api/chats/"):
            room = await self.find(path.removeprefix("/api/chats/"))
            return Answer(200, _whole(room, self.all_messages(room))) if room else _not_found()
        if method != "POST":
            return _not_found()
        values = _values(body)
        if values is None:
            return Answer(400, {"detail": "expected a JSON object"})
        if path == "/api/users/data":
            return Answer(200, {"success": True, "message": "thanks"})
        if path == "/api/users/chats/create":
            room = Room(str(uuid.uuid4()), str(values.get("email", "")), str(values.get("name", "")))
            await self.create(room)
            return Answer(200, {"success": True, "chat_id": room.id, "message": "created"})
        parts = path.split("/")
        if len(parts) == 6 and parts[2] in _ROLES and (parts[3], parts[5]) == ("chats", "send"):
            room = await self.find(parts[4])
            text = values.get("content")
            if room is None:
                return _not_found()
            if not isinstance(text, str) or not text:
                return Answer(400, {"detail": "expected a content"})
            if len(text) > _LONGEST:
                return Answer(413, {"detail": "too long"})
            return await self.send(room, _ROLES[parts[2]], text)
        return _not_found()

    def list_of_chats(self) -> bytes:
        """What a dashboard refetches, encoded once for all of them."""
        if not self._list:
            users = [
                {"_id": room.id, "name": room.name, "email": room.email, "chats": [_whole(room, _last(room))]}
                for room in self.rooms.values()
            ]
            self._list = _json({"users": users})
        return self._list


_LIST = "/api/debug/users-chats"
_ROLES = {"users": "user", "dashboard": "agent"}


def notification(message: Message) -> bytes:
    """The frame that announces a message."""
    data = {"type": "chat_message_notification", "chat_id": message.chat, "message_role": message.role}
    return _json({"type": "chat_updates", "data": {**data, "timestamp": "t", "message_id": message.id}})


def _last(room: Room) -> list[Message]:
    return [*islice(reversed(room.messages.values()), _TAIL)][::-1]


def _whole(room: Room, messages: list[Message]) -> dict[str, object]:
    shown = [
        {"role": each.role, "text": each.text, "timestamp": "t", "read": False, "message_id": each.id}
        for each in messages
    ]
    return {"chat_id": room.id, "status": "active", "total_messages": len(room.messages), "messages": shown}


def _values(body: bytes) -> dict[str, object] | None:
    try:
        values = json.loads(body)
        # A lone surrogate is JSON, and nothing that can be stored.
        json.dumps(values, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _not_found() -> Answer:
    return Answer(404, {"detail": "not found"})


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
