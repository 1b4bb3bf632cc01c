"""Push chats that answer as a test asks for: see `test_push_users`."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode
from websockets.protocol import State

from tests.plants.push.chat import Frame, Post, PushChat, PushSocket
from tests.plants.push.requests import Incoming, Refused
from tests.plants.wire import NO_RESPONSE, HttpRequest, Response, read_request, response_bytes

from .push_protocols import KEY

MARK = "s3cretMARK"
"""In every secret of these chats."""
_DASHBOARDS = "agent"
"""What the names of dashboards' users begin with."""


def is_dashboard(socket: PushSocket) -> bool:
    return socket.user.startswith(_DASHBOARDS)


def is_login(request: HttpRequest) -> bool:
    return request.path == "/api/login"


def is_send(request: HttpRequest) -> bool:
    return request.method == "POST" and request.path.endswith("/messages")


def is_read(request: HttpRequest) -> bool:
    return request.method == "GET" and request.path.endswith("/messages")


@dataclass
class Target(PushChat):
    """Keeps what it was asked. Its tokens have a mark."""

    key: str = KEY
    seen: list[HttpRequest] = field(default_factory=list)

    def login(self, user: str) -> Response:
        status, body = super().login(user)
        assert isinstance(body, dict)
        token = f"{MARK}/{body['token']}"
        self._tokens[token] = self._tokens.pop(body["token"])
        return status, {**body, "token": token}

    async def converse(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(stream)
            self.seen.append(request)
            if request.upgrades:
                if (refusal := self.refusal(request)) is not None:
                    writer.write(refusal)
                    return
                await self._open(request, stream, writer)
                return
            response = await self.respond(request)
            if response is NO_RESPONSE:
                return
            writer.write(self.written(request, response))

    def written(self, request: HttpRequest, response: Response) -> bytes:
        """A response's bytes. That to a login sets a cookie, which is a secret, too."""
        cookie = {"Set-Cookie": f"sid={MARK}-cookie; Path=/; HttpOnly"} if is_login(request) else {}
        return response_bytes(response, {"X-Served-By": "worker-0", **cookie})

    def refusal(self, request: HttpRequest) -> bytes | None:
        """What a handshake gets instead of a socket; None: a socket."""
        return None

    def count(self, which: Callable[[HttpRequest], bool]) -> int:
        return sum(map(which, self.seen))


@dataclass
class RefusesLogins(Target):
    """Answers each login in this way; None: with a page for people."""

    answer: Response | None = (403, {"error": "no"})

    async def respond(self, request: HttpRequest) -> Response:
        if is_login(request):
            return (200, None) if self.answer is None else self.answer
        return await super().respond(request)

    def written(self, request: HttpRequest, response: Response) -> bytes:
        if self.answer is None and is_login(request):
            return b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<!doctype html>"
        return super().written(request, response)


@dataclass
class ClosesBeforeTheFirstMessage(Target):
    """Closes all viewers, and then stores the first message, which nobody is sent live."""

    away: float = 0.2

    async def send(self, user: str, room: str, text: str) -> Response:
        if self.sends == 1:
            self._close_viewers()
        return await super().send(user, room, text)


@dataclass
class HangsAtLogins(Target):
    """Answers none."""

    async def respond(self, request: HttpRequest) -> Response:
        if is_login(request):
            await asyncio.sleep(3600)  # for good; an event would be bound to one loop
        return await super().respond(request)


@dataclass
class SlowLogins(Target):
    """Each takes a moment; `most` is how many were under way together."""

    now: int = 0
    most: int = 0

    async def respond(self, request: HttpRequest) -> Response:
        if not is_login(request):
            return await super().respond(request)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.05)
        self.now -= 1
        return await super().respond(request)


@dataclass
class Expires(Target):
    """Forgets all tokens once, just before it handles the `nth` request of a kind."""

    which: Callable[[HttpRequest], bool] = is_send
    nth: int = 3
    expired_at: int = 0  # how many logins there had been
    late: float = 0.0  # seconds by which the last of the refusals comes late

    async def respond(self, request: HttpRequest) -> Response:
        self._expire_before(request)
        response = await super().respond(request)
        if response[0] == 401 and self.late:
            # Refused at once, but it takes its way: the others have logged in again when this one hears of it.
            late, self.late = self.late, 0.0
            await asyncio.sleep(late)
        return response

    def refusal(self, request: HttpRequest) -> bytes | None:
        self._expire_before(request)
        return super().refusal(request)

    def _expire_before(self, request: HttpRequest) -> None:
        if not self.expired_at and self.which(request) and self.count(self.which) == self.nth:
            self.expired_at = self.logins
            self._tokens.clear()


