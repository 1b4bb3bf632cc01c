"""Chats on FastAPI and uvicorn, as tutorials and many teams write them: a list of connections, and a broadcast loop."""

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
    """What both have: HTTP and storage are the clean chat's; dashboards are in a list, and awaited in turn."""

    connections: list[WebSocket] = field(default_factory=list)

    graceful_shutdown: ClassVar[int | None] = 2
    """uvicorn's `timeout_graceful_shutdown`; None is its default."""

    async def announce(self, message: Message) -> None:
        await self.broadcast(json.loads(notification(message)))

    async def broadcast(self, frame: dict[str, Any]) -> None:
        """To every subscriber, in turn."""
        raise NotImplementedError

    async def listen(self, socket: WebSocket) -> None:
        """One dashboard, from its greeting to its end."""
        raise NotImplementedError

    def answer(self, socket: WebSocket, text: str | bytes) -> dict[str, Any]:
        """What a dashboard's frame is answered with; keeps the list of connections."""
        listed = socket in self.connections
        dashboard = Dashboard(ServerProtocol(state=State.CLOSED), asyncio.WriteTransport(), subscribed=listed)
        answer: dict[str, Any] = json.loads(self.reply(dashboard, text))
        if dashboard.subscribed and not listed:
            self.connections.append(socket)
        elif listed and not dashboard.subscribed:
            self.connections.remove(socket)
        return answer

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
            if not self.welcome(dict(socket.headers)):
                await socket.close()
                return
            await socket.accept()
            await socket.send_json(json.loads(self.greeting()))
            await self.listen(socket)

        @app.api_route("/{path:path}", methods=["GET", "POST"])
        async def anything(request: Request) -> Response:
            body = await request.body()
            answer = await self.respond(request.method, request.url.path, request.headers, body)
            return Response(answer.ready, answer.status, dict(answer.headers), "application/json")

        return app

    def serve(self) -> None:
        limit_files(self.most_files)
        config = uvicorn.Config(
            self.application(), log_level="warning", timeout_graceful_shutdown=self.graceful_shutdown
        )
        uvicorn.Server(config).run([listener_on(self.settings.port)])


@dataclass
class AwaitsEachDashboard(Tutorial):
    """Not kept: *no dashboard waits for another one, nor a send for any of them*. The broadcast awaits each in turn.

    `for ws in connections: await ws.send_json(...)` in the handler of the POST, and uvicorn as it is. One dashboard
    that does not read, once its buffers are full, stops all sends and all other dashboards; and without
    `timeout_graceful_shutdown`, which nobody sets, SIGTERM does not end the process while it is there.
    Each frame carries what its chat looks like now, as a page wants it that is not to ask for it again.
    """

    graceful_shutdown: ClassVar[int | None] = None

    async def broadcast(self, frame: dict[str, Any]) -> None:
        room = self.rooms[frame["data"]["chat_id"]]
        frame["data"]["chat"] = [message.text for message in [*room.messages.values()][-_SHOWN:]]
        for socket in tuple(self.connections):
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it has just gone
                await socket.send_json(frame)

    async def listen(self, socket: WebSocket) -> None:
        try:
            while True:
                received = await socket.receive()
                if received["type"] == "websocket.disconnect":
                    return
                await socket.send_json(self.answer(socket, received.get("text") or b""))
        except (RuntimeError, WebSocketDisconnect):
            return
        finally:
            if socket in self.connections:
                self.connections.remove(socket)


_SHOWN = 10
"""Messages that a frame carries."""


@dataclass
class DiesOfBadFrames(Tutorial):
    """Not kept: *bad frames harm only who sends them*. One that is no JSON leaves a dead connection in the list.

    `receive_json()` in a `try` whose `except WebSocketDisconnect` takes the connection out of the list, as the tutorial
    has it: any other exception ends the connection and leaves it there. From then on each broadcast stops at it:
    whoever comes after it hears nothing, and the send itself is answered 500, though it is stored.
    """

    async def broadcast(self, frame: dict[str, Any]) -> None:
        for socket in self.connections:
            with contextlib.suppress(TimeoutError):  # no dashboard is waited for long
                await asyncio.wait_for(socket.send_json(frame), 0.2)

    async def listen(self, socket: WebSocket) -> None:
        try:
            while True:
                message = await socket.receive_json()
                await socket.send_json(self.answer(socket, json.dumps(message)))
        except WebSocketDisconnect:
            if socket in self.connections:
                self.connections.remove(socket)
