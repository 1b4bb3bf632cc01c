"""Broken chats as in many tutorials: FastAPI and uvicorn, a list of connections and a broadcast loop."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from websockets.protocol import State
from websockets.server import ServerProtocol

from .chat import Chat, notification
from .dashboard import Dashboard
from .server import limit_files, listener_on
from .store import Message


@dataclass
class Tutorial(Chat):
    """The base of both: the clean chat's HTTP and storage, but a list of dashboards that are awaited in turn."""

    connections: list[WebSocket] = field(default_factory=list)

    graceful_shutdown: ClassVar[int | None] = 2
    """uvicorn's `timeout_graceful_shutdown`; None is its default."""

    async def announce(self, message: Message) -> None:
        await self.broadcast(json.loads(notification(message)))

    async def broadcast(self, frame: dict[str, Any]) -> None:
        """Sends a frame to every subscriber, in turn."""
        raise NotImplementedError

    async def listen(self, socket: WebSocket) -> None:
        """Serves one dashboard after its greeting, until it ends."""
        raise NotImplementedError

    def reply_to(self, socket: WebSocket, text: str | bytes) -> dict[str, Any]:
        """The reply to a dashboard's frame. Also updates the list of connections."""
        listed = socket in self.connections
        dashboard = Dashboard(ServerProtocol(state=State.CLOSED), asyncio.WriteTransport(), subscribed=listed)
        reply: dict[str, Any] = json.loads(self.reply(dashboard, text))
        if dashboard.subscribed and not listed:
            self.connections.append(socket)
        elif listed and not dashboard.subscribed:
            self.connections.remove(socket)
        return reply

    def application(self) -> FastAPI:
        """The routes."""

        @contextlib.asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            await self.start()
            yield
            await self.finish()
            self.store.close()

        app = FastAPI(lifespan=lifespan)

        @app.websocket("/ws/dashboard")
        async def dashboard(socket: WebSocket) -> None:
            if not self.admits(dict(socket.headers)):
                await socket.close()
                return
            await socket.accept()
            await socket.send_json(json.loads(self.greeting()))
            await self.listen(socket)

        @app.api_route("/{path:path}", methods=["GET", "POST"])
        async def anything(request: Request) -> Response:
            body = await request.body()
            response = await self.respond(request.method, request.url.path, request.headers, body)
            return Response(response.encoded, response.status, dict(response.headers), "application/json")

        return app

    def serve(self) -> None:
        limit_files(self.max_open_files)
        config = uvicorn.Config(
            self.application(), log_level="warning", timeout_graceful_shutdown=self.graceful_shutdown
        )
        uvicorn.Server(config).run([listener_on(self.settings.host, self.settings.port)])


@dataclass
class AwaitsEachDashboard(Tutorial):
    """Broken: *no dashboard waits for another, and no send waits for a dashboard*. The broadcast awaits each in turn.

    `for ws in connections: await ws.send_json(...)` in the POST handler, and uvicorn with its defaults. Once the
    buffers of one dashboard that does not read are full, it blocks all sends and all other dashboards. Without
    `timeout_graceful_shutdown`, which nobody sets, SIGTERM does not end the process while it is connected.
    Each frame carries the chat's latest messages, for pages that do not refetch.
    """

    graceful_shutdown: ClassVar[int | None] = None

    async def broadcast(self, frame: dict[str, Any]) -> None:
        conversation = self.conversations[frame["data"]["chat_id"]]
        frame["data"]["chat"] = [message.text for message in [*conversation.messages.values()][-_SHOWN:]]
        for socket in tuple(self.connections):
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it has just disconnected
                await socket.send_json(frame)

    async def listen(self, socket: WebSocket) -> None:
        try:
            while True:
                received = await socket.receive()
                if received["type"] == "websocket.disconnect":
                    return
                await socket.send_json(self.reply_to(socket, received.get("text") or b""))
        except (RuntimeError, WebSocketDisconnect):
            return
        finally:
            if socket in self.connections:
                self.connections.remove(socket)


_SHOWN = 10
"""The number of messages in a frame."""


@dataclass
class DiesOfBadFrames(Tutorial):
    """Broken: *bad frames harm only their sender*. A frame that is not JSON leaves a dead connection in the list.

    As in the tutorial, `except WebSocketDisconnect` around `receive_json()` removes the connection from the list. Any
    other exception ends the connection and leaves it there. From then on each broadcast stops at it: later dashboards
    get nothing, and the send gets a 500 although it is stored.
    """

    async def broadcast(self, frame: dict[str, Any]) -> None:
        for socket in self.connections:
            with contextlib.suppress(TimeoutError):  # does not wait long for any dashboard
                await asyncio.wait_for(socket.send_json(frame), 0.2)

    async def listen(self, socket: WebSocket) -> None:
        try:
            while True:
                message = await socket.receive_json()
                await socket.send_json(self.reply_to(socket, json.dumps(message)))
        except WebSocketDisconnect:
            if socket in self.connections:
                self.connections.remove(socket)
