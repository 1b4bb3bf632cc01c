"""A small clean chat that speaks only the original's protocol, and copies of it with one defect each.

They share nothing with the reference backend, so that neither can hide a fault of the other. Defects are deterministic:
every so-many-th message, never one in so many at random.
"""

import asyncio
import json
import ssl
import threading
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import ClassVar

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

Answer = tuple[int, object]


@dataclass(eq=False)
class Dashboard:
    """One dashboard's socket."""

    protocol: ServerProtocol
    writer: asyncio.StreamWriter
    number: int
    subscribed: bool = False
    frames: int = 0

    def say(self, message: object) -> None:
        """One frame."""
        if self.protocol.state is State.OPEN:
            self.protocol.send_text(json.dumps(message).encode())
            self.flush()

    def close(self, code: int) -> None:
        """The closing handshake, and the end of the connection."""
        if self.protocol.state is State.OPEN:
            self.protocol.send_close(code)
            self.flush()
        self.writer.close()

    def flush(self) -> None:
        self.writer.write(b"".join(self.protocol.data_to_send()))


@dataclass
class Chat:
    """The clean one: no message ids, no `seq`, all messages of all chats in the list."""

    chats: dict[str, list[str]] = field(default_factory=dict)
    dashboards: list[Dashboard] = field(default_factory=list)
    sends: int = 0
    handshakes: int = 0
    mistakes: list[str] = field(default_factory=list)  # of this file itself: a plant must break only what it says
    name: ClassVar[str] = "clean"

    # What a defect overrides.

    def send(self, chat_id: str, text: str) -> Answer:
        """A widget's message: stored, announced, answered."""
        self.store(chat_id, text)
        self.announce(chat_id)
        return 200, {"success": True, "message": "sent"}

    def store(self, chat_id: str, text: str) -> None:
        self.chats[chat_id].append(text)

    def announce(self, chat_id: str) -> None:
        notification = {
            "type": "chat_message_notification",
            "chat_id": chat_id,
            "message_role": "user",
            "timestamp": "t",
        }
        for dashboard in self.dashboards:
            if dashboard.subscribed:
                self.deliver(dashboard, {"type": "chat_updates", "data": notification})

    def deliver(self, dashboard: Dashboard, frame: object) -> None:
        dashboard.frames += 1
        dashboard.say(frame)

    def welcome(self, dashboard: Dashboard) -> bool:
        """Whether a dashboard may connect."""
        return True

    def listed(self) -> dict[str, list[str]]:
        """What the list shows."""
        return self.chats

    def list_chats(self) -> Answer:
        return 200, {"users": [{"chats": [_shown(chat, texts)]} for chat, texts in self.listed().items()]}

    # The protocol.

    def respond(self, method: str, path: str, body: bytes) -> Answer:
        if (method, path) == ("GET", "/api/debug/users-chats"):
            return self.list_chats()
        if (method, path) == ("POST", "/api/users/data"):
            return 200, {"success": True, "message": "thanks"}
        if (method, path) == ("POST", "/api/users/chats/create"):
            chat_id = str(uuid.uuid4())
            self.chats[chat_id] = []
            return 200, {"success": True, "chat_id": chat_id}
        parts = path.split("/")
        if method == "GET" and path.startswith("/api/chats/") and parts[3] in self.chats:
            return 200, _shown(parts[3], self.chats[parts[3]])
        if method == "POST" and path.endswith("/send") and parts[4] in self.chats:
            self.sends += 1
            return self.send(parts[4], json.loads(body)["content"])
        return 404, {"detail": "not found"}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._converse(reader, writer)
        except Exception:  # noqa: BLE001
            self.mistakes.append(traceback.format_exc())
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            headers = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if line)
            if headers.get(b"upgrade") == b"websocket":
                await self._watch(head, reader, writer)
                return
            body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
            status, answer = self.respond(method, path, body)
            data = json.dumps(answer).encode()
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)

    async def _watch(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
            dashboard.say({"type": "connected", "connection_id": str(uuid.uuid4()), "message": "hello"})
            while data := await reader.read(65536):
                protocol.receive_data(data)
                for event in protocol.events_received():
                    if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                        self._told(dashboard, json.loads(bytes(event.data)))
                dashboard.flush()
                if protocol.state is not State.OPEN:
                    break
        finally:
            self.dashboards.remove(dashboard)

    def _told(self, dashboard: Dashboard, message: dict[str, str]) -> None:
        if message.get("action") == "subscribe":
            dashboard.subscribed = True
            dashboard.say({"type": "subscribed", "subscription_type": message["subscription_type"]})
        elif message.get("action") == "ping":
            dashboard.say({"type": "pong", "timestamp": "t"})


@dataclass
class LosesEveryTenth(Chat):
    """Every tenth message is answered with a 2xx and kept, but neither announced nor ever listed."""

    hidden: set[str] = field(default_factory=set)
    name = "lost"

    def send(self, chat_id: str, text: str) -> Answer:
        self.store(chat_id, text)
        if self.sends % 10 == 0:
            self.hidden.add(text)
        else:
            self.announce(chat_id)
        return 200, {"success": True, "message": "sent"}

    def listed(self) -> dict[str, list[str]]:
        return {chat: [text for text in texts if text not in self.hidden] for chat, texts in self.chats.items()}


class RefusesEveryThirdSend(Chat):
    """Every third send is answered 500, and not stored."""

    name = "refused"

    def send(self, chat_id: str, text: str) -> Answer:
        return (500, {"detail": "no"}) if self.sends % 3 == 0 else super().send(chat_id, text)


class AdmitsOneDashboardInTwo(Chat):
    """Every second handshake is answered 403, and of the others none is let in again."""

    name = "absent"

    def welcome(self, dashboard: Dashboard) -> bool:
        return dashboard.number <= 4 and dashboard.number % 2 == 1


class ListFails(Chat):
    """The list is answered 500 once messages come."""

    name = "list fails"

    def list_chats(self) -> Answer:
        return (500, {"detail": "no"}) if self.sends else super().list_chats()


def _shown(chat_id: str, texts: list[str]) -> dict[str, object]:
    messages = [{"role": "user", "text": text, "timestamp": "t", "read": False} for text in texts]
    return {"chat_id": chat_id, "status": "active", "total_messages": len(texts), "messages": messages}


@contextmanager
def serving(chat: Chat, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serves a chat from a thread of its own; yields its base URL."""
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