@dataclass
class ExpiresOverSockets(Target):
    """Forgets all tokens at the third message, and closes the dashboards' sockets with 4401."""

    def announce(self, post: Post) -> None:
        super().announce(post)
        if post.id == 3:
            self._tokens.clear()
            for socket in list(filter(is_dashboard, self.sockets)):
                socket.close(4401)


@dataclass
class WantsCookies(Target):
    """Everything but a login and the calls of the application's backend must have the cookie."""

    without: list[str] = field(default_factory=list)  # requests that had none

    async def respond(self, request: HttpRequest) -> Response:
        if not is_login(request) and request.method != "PUT":
            self._check(request)
        return await super().respond(request)

    def refusal(self, request: HttpRequest) -> bytes | None:
        self._check(request)
        return None

    def _check(self, request: HttpRequest) -> None:
        if request.headers.get("cookie") != f"sid={MARK}-cookie":
            self.without.append(f"{request.method} {request.path}")


@dataclass
class RefusesJoins(Target):
    def may_join(self, user: str, room: str) -> bool:
        return False


@dataclass
class IgnoresJoins(Target):
    def _join(self, socket: PushSocket, frame: Incoming) -> None:
        """Never answers."""


@dataclass
class ThrowsOut(Target):
    """After the second message, dashboards get no more."""

    def announce(self, post: Post) -> None:
        super().announce(post)
        if post.id == 2:
            for socket in self.joined(post.room):
                self.end(socket.user, post.room)


@dataclass
class ReplaysWithoutSayingSo(Target):
    """What it sends again looks like what it sends live, and comes before it confirms the subscription."""

    closes_every: int = 4

    def push(self, socket: PushSocket, frame: Frame) -> None:
        super().push(socket, {key: value for key, value in frame.items() if key != "replay"})


@dataclass
class ShowsTheNewestFirst(Target):
    """On joining again, the newest message comes first, and what lies before it never."""

    closes_every: int = 4
    replay_limit: int = 0

    def _join(self, socket: PushSocket, frame: Incoming) -> None:
        if frame.after is not None:
            socket.send(self.frame(self.rooms[frame.room].posts[-1]))
        super()._join(socket, frame)


@dataclass
class GivesOneId(Target):
    """All its rooms are called the same."""

    def _replace_members(self, request: HttpRequest, name: str, members: Sequence[str]) -> Response:
        status, body = super()._replace_members(request, name, members)
        assert isinstance(body, dict)
        return status, {**body, "room": "one"}


@dataclass
class SendsGarbage(Target):
    """After each message, a frame that is none."""

    def deliver(self, socket: PushSocket, post: Post) -> None:
        super().deliver(socket, post)
        socket.send_text("{")


@dataclass
class HasEverMore(Target):
    """Each page of a room has a message that no page had before."""

    pages: int = 0

    def _page(self, request: HttpRequest, room: str) -> Response:
        self.pages += 1
        message = {"id": self.pages, "user": "somebody", "text": f"the {self.pages}th", "sent_at": ""}
        return 200, {"room": room, "messages": [message], "next": self.pages}


@dataclass
class Pings(Target):
    """Pings dashboards every 0.1 s, in an application's frame and in WebSocket's. Counts the answers."""

    pongs: int = 0
    own_pongs: int = 0
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def _greet(self, socket: PushSocket, user: str) -> None:
        super()._greet(socket, user)
        received = socket.protocol.recv_frame

        def counting(frame: WebSocketFrame) -> None:
            self.own_pongs += frame.opcode is Opcode.PONG
            received(frame)

        socket.protocol.recv_frame = counting  # type: ignore[method-assign]
        self._tasks.append(asyncio.create_task(self._ping(socket)))

    async def _ping(self, socket: PushSocket) -> None:
        while socket.protocol.state is State.OPEN:
            socket.send({"type": "ping"})
            socket.protocol.send_ping(b"x")
            socket.flush()
            await asyncio.sleep(0.1)

    async def _handle(self, socket: PushSocket, text: str) -> None:
        self.pongs += '"pong"' in text
        await super()._handle(socket, text)


@dataclass
class FloodsAndReadsNothing(Target):
    """Sends a dashboard thousands of pings, and reads none of the answers."""

    def subscribed(self, socket: PushSocket, room: str) -> None:
        for _ in range(1_000):
            socket.send_text('{"type": "ping"}')

    async def _handle(self, socket: PushSocket, text: str) -> None:
        if '"pong"' in text:
            await asyncio.sleep(3600)  # for good; an event would be bound to one loop
        await super()._handle(socket, text)


