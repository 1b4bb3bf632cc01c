"""A small clean chat with the original protocol, which shares no code with the reference backend.

So neither can hide a bug of the other. A plant is a subclass that overrides one of the hooks.
"""

import asyncio
import json
import ssl
import threading
import traceback
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

Response = tuple[int, object]
"""An HTTP status and a JSON body."""

NO_RESPONSE: Response = (0, None)
"""Close the connection without a response."""


@dataclass(frozen=True, slots=True)
class Message:
    """A customer's message. Messages are numbered from 1; the number is also the message id if the chat has ids."""

    number: int
    text: str


@dataclass(eq=False)
class Dashboard:
    """A dashboard's socket. `number` is that of its handshake, from 1."""

    protocol: ServerProtocol
    writer: asyncio.StreamWriter
    number: int
    subscribed: bool = False

    def send(self, message: object) -> None:
        """Sends one text frame."""
        if self.protocol.state is State.OPEN:
            self.protocol.send_text(json.dumps(message).encode())
            self.flush()

    def close(self, code: int) -> None:
        """Sends a close frame, and closes the connection."""
        if self.protocol.state is State.OPEN:
            self.protocol.send_close(code)
            self.flush()
        self.writer.close()

    def flush(self) -> None:
        self.writer.write(b"".join(self.protocol.data_to_send()))


@dataclass(eq=False)
class Reader:
    """One HTTP connection."""

    shown: set[int] = field(default_factory=set)  # the numbers of all messages that its lists have shown
    slot: int = -1  # which dashboard it belongs to, if a plant tracks that


@dataclass
class Chat:
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
    mistakes: list[str] = field(default_factory=list)  # errors in this package, which are no planted defects

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

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._converse(reader, writer)
        except Exception:  # noqa: BLE001
            self.mistakes.append(traceback.format_exc())
        finally:
            writer.close()

    async def _converse(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader = Reader()
        try:
            while True:
                head = await stream.readuntil(b"\r\n\r\n")
                method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
                headers = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if line)
                if headers.get(b"upgrade") == b"websocket":
                    await self._watch(head, stream, writer)
                    return
                body = await stream.readexactly(int(headers.get(b"content-length", b"0")))
                response = await self.respond(reader, method, path, body)
                if response is NO_RESPONSE:
                    return
                data = json.dumps(response[1]).encode()
                writer.write(f"HTTP/1.1 {response[0]} X\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        finally:
            self.left(reader)

    async def _watch(self, head: bytes, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handshakes += 1
        protocol = ServerProtocol()
        dashboard = Dashboard(protocol, writer, self.handshakes)
        protocol.receive_data(head)
        request = protocol.events_received()[0]
        assert isinstance(request, Request)
        welcome = self.welcome(dashboard)
        protocol.send_response(protocol.accept(request) if welcome else protocol.reject(403, "no"))
        dashboard.flush()
        if not welcome:
            return
        self.dashboards.append(dashboard)
        try:
            dashboard.send({"type": "connected", "connection_id": str(uuid.uuid4()), "message": "hello"})
            while data := await stream.read(65536):
                protocol.receive_data(data)
                for event in protocol.events_received():
                    if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                        self._handle_action(dashboard, json.loads(bytes(event.data)))
                dashboard.flush()
                if protocol.state is not State.OPEN:
                    break
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


@contextmanager
def serving(chat: Chat, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serves a chat from a separate thread. Yields its base URL."""
    loop = asyncio.new_event_loop()
    started = threading.Event()
    stop = asyncio.Event()
    ports: list[int] = []

    async def main() -> None:
        server = await asyncio.start_server(chat.connected, "127.0.0.1", 0, ssl=tls)
        ports.append(server.sockets[0].getsockname()[1])
        started.set()
        await stop.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    assert started.wait(10)
    try:
        yield f"{'https' if tls else 'http'}://localhost:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
    assert not chat.mistakes, chat.mistakes[0]
