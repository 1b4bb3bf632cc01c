"""A small clean chat with the original protocol, which shares no code with the reference backend.

So neither can hide a bug of the other. A plant is a subclass that overrides one of the hooks.
"""

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from websockets.server import ServerProtocol

from .wire import NO_RESPONSE, Response, Server, Socket, read_request, response_bytes, serving

__all__ = ["NO_RESPONSE", "Chat", "Dashboard", "Message", "Reader", "Response", "serving"]


@dataclass(frozen=True, slots=True)
class Message:
    """A customer's message. Messages are numbered from 1; the number is also the message id if the chat has ids."""

    number: int
    text: str


@dataclass(eq=False)
class Dashboard(Socket):
    """A dashboard's socket. `number` is that of its handshake, from 1."""

    number: int
    subscribed: bool = False


@dataclass(eq=False)
class Reader:
    """One HTTP connection."""

    shown: set[int] = field(default_factory=set)  # the numbers of all messages that its lists have shown
    slot: int = -1  # which dashboard it belongs to, if a plant tracks that


@dataclass
class Chat(Server):
    """The clean chat: all messages of all chats in the list, bare notifications, no `seq`.

    With `ids` it adds message ids where the reference backend does: in responses to sends, in frames and in whole
    chats. With `tail` the list shows only that many of the last messages of each chat, as the reference backend does.
    """

    ids: bool = False
    tail: int | None = None
    chats: dict[str, list[Message]] = field(default_factory=dict)
    dashboards: list[Dashboard] = field(default_factory=list)
    messages: int = 0  # the last number given to a message
    sends: int = 0
    accepted: int = 0
    handshakes: int = 0

    # Hooks that a plant overrides.

    async def send(self, chat_id: str, text: str) -> Response:
        """Handles a widget's message: stores it, announces it, responds."""
        message = self.store(chat_id, text)
        self.announce(chat_id, message)
        return self.sent(message)

    def store(self, chat_id: str, text: str) -> Message:
        message = self.numbered(text)
        self.chats[chat_id].append(message)
        return message

    def announce(self, chat_id: str, message: Message) -> None:
        for dashboard in self.dashboards:
            if dashboard.subscribed:
                self.deliver(dashboard, chat_id, message)

    def deliver(self, dashboard: Dashboard, chat_id: str, message: Message) -> None:
        notification = {"type": "chat_message_notification", "chat_id": chat_id, "message_role": "user"}
        dashboard.send({"type": "chat_updates", "data": {**notification, "timestamp": "t", **self.identity(message)}})

    def welcome(self, dashboard: Dashboard) -> bool:
        """Whether a dashboard may connect."""
        return True

    def subscribe(self, dashboard: Dashboard, channel: str) -> None:
        dashboard.subscribed = True
        dashboard.send({"type": "subscribed", "subscription_type": channel})

    async def list_chats(self, reader: Reader) -> Response:
        chats = []
        for chat_id, messages in self.listed(reader).items():
            reader.shown.update(message.number for message in messages)
            shown = [self.shown(message) for message in (messages[-self.tail :] if self.tail else messages)]
            chats.append({"chats": [_chat(chat_id, self.total(chat_id, messages), shown)]})
        return 200, {"users": chats}

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        """The chats that the list shows on one connection."""
        return self.chats

    def shown(self, message: Message) -> dict[str, object]:
        """How the list shows a message."""
        return _shown(message)

    def total(self, chat_id: str, listed: Sequence[Message]) -> int:
        """How many messages the list says a chat has."""
        return len(listed)

    # For plants to use.

    def numbered(self, text: str) -> Message:
        """A message with the next number."""
        self.messages += 1
        return Message(self.messages, text)

    def identity(self, message: Message) -> dict[str, object]:
        return {"message_id": message.number} if self.ids else {}

    def sent(self, message: Message) -> Response:
        """The response to an accepted send."""
        return 200, {"success": True, "message": "sent", **self.identity(message)}

    # The protocol.

    async def respond(self, reader: Reader, method: str, path: str, body: bytes) -> Response:
        if (method, path) == ("GET", "/api/debug/users-chats"):
            return await self.list_chats(reader)
        if (method, path) == ("POST", "/api/users/data"):
            return 200, {"success": True, "message": "thanks"}
        if (method, path) == ("POST", "/api/users/chats/create"):
            chat_id = str(uuid.uuid4())
            self.chats[chat_id] = []
            return 200, {"success": True, "chat_id": chat_id}
        parts = path.split("/")
        if method == "GET" and path.startswith("/api/chats/") and parts[3] in self.chats:
            messages = self.chats[parts[3]]
            shown = [{**_shown(message), **self.identity(message)} for message in messages]
            return 200, _chat(parts[3], len(messages), shown)
        if method == "POST" and path.endswith("/send") and parts[4] in self.chats:
            self.sends += 1
            status, response = await self.send(parts[4], json.loads(body)["content"])
            self.accepted += status == 200
            return status, response
        return 404, {"detail": "not found"}

    def left(self, reader: Reader) -> None:
        """An HTTP connection has ended."""

    async def converse(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader = Reader()
        try:
            while True:
                request = await read_request(stream)
                if request.upgrades:
                    await self._watch(request.head, stream, writer)
                    return
                response = await self.respond(reader, request.method, request.path, request.body)
                if response is NO_RESPONSE:
                    return
                writer.write(response_bytes(response))
        finally:
            self.left(reader)

    async def _watch(self, head: bytes, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handshakes += 1
        dashboard = Dashboard(ServerProtocol(), writer, self.handshakes)
        if not dashboard.answer(head, 0 if self.welcome(dashboard) else 403):
            return
        self.dashboards.append(dashboard)
        try:
            dashboard.send({"type": "connected", "connection_id": str(uuid.uuid4()), "message": "hello"})
            async for text in dashboard.texts(stream):
                self._handle_action(dashboard, json.loads(text))
        finally:
            self.dashboards.remove(dashboard)

    def _handle_action(self, dashboard: Dashboard, message: dict[str, str]) -> None:
        if message.get("action") == "subscribe":
            self.subscribe(dashboard, message["subscription_type"])
        elif message.get("action") == "ping":
            dashboard.send({"type": "pong", "timestamp": "t"})


def _shown(message: Message) -> dict[str, object]:
    return {"role": "user", "text": message.text, "timestamp": "t", "read": False}


def _chat(chat_id: str, total: int, messages: list[dict[str, object]]) -> dict[str, object]:
    return {"chat_id": chat_id, "status": "active", "total_messages": total, "messages": messages}