@dataclass
class SaysLittle(Target):
    """Never confirms a subscription."""

    def tell(self, socket: PushSocket, frame: Frame) -> None:
        if frame["type"] not in ("hello", "joined"):
            super().tell(socket, frame)


@dataclass
class Answers(Target):
    """Answers the sends over sockets in turn: with these statuses of a rejection."""

    statuses: tuple[int, ...] = (0, 403, 408, 429, 500, 503)
    rejected: int = 0

    async def _take(self, socket: PushSocket, frame: Incoming) -> None:
        status = self.statuses[self.rejected % len(self.statuses)]
        self.rejected += 1
        self.tell(socket, {"type": "nack", "ref": frame.ref, "error": "no", "status": status})


@dataclass
class BreaksAtSends(Target):
    """Ends the connection of every second send over a socket, without an answer."""

    async def _take(self, socket: PushSocket, frame: Incoming) -> None:
        if int(frame.ref.rpartition(".")[2]) % 2:
            socket.writer.transport.abort()
            return
        await super()._take(socket, frame)


@dataclass
class AdmitsNobody(Target):
    def admits(self, user: str) -> bool:
        return user.startswith(_DASHBOARDS)


@dataclass
class ClosesAfterSends(Target):
    """Closes the sender's socket after its third send over it, and keeps its next handshake waiting."""

    away: float = 0.4

    async def _take(self, socket: PushSocket, frame: Incoming) -> None:
        await super()._take(socket, frame)
        if self.sends == 3:
            self._closed.add(socket.user)
            self._reopens = asyncio.get_running_loop().time() + self.away
            socket.close(1012)


@dataclass
class SaysErrorIn200(Target):
    """Every second send gets an error in a 200."""

    async def send(self, user: str, room: str, text: str) -> Response:
        if self.sends % 2:
            return 200, {"error": "no room"}
        return await super().send(user, room, text)


@dataclass
class RefusesMembershipChanges(Target):
    def _change_member(self, request: HttpRequest, name: str, user: str) -> Response:
        raise Refused(403, "no")


@dataclass
class RepeatsPages(Target):
    """A page leads to itself, or for ever to pages with the same messages."""

    cursors: bool = False
    asked: int = 0

    def _page(self, request: HttpRequest, room: str) -> Response:
        self.asked += 1
        status, body = super()._page(
            HttpRequest(request.head, request.method, request.path, {}, request.headers, b""), room
        )
        assert isinstance(body, dict)
        return status, {**body, "next": 1000 + self.asked if self.cursors else 7}


@dataclass
class HidesPages(Target):
    def may_read(self, user: str, room: str) -> bool:
        return False


def _token(request: HttpRequest) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass
class RepeatsSecrets(Target):
    """Repeats every secret that it is sent: in the address of a redirect of these requests, and in its errors."""

    which: Callable[[HttpRequest], bool] = is_send

    def written(self, request: HttpRequest, response: Response) -> bytes:
        if not self.which(request):
            return super().written(request, response)
        said = request.headers.get("cookie", "") + (_token(request) or request.body.decode().replace('"', ""))
        # A GET would follow an address that is one.
        return response_bytes((302, {"error": said}), {"Location": f"http://[/login?{said}"})

    def refusal(self, request: HttpRequest) -> bytes | None:
        if not self.which(request):
            return None
        offered = request.headers["sec-websocket-protocol"]
        return response_bytes((302, None), {"Location": f"/login?from={offered.replace(' ', '')}"})


@dataclass
class RepeatsSecretsOverSockets(Target):
    """The same in frames and close reasons. `said`: long enough for the secret to be cut short in an excerpt."""

    how: str = "error"  # error: before the subscription; refused, nack, or close
    padding: int = 0

    def _said(self, socket: PushSocket) -> str:
        token = next(token for token, known in self._tokens.items() if known.user == socket.user)
        return "x" * self.padding + token

    def _greet(self, socket: PushSocket, user: str) -> None:
        socket.user = user
        if self.how == "garbage":
            socket.send_text('{"type": 1, "said": "' + self._said(socket) + '"}')
        if self.how == "error":
            self.tell(socket, {"type": "error", "error": self._said(socket)})
        else:
            super()._greet(socket, user)

    def _join(self, socket: PushSocket, frame: Incoming) -> None:
        if self.how == "refused":
            self.tell(socket, {"type": "refused", "room": frame.room, "error": self._said(socket)})
            return
        super()._join(socket, frame)

    async def _take(self, socket: PushSocket, frame: Incoming) -> None:
        if self.how == "close":
            if socket.protocol.state is State.OPEN:
                socket.protocol.send_close(1008, self._said(socket))
                socket.flush()
            return
        self.tell(socket, {"type": "nack", "ref": frame.ref, "error": self._said(socket), "status": 403})
