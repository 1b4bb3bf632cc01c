"""Push chats that differ in what they promise, as protocols for the swarm."""

from collections.abc import Mapping, Sequence

import msgspec

from chatswarm.loadtests.protocols.catalogue import Make
from chatswarm.loadtests.protocols.promises import Promises
from chatswarm.loadtests.protocols.protocol import (
    Frame,
    Kind,
    Login,
    LoginError,
    Page,
    Request,
    Sent,
    Session,
    Taken,
    User,
)
from chatswarm.loadtests.protocols.push import Push, PushSession

SEND_TIMEOUT = 2.0
"""Seconds, in place of the swarm's 10, where a case is hurried."""
KEY = "s3cretMARK-key-0123456789"
PAYLOAD = "x" * 20_000


def _promising(**changes: object) -> Promises:
    return msgspec.structs.replace(Push.promises, **changes)


class Plain(Push):
    """The push chat with a service key."""

    def __init__(self) -> None:
        super().__init__(KEY)


class Echo(Plain):
    """A send is accepted by its own message."""

    promises = _promising(accepted_by="echo")


class Written(Plain):
    """A send is accepted once it is written."""

    promises = _promising(accepted_by="written")


class _UnconfirmedSession(PushSession):
    def open(self) -> Taken:
        return Taken((Frame(Kind.SUBSCRIBED),))

    def join(self, room: str, last: Frame | None) -> Taken:
        return Taken((Frame(Kind.JOINED, room),), super().join(room, last).replies)

    def take(self, frame: Frame) -> Taken:
        return Taken(()) if frame.kind in (Kind.SUBSCRIBED, Kind.JOINED) else Taken((frame,))


class Unconfirmed(Plain):
    """The target never says that a subscription is in force."""

    promises = _promising(confirms_subscriptions=False)

    def session(self, user: User, *, everything: bool = False, room: str = "") -> Session:
        return _UnconfirmedSession(everything=everything)


class Replays(Plain):
    """Everything is read by a replay on a new connection."""

    promises = _promising(history="replay")


class UnconfirmedReplays(Unconfirmed):
    """Both of these."""

    promises = _promising(history="replay", confirms_subscriptions=False)


class _PongingSession(PushSession):
    def take(self, frame: Frame) -> Taken:
        return Taken((frame,), (f'{{"type": "pong", "detail": "{PAYLOAD}"}}',) if frame.detail == "ping" else ())


class Pinged(Plain):
    """The server pings, and a connection that is silent for 3.5 s is dead."""

    promises = _promising(dead_after=3.5)

    def session(self, user: User, *, everything: bool = False, room: str = "") -> Session:
        return _PongingSession(everything=everything)

    def read_frames(self, data: bytes) -> Sequence[Frame]:
        return (Frame(Kind.OTHER, detail="ping"),) if data == b'{"type": "ping"}' else super().read_frames(data)


class Impatient(Plain):
    """The client pings, and a connection that is silent for 3.5 s is dead."""

    promises = _promising(dead_after=3.5)


class _Verdict(msgspec.Struct):
    error: str = ""


class ErrorsIn200(Plain):
    """A 200 to a send may have an error in it."""

    def read_sent(self, body: bytes) -> Sent:
        error = msgspec.json.decode(body, type=_Verdict).error
        return Sent(False, None, error) if error else super().read_sent(body)


class Password(Plain):
    """Each user has a password in the users' file."""

    def user(self, role: str, index: int, run: str, given: Mapping[str, str]) -> User:
        user = super().user(role, index, run, given)
        user.variables["password"] = given["password"]
        return user

    def login(self, user: User) -> Login:
        body = msgspec.json.encode({"user": user.name, "key": KEY, "password": user.variables["password"]})
        answer = yield Request("POST", "/api/login", body, {"Content-Type": "application/json"})
        if answer.status != 200:
            raise LoginError(answer.status, f"the login was answered {answer.status}: {answer.body.decode()}")
        user.variables["token"] = msgspec.json.decode(answer.body)["token"]


class Broken(Plain):
    """Its login, its frames over sockets and its reads fail with a bug in it, which names the password."""

    def send(self, user: User, chat: str, text: str, reference: str) -> Request:
        raise RuntimeError(f"a bug: {KEY}")

    def read_whole_chat(self, body: bytes, page: str | None = None) -> Page:
        raise RuntimeError(f"a bug: {KEY}")


class BrokenSocket(Plain):
    """The same, over sockets."""

    def session(self, user: User, *, everything: bool = False, room: str = "") -> Session:
        return _BrokenSession(everything=everything)


class _BrokenSession(PushSession):
    def send(self, room: str, text: str, reference: str) -> str:
        raise RuntimeError(f"a bug: {KEY}")


class BrokenLogin(Plain):
    """The same, at a login."""

    def login(self, user: User) -> Login:
        yield Request("POST", "/api/login", b'{"user": "x", "key": "%s"}' % KEY.encode())
        raise RuntimeError(f"a bug: {KEY} {user.name}")


PROTOCOLS: dict[str, tuple[Promises, Make]] = {
    each.__name__: (each.promises, lambda _environment, _target, each=each: each())  # type: ignore[misc]
    for each in (
        Plain, Echo, Written, Unconfirmed, Replays, UnconfirmedReplays, Pinged, Impatient, ErrorsIn200, Password,
        Broken, BrokenSocket, BrokenLogin,
    )
}  # fmt: skip
