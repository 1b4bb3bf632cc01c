"""A small clean push chat with rooms: frames carry the text, and go to a room's members.

It shares no code with the reference backend, so neither can hide a bug of the other. A plant is a subclass that
overrides one of the hooks.
"""

import asyncio
import base64
import binascii
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from urllib.parse import unquote

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from tests.plants.wire import NO_RESPONSE, HttpRequest, Response, Server, Socket, read_request, response_bytes

from .requests import Credentials, Incoming, Members, Refused, Text, decode, named

Frame = dict[str, object]

Batches = Literal["no", "array", "lines"]
"""Whether messages share WebSocket frames: as `{"type": "batch", "frames": [...]}`, or as one line of JSON each."""

_SUBPROTOCOL = Subprotocol("chatswarm.push")
_BATCH_EVERY = 0.2  # seconds
_PATIENCE = 10.0  # seconds until a token in the first frame must have come
_ACCEPTED = 201
_UNAUTHORISED, _GOING = 4401, 1012


@dataclass(frozen=True, slots=True)
class Post:
    """A message in a room. Ids grow over all rooms."""

    id: int
    room: str
    user: str
    text: str
    sent_at: str


@dataclass(eq=False)
class Room:
    """A room's members, and its messages in the order in which they are stored."""

    members: set[str]
    posts: list[Post] = field(default_factory=list)


class Token(NamedTuple):
    """Whose token it is, and until when, in the loop's time."""

    user: str
    expires: float


@dataclass(eq=False)
class PushSocket(Socket):
    """A user's socket. `number` is that of its handshake, from 1."""

    number: int
    user: str = ""  # empty until it is known
    joined: set[str] = field(default_factory=set)
    due: int = 0  # how many live messages it should have got
    waiting: list[Frame] = field(default_factory=list)  # messages for the next batch
    server: str = ""  # the name of the process that serves it
    sends: bool = False  # messages came over it


