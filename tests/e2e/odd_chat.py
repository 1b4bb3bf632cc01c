"""A chat with the habits of many others at once, for protocol files: run as `python -m tests.e2e.odd_chat PORT WAYS`.

A login by a form with a token in a cookie and one in a page; a ticket for each handshake; rooms that are joined by a
request which names the connection; texts escaped as HTML within JSON within JSON; several documents in a frame;
subscriptions that are dropped now and then; a history in pages, newest first.
WAYS: what it does wrong, apart by commas.
"""

import html
import itertools
import json
import secrets
import sys
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse

SECRET = "odd-s3cretMARK-0123456789"
PAGE = 7


class OddChat:
    """The state of one chat."""

    def __init__(self, ways: set[str]) -> None:
        self.ways = ways
        self.csrf: set[str] = set()
        self.sessions: dict[str, str] = {}  # by cookie: the user
        self.tickets: dict[str, str] = {}
        self.sockets: dict[str, WebSocket] = {}
        self.rooms: dict[str, set[str]] = {}  # the connections in a room
        self.messages: dict[str, list[dict[str, object]]] = {}
        self.ids = itertools.count(1)

    def user(self, request: Request) -> str:
        """Raises HTTPException."""
        user = self.sessions.get(request.cookies.get("session", ""))
        if user is None:
            raise HTTPException(401)
        return user

    async def say(self, room: str, text: str) -> int:
        number = next(self.ids)
        message = {"id": number, "body": html.escape(text)}
        self.messages.setdefault(room, []).append(message)
        if "deaf" in self.ways:
            return number
        event = {"kind": "data", "data": json.dumps({"room": room, "message": message})}
        for connection in list(self.rooms.get(room, ())):
            await self.send(connection, {"kind": "noise"}, event)
            if number % 10 == 0 and "drops" in self.ways:
                self.rooms[room].discard(connection)
                await self.send(connection, {"kind": "dropped", "room": room})
        return number

    async def send(self, connection: str, *frames: dict[str, Any]) -> None:
        socket = self.sockets.get(connection)
        if socket is not None:
            await socket.send_text("\x1e".join(map(json.dumps, frames)) + "\x1e")


def app_of(ways: set[str]) -> FastAPI:
    """The chat as an application."""
    chat, app = OddChat(ways), FastAPI()

    @app.get("/login")
    def form(response: Response) -> HTMLResponse:
        token = secrets.token_urlsafe(8) + "&"
        chat.csrf.add(token)
        page = HTMLResponse(f'<form><input name="csrf" value="{html.escape(token)}"></form>')
        page.set_cookie("first", "1")
        page.set_cookie("half", "h-" + token[:4])
        return page

    @app.post("/login")
    async def log_in(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        if (
            form["key"] != SECRET
            or form["csrf"] not in chat.csrf
            or request.headers.get("X-Half") != request.cookies.get("half")
        ):
            raise HTTPException(403)
        session = secrets.token_urlsafe(16)
        chat.sessions[session] = form["user"]
        answer = Response(status_code=303, headers={"Location": "/"})
        answer.set_cookie("session", session)
        return answer

    @app.post("/ticket")
    def ticket(request: Request) -> dict[str, str]:
        drawn = secrets.token_urlsafe(8)
        chat.tickets[drawn] = chat.user(request)
        return {"ticket": drawn}

    @app.post("/rooms/{room:path}/join")
    def join(request: Request, room: str, connection: str) -> dict[str, bool]:
        chat.user(request)
        chat.rooms.setdefault(room, set()).add(connection)
        return {"ok": True}

    @app.post("/rooms/{room:path}/say")
    async def say(request: Request, room: str) -> dict[str, Any]:
        chat.user(request)
        return {"result": {"id": await chat.say(room, (await request.json())["text"])}}

    @app.get("/rooms/{room:path}/history")
    def history(request: Request, room: str, skip: int) -> dict[str, Any]:
        chat.user(request)
        return {"messages": chat.messages.get(room, [])[::-1][skip : skip + PAGE]}

    @app.websocket("/ws")
    async def socket(socket: WebSocket, ticket: str) -> None:
        if chat.tickets.pop(ticket, None) is None:
            await socket.close(4403)
            return
        await socket.accept()
        connection = secrets.token_urlsafe(8)
        chat.sockets[connection] = socket
        await chat.send(connection, {"kind": "hello", "connection": connection})
        try:
            while True:
                frame = json.loads((await socket.receive_text()).removesuffix("\x1e"))
                await chat.send(connection, {"kind": "pong", "n": frame["n"]})
        except WebSocketDisconnect:
            del chat.sockets[connection]
            for inside in chat.rooms.values():
                inside.discard(connection)

    @app.get("/")
    def up() -> str:
        return "up"

    return app


FILE = r"""
format = 1
name = "odd"

[users.each]
name = "${role}-${index}.${run}"

[[login]]
request = "GET /login"
keep = { csrf = 'body:name="csrf" value="([^"]+)"', half = "cookie:half" }
[[login]]
request = "POST /login"
headers = { X-Half = "${half}" }
form = { user = "${user.name}", key = "${env.ODD_KEY}", csrf = "${csrf}" }
expect_status = [303]

[rooms]
id = "room ${index}/${run}"

[socket]
path = "/ws"
query = { ticket = "${ticket}" }
terminator = "\u001e"

[[socket.before]]
request = "POST /ticket"
keep = { ticket = "$.ticket" }

[[socket.open]]
expect = { "$.kind" = "hello" }
keep = { connection = "$.connection" }

[[socket.join]]
request = "POST /rooms/${room}/join"
query = { connection = "${connection}" }
expect = { "$.ok" = true }

[[frame]]
when = { "$.kind" = "data", "$.data -> $.message.id" = { exists = true } }
is = "message"
room = "$.data -> $.room"
text = "$.data -> $.message.body"
text_as = "html"
id = "$.data -> $.message.id"
[[frame]]
when = { "$.kind" = "dropped" }
is = "dropped"
room = "$.room"
[[frame]]
when = { "$.kind" = { is = ["pong", "noise"] } }
is = "ignore"

[heartbeat]
every = "500ms"
send = '{"n": ${ref}}'
dead_after = "20s"

[send]
request = "POST /rooms/${room}/say"
json = '{"text": "${text}"}'
accepted = { "$.result" = { exists = true } }
id = "$.result.id"

[history]
request = "GET /rooms/${room}/history?skip=${skip}"
messages = "$.messages[*]"
text = "$.body"
text_as = "html"
id = "$.id"
order = "newest first"
pages = { name = "skip", from = 0, step = 7 }
read_on = "reconnect"
"""
"""Its protocol file."""


if __name__ == "__main__":
    uvicorn.run(app_of(set(sys.argv[2].split(","))), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
