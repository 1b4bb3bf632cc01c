"""A plain client of the push chat: its calls, and sockets that are read when a test asks for it."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

PATIENCE = 20  # seconds until a test gives up

Frame = dict[str, Any]


class Client:
    """Calls of the application's backend and of its users. At its end, it closes its sockets."""

    def __init__(self, url: str, key: str = "") -> None:
        self.key = key
        self.http = httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False)
        self.sockets = ExitStack()
        self.socket_url = url.replace("http", "ws", 1) + "/ws/push"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        self.sockets.close()
        self.http.close()

    def log_in(self, user: str) -> httpx.Response:
        return self.http.post("/api/login", json={"user": user, "key": self.key})

    def token(self, user: str) -> str:
        response = self.log_in(user)
        assert response.status_code == 200, response.text
        return str(response.json()["token"])

    def room(self, room: str, members: Sequence[str]) -> httpx.Response:
        return self.http.put(f"/api/rooms/{room}", json={"members": members}, headers=bearer(self.key))

    def add(self, room: str, user: str) -> httpx.Response:
        return self.http.put(f"/api/rooms/{room}/members/{user}", headers=bearer(self.key))

    def remove(self, room: str, user: str) -> httpx.Response:
        return self.http.delete(f"/api/rooms/{room}/members/{user}", headers=bearer(self.key))

    def send(self, token: str, room: str, text: str, key: str = "") -> httpx.Response:
        headers = bearer(token) | ({"Idempotency-Key": key} if key else {})
        return self.http.post(f"/api/rooms/{room}/messages", json={"text": text}, headers=headers)

    def page(self, token: str, room: str, **query: int) -> httpx.Response:
        return self.http.get(f"/api/rooms/{room}/messages", params=query, headers=bearer(token))

    def history(self, token: str, room: str) -> list[Frame]:
        """All messages of a room, page by page."""
        messages: list[Frame] = []
        after: int | None = 0
        while after is not None:
            page = self.page(token, room, after=after).json()
            messages += page["messages"]
            after = page["next"]
        return messages

    def connect(self, token: str = "", *, query: str = "", subprotocols: Sequence[str] = ()) -> ClientConnection:
        """A socket with a token in its header, or as the caller likes."""
        return self.sockets.enter_context(
            connect(
                self.socket_url + query,
                additional_headers=bearer(token),
                subprotocols=[Subprotocol(name) for name in subprotocols] or None,
                open_timeout=PATIENCE,
                ping_interval=None,
                proxy=None,
            )
        )


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def tell(socket: ClientConnection, **frame: object) -> None:
    socket.send(json.dumps(frame))


def listen(socket: ClientConnection) -> list[Frame]:
    """The frames in the next WebSocket frame, out of their batch. One that is not JSON is of the type `unreadable`."""
    data = str(socket.recv(PATIENCE))
    try:
        frames = [json.loads(line) for line in data.split("\n")]
    except json.JSONDecodeError:
        return [{"type": "unreadable"}]
    return frames[0]["frames"] if frames[0]["type"] == "batch" else frames


def until(socket: ClientConnection, kind: str) -> list[Frame]:
    """All frames up to the first of this type."""
    frames: list[Frame] = []
    while not any(frame["type"] == kind for frame in frames):
        frames += listen(socket)
    return frames


def ask(socket: ClientConnection, kind: str, **frame: object) -> Frame:
    """Sends a frame, and returns the next one, which must be of type `kind`."""
    tell(socket, **frame)
    (answer,) = listen(socket)
    assert answer["type"] == kind, answer
    return answer


def close_code(socket: ClientConnection) -> int | None:
    """The code with which the chat closes a socket, once it has."""
    try:
        while True:
            listen(socket)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