@dataclass
class PushChat(Server):
    """The clean chat. By default it needs no service key, sends each message in a separate frame, and closes nothing.

    With `batches`, a socket's messages wait 0.2 s for others to share a frame with. With `closes_every`, each such
    message closes the sockets of all viewers, and keeps the next handshakes of these users waiting for `away` seconds.
    Without `acks`, a send over a socket is accepted by its own frame only.
    """

    key: str = ""  # of the application's backend
    lifetime: float = 3600  # of a token, in seconds
    page: int = 500  # messages at most in a page of a room's messages
    replay_limit: int = 1000
    batches: Batches = "no"
    deflate: bool = False
    acks: bool = True
    closes_every: int = 0
    away: float = 0.5
    rooms: dict[str, Room] = field(default_factory=dict)
    sockets: list[PushSocket] = field(default_factory=list)
    ids: int = 0  # the last id given to a message
    sends: int = 0
    accepted: int = 0
    handshakes: int = 0
    logins: int = 0
    _tokens: dict[str, Token] = field(default_factory=dict)
    _responses: dict[tuple[str, str, str], Response] = field(default_factory=dict)  # by user, room and idempotency key
    _closed: set[str] = field(default_factory=set)  # users whose next handshake waits
    _reopens: float = 0.0

    # Hooks that a plant overrides.

    def served_by(self, request: HttpRequest) -> str:
        """The name of the process that serves a request or a handshake."""
        return "worker-0"

    def login(self, user: str) -> Response:
        token = secrets.token_urlsafe(16)
        self._tokens[token] = Token(user, _now() + self.lifetime)
        return 200, {"user": user, "token": token, "expires_in": self.lifetime}

    def admits(self, user: str) -> bool:
        """Whether a user may connect a socket."""
        return True

    def may_join(self, user: str, room: str) -> bool:
        return user in self.rooms[room].members

    def may_read(self, user: str, room: str) -> bool:
        return user in self.rooms[room].members

    async def send(self, user: str, room: str, text: str) -> Response:
        """Handles a member's message: stores it, announces it, responds."""
        post = self.store(user, room, text)
        self.announce(post)
        return self.sent(post)

    def store(self, user: str, room: str, text: str) -> Post:
        post = self.numbered(user, room, text)
        self.rooms[room].posts.append(post)
        return post

    def announce(self, post: Post) -> None:
        for socket in self.joined(post.room):
            socket.due += 1
            self.deliver(socket, post)

    def deliver(self, socket: PushSocket, post: Post) -> None:
        """Sends a live message to a socket that has joined its room."""
        self.push(socket, self.frame(post))

    def frame(self, post: Post) -> Frame:
        """How a message is announced."""
        return {"type": "message", "room": post.room, **_shown(post)}

    def batched(self, socket: PushSocket, frames: list[Frame]) -> list[Frame]:
        """Those of at least two messages that are sent in one frame."""
        return frames

    def missed(self, socket: PushSocket, room: str, after: int) -> Sequence[Post]:
        """What is replayed."""
        return [post for post in self.rooms[room].posts if post.id > after]

    def stored(self, room: str) -> Sequence[Post]:
        """All messages that the pages of a room show."""
        return self.rooms[room].posts

    def subscribed(self, socket: PushSocket, room: str) -> None:
        """A socket has joined a room."""

    def showing(self, user: str, room: str, posts: Sequence[Post]) -> None:
        """A user is about to be shown a page of a room."""

    def on_their_way(self) -> bool:
        """Whether messages wait to be sent."""
        return any(socket.waiting for socket in self.sockets)

    def end(self, user: str, room: str) -> None:
        """Ends the subscriptions of a user who is no member any more."""
        for socket in self.joined(room):
            if socket.user == user:
                socket.joined.discard(room)
                self.tell(socket, {"type": "left", "room": room})

    # For plants to use.

    def numbered(self, user: str, room: str, text: str) -> Post:
        """A message with the next id."""
        self.ids += 1
        return Post(self.ids, room, user, text, datetime.now(UTC).isoformat())

    def sent(self, post: Post) -> Response:
        """The response to an accepted send."""
        return _ACCEPTED, {"room": post.room, "id": post.id}

    def joined(self, room: str) -> list[PushSocket]:
        """The sockets that have joined a room."""
        return [socket for socket in self.sockets if room in socket.joined]

    def push(self, socket: PushSocket, frame: Frame) -> None:
        """Sends a message, with others if the chat batches."""
        if self.batches == "no":
            socket.send(frame)
            return
        socket.waiting.append(frame)
        if len(socket.waiting) == 1:
            asyncio.get_running_loop().call_later(_BATCH_EVERY, self._flush, socket)

    def tell(self, socket: PushSocket, frame: Frame) -> None:
        """Sends anything but a message, after the messages that wait."""
        self._flush(socket)
        socket.send(frame)

    # The protocol: HTTP.

    async def respond(self, request: HttpRequest) -> Response:
        try:
            return await self._route(request)
        except Refused as refused:
            return refused.status, {"error": refused.error}

    async def _route(self, request: HttpRequest) -> Response:
        match request.method, [unquote(part) for part in request.path.split("/")[1:]]:
            case "GET", ["health"]:
                return 200, {"status": "ok", "message": "The store is writable"}
            case "POST", ["api", "login"]:
                credentials = decode(request.body, Credentials)
                if self.key and credentials.key != self.key:
                    raise Refused(403, "expected the service key, got another")
                self.logins += 1
                return self.login(credentials.user)
            case "PUT", ["api", "rooms", room]:
                return self._replace_members(request, named(room), decode(request.body, Members).members)
            case "PUT" | "DELETE", ["api", "rooms", room, "members", user]:
                return self._change_member(request, room, named(user))
            case "POST", ["api", "rooms", room, "messages"]:
                user, text = self._user(_bearer(request)), decode(request.body, Text).text
                return await self._accept(user, room, text, request.headers.get("idempotency-key", ""))
            case "GET", ["api", "rooms", room, "messages"]:
                return self._page(request, room)
        raise Refused(404, f"expected a path of this chat, got {request.path}")

    def _user(self, token: str) -> str:
        known = self._tokens.get(token)
        if known is None or known.expires < _now():
            raise Refused(401, "expected a valid token, got none" if known is None else "the token has expired")
        return known.user

    def _needs_key(self, request: HttpRequest) -> None:
        if self.key and _bearer(request) != self.key:
            raise Refused(403 if _bearer(request) else 401, "expected the service key")

    def _needs_room(self, room: str) -> Room:
        if room not in self.rooms:
            raise Refused(404, f"expected a room, got {room}")
        return self.rooms[room]

    def _replace_members(self, request: HttpRequest, name: str, members: Sequence[str]) -> Response:
        self._needs_key(request)
        room = self.rooms.setdefault(name, Room(set()))
        former, room.members = room.members, set(members)
        for user in former - room.members:
            self.end(user, name)
        return 200, {"room": name, "members": len(room.members)}

    def _change_member(self, request: HttpRequest, name: str, user: str) -> Response:
        self._needs_key(request)
        room = self._needs_room(name)
        if request.method == "PUT":
            room.members.add(user)
        elif user in room.members:
            room.members.remove(user)
            self.end(user, name)
        return 204, None

    def _page(self, request: HttpRequest, room: str) -> Response:
        user = self._user(_bearer(request))
        self._needs_room(room)
        if not self.may_read(user, room):
            raise Refused(403, f"expected a member of {room}, got {user}")
        try:
            after, limit = int(request.query.get("after", "0")), int(request.query.get("limit", "100"))
        except ValueError:
            raise Refused(400, "expected numbers as after and limit") from None
        posts = self.stored(room)
        # By position, because a plant may store messages in another order.
        start = next((at + 1 for at, post in enumerate(posts) if post.id == after), None)
        if start is None:
            start = next((at for at, post in enumerate(posts) if post.id > after), len(posts))
        shown = posts[start : start + max(1, min(limit, self.page))]
        self.showing(user, room, shown)
        more = start + len(shown) < len(posts)
        messages = [_shown(post) for post in shown]
        return 200, {"room": room, "messages": messages, "next": shown[-1].id if more else None}

    async def _accept(self, user: str, room: str, text: str, key: str) -> Response:
        """A member's send, once per idempotency key."""
        if user not in self._needs_room(room).members:
            raise Refused(403, f"expected a member of {room}, got {user}")
        if key and (known := self._responses.get((user, room, key))):
            return known
        self.sends += 1
        number = self.sends
        response = await self.send(user, room, text)
        if response[0] == _ACCEPTED:
            self.accepted += 1
            self._responses[user, room, key] = response
        if self.closes_every and number % self.closes_every == 0:
            self._close_viewers()
        return response

    def _close_viewers(self) -> None:
        """Closes the sockets that view and do not send, so that no send is on its way on any of them."""
        self._reopens = _now() + self.away
        for socket in self.sockets:
            if socket.joined and not socket.sends:
                self._closed.add(socket.user)
                self._flush(socket)
                socket.joined.clear()
                socket.close(_GOING)

    # The protocol: sockets.

    async def converse(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(stream)
            if request.upgrades and request.path == "/ws/push":
                await self._open(request, stream, writer)
                return
            server = self.served_by(request)
            response = await self.respond(request)
            if response is NO_RESPONSE:
                return
            writer.write(response_bytes(response, {_SERVED_BY: server}))

    async def _open(self, request: HttpRequest, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handshakes += 1
        server = self.served_by(request)
        extensions = [ServerPerMessageDeflateFactory()] if self.deflate else []
        protocol = ServerProtocol(select_subprotocol=_chosen, extensions=extensions)
        socket = PushSocket(protocol, writer, self.handshakes, server=server)
        user, refused = "", 0
        if token := _offered(request):
            try:
                user = self._user(token)
                refused = 0 if await self._may_connect(user) else 403
            except Refused as error:
                refused = error.status
        if not socket.answer(request.head, refused, {_SERVED_BY: server}):
            return
        self.sockets.append(socket)
        expiry = asyncio.get_running_loop().call_later(_PATIENCE, self._expire, socket)
        try:
            if user:
                self._greet(socket, user)
            async for text in socket.texts(stream):
                await self._handle(socket, text)
        finally:
            expiry.cancel()
            self.sockets.remove(socket)

    async def _may_connect(self, user: str) -> bool:
        if user in self._closed:
            await asyncio.sleep(max(0.0, self._reopens - _now()))
            self._closed.discard(user)
        return self.admits(user)

    def _greet(self, socket: PushSocket, user: str) -> None:
        socket.user = user
        self.tell(socket, {"type": "hello", "user": user, "server": socket.server})

    def _expire(self, socket: PushSocket) -> None:
        if not socket.user:
            socket.close(_UNAUTHORISED)

    def _flush(self, socket: PushSocket) -> None:
        frames, socket.waiting = socket.waiting, []
        if len(frames) > 1:
            frames = self.batched(socket, frames)
        if len(frames) == 1:
            socket.send(frames[0])
        elif frames and self.batches == "lines":
            socket.send_text("\n".join(json.dumps(frame) for frame in frames))
        elif frames:
            socket.send({"type": "batch", "frames": frames})

    async def _handle(self, socket: PushSocket, text: str) -> None:
        try:
            frame = decode(text, Incoming)
        except Refused as refused:
            self.tell(socket, {"type": "error", "error": refused.error})
            return
        if not socket.user:
            await self._authenticate(socket, frame)
        elif frame.type == "join":
            self._join(socket, frame)
        elif frame.type == "leave":
            socket.joined.discard(frame.room)
            self.tell(socket, {"type": "left", "ref": frame.ref, "room": frame.room})
        elif frame.type == "send":
            await self._take(socket, frame)
        elif frame.type == "ping":
            self.tell(socket, {"type": "pong"})
        elif frame.type != "pong":
            self.tell(socket, {"type": "error", "error": f"expected a type of frame, got {frame.type}"})

    async def _authenticate(self, socket: PushSocket, frame: Incoming) -> None:
        try:
            user = self._user(frame.token if frame.type == "auth" else "")
        except Refused:
            user = ""
        if user and await self._may_connect(user):
            self._greet(socket, user)
        else:
            socket.close(_UNAUTHORISED)

    def _join(self, socket: PushSocket, frame: Incoming) -> None:
        name, answer = frame.room, {"ref": frame.ref, "room": frame.room}
        if name not in self.rooms or not self.may_join(socket.user, name):
            error = f"expected a room of {socket.user}, got {name}"
            self.tell(socket, {"type": "refused", **answer, "error": error})
            return
        posts = self.missed(socket, name, frame.after) if frame.after is not None else ()
        gap = len(posts) > self.replay_limit
        for post in () if gap else posts:
            self.push(socket, {**self.frame(post), "replay": True})
        last = max((post.id for post in self.rooms[name].posts), default=0)
        self.tell(socket, {"type": "joined", **answer, "last": last, **({"gap": True} if gap else {})})
        socket.joined.add(name)
        self.subscribed(socket, name)

    async def _take(self, socket: PushSocket, frame: Incoming) -> None:
        socket.sends = True
        try:
            status, body = await self._accept(socket.user, frame.room, frame.text, frame.ref)
        except Refused as refused:
            status, body = refused.status, {"error": refused.error}
        if status == _ACCEPTED and isinstance(body, dict):
            if self.acks:
                self.tell(socket, {"type": "ack", "ref": frame.ref, **body})
        elif status:
            error = body.get("error", "no") if isinstance(body, dict) else "no"
            self.tell(socket, {"type": "nack", "ref": frame.ref, "error": error, "status": status})


_SERVED_BY = "X-Served-By"


def _shown(post: Post) -> Frame:
    return {"id": post.id, "user": post.user, "text": post.text, "sent_at": post.sent_at}


def _now() -> float:
    return asyncio.get_running_loop().time()


def _bearer(request: HttpRequest) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


def _chosen(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return _SUBPROTOCOL if _SUBPROTOCOL in offered else None


def _offered(request: HttpRequest) -> str:
    """The token of a handshake; empty if it has none."""
    for offered in request.headers.get("sec-websocket-protocol", "").split(","):
        name, _, value = offered.strip().partition(".")
        if name == "bearer":
            try:
                return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode()
            except (binascii.Error, UnicodeDecodeError):
                return "not base64url"
    return _bearer(request) or request.query.get("token", "")
