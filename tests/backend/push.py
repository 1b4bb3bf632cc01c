"""A real push chat in its own process, and small clients for it."""

from __future__ import annotations

import json
import socket as net
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from .servers import HANDSHAKE, PATIENCE, Backend, client_frame, frame, fresh_client, running, say

SOCKET = "/ws/push"


class Push:
    """A running push chat. `key` is its service key, if it has one."""

    def __init__(self, backend: Backend, key: str | None) -> None:
        self.backend = backend
        self.key = key
        self._tokens: dict[str, str] = {}

    @property
    def http(self) -> httpx.Client:
        return self.backend.http

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.backend.port}{SOCKET}"

    def token(self, user: str) -> str:
        if user not in self._tokens:
            body = {"user": user} if self.key is None else {"user": user, "key": self.key}
            answer = self.http.post("/api/login", json=body)
            assert answer.status_code == 200, answer.text
            self._tokens[user] = answer.json()["token"]
        return self._tokens[user]

    def forget_tokens(self) -> None:
        self._tokens = {}

    def bearer(self, user: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(user)}"}

    def _service(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key is not None else {}

    def room(self, name: str, *members: str) -> None:
        answer = self.http.put(f"/api/rooms/{name}", json={"members": members}, headers=self._service())
        assert answer.json() == {"room": name, "members": len(members)}

    def add(self, room: str, user: str) -> None:
        assert self.http.put(f"/api/rooms/{room}/members/{user}", headers=self._service()).status_code == 204

    def remove(self, room: str, user: str, http: httpx.Client | None = None) -> None:
        answer = (http or self.http).delete(f"/api/rooms/{room}/members/{user}", headers=self._service())
        assert answer.status_code == 204

    def post(
        self, user: str, room: str, text: str, key: str | None = None, http: httpx.Client | None = None
    ) -> httpx.Response:
        headers = self.bearer(user) | ({"Idempotency-Key": key} if key is not None else {})
        return (http or self.http).post(f"/api/rooms/{room}/messages", json={"text": text}, headers=headers)

    def read(self, user: str, room: str, **query: int) -> httpx.Response:
        return self.http.get(f"/api/rooms/{room}/messages", params=query, headers=self.bearer(user))

    def texts(self, user: str, room: str) -> list[str]:
        """The texts of a whole room, page by page."""
        texts: list[str] = []
        after: int | None = 0
        while after is not None:
            page = self.read(user, room, after=after, limit=500).json()
            texts += [each["text"] for each in page["messages"]]
            after = page["next"]
        return texts

    @contextmanager
    def socket(self, user: str, *rooms: str) -> Iterator[ClientConnection]:
        """A connection that has read `hello` and joined these rooms."""
        with self.connect(additional_headers=self.bearer(user)) as connection:
            assert frame(connection)["type"] == "hello"
            for room in rooms:
                assert join(connection, room)["type"] == "joined"
            yield connection

    @contextmanager
    def connect(self, query: str = "", **options: Any) -> Iterator[ClientConnection]:
        url = self.url + query
        with connect(url, compression=None, proxy=None, open_timeout=PATIENCE, max_queue=None, **options) as it:
            yield it

    def raw(self, user: str, *rooms: str, receive_buffer: int | None = None) -> net.socket:
        """A connection as a raw socket that has joined these rooms, so that it can misbehave."""
        raw = net.socket()
        raw.settimeout(PATIENCE)
        if receive_buffer is not None:
            raw.setsockopt(net.SOL_SOCKET, net.SO_RCVBUF, receive_buffer)
        raw.connect(("127.0.0.1", self.backend.port))
        raw.sendall(HANDSHAKE.replace(b"/ws/dashboard", f"{SOCKET}?token={self.token(user)}".encode()))
        seen = b""
        while b'"hello"' not in seen:
            seen += raw.recv(4096)
        for room in rooms:
            raw.sendall(client_frame(0x81, json.dumps({"type": "join", "ref": "j", "room": room}).encode()))
            while f'"room":"{room}"'.encode() not in seen:
                seen += raw.recv(4096)
        return raw

    @contextmanager
    def sockets_everywhere(self, user: str, room: str, count: int) -> Iterator[list[ClientConnection]]:
        """Connections of one user that have joined a room, one on each of `count` workers."""
        found: dict[str, ClientConnection] = {}
        with ExitStack() as stack:
            for _ in range(100):
                it = stack.enter_context(self.connect(additional_headers=self.bearer(user)))
                found.setdefault(frame(it)["server"], it)
                if len(found) == count:
                    break
            assert len(found) == count, "a worker accepts no connections"
            for it in found.values():
                assert join(it, room)["type"] == "joined"
            yield list(found.values())

    @contextmanager
    def each_worker(self, count: int) -> Iterator[list[httpx.Client]]:
        """A client with a connection to each of `count` workers."""
        found: dict[str, httpx.Client] = {}
        opened: list[httpx.Client] = []
        try:
            while len(found) < count:
                assert len(opened) < 100, "a worker accepts no connections"
                client = fresh_client(self.backend.port)
                opened.append(client)
                found.setdefault(client.get("/health").headers["X-Served-By"], client)
            yield list(found.values())
        finally:
            for client in opened:
                client.close()


def join(socket: ClientConnection, room: str, **more: object) -> dict[str, Any]:
    """Join a room; returns the next frame."""
    say(socket, type="join", ref=f"join {room}", room=room, **more)
    return frame(socket)


def messages_until(socket: ClientConnection, is_last: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """All frames up to the first for which this is true, with it."""
    frames = [frame(socket)]
    while not is_last(frames[-1]):
        frames.append(frame(socket))
    return frames


@contextmanager
def running_push(folder: Path, *flags: str, key: str | None = None) -> Iterator[Push]:
    """A push chat with these flags, and this service key."""
    variables = {"CHATSWARM_PUSH_KEY": key} if key is not None else {}
    with running(folder, "--push", *flags, variables=variables) as backend:
        yield Push(backend, key)
