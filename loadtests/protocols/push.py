"""The protocol of the push chat, `chatswarm serve --push`: texts in frames, rooms with members, a token per user.

See docs/push-chat.md for its requests and frames.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from .outgoing import fits_a_header, json_bytes, segment
from .promises import Promises
from .protocol import (
    Chat,
    Creation,
    Frame,
    Handshake,
    Kind,
    Login,
    LoginError,
    Page,
    PlainSession,
    Request,
    Sent,
    Session,
    Taken,
    Unreadable,
    User,
    body_of,
)
from .variables import Variables

KEY = "CHATSWARM_PUSH_KEY"
"""The variable with the service key, with which an application's backend logs users in and changes rooms."""
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
_SUBPROTOCOL = "chatswarm.push"
_PAGE = 500  # messages: the most that the chat returns at once
_PING = '{"type": "ping"}'
_T = TypeVar("_T")
_TOKEN = "token"
_GIVEN = "given token"  # until it was used to log in


class _Token(msgspec.Struct):
    token: str


class _Room(msgspec.Struct):
    room: str


class _Stored(msgspec.Struct):
    id: int | None = None
    error: str | None = None


class _Message(msgspec.Struct, frozen=True):
    id: int
    text: str
    user: str = ""

    @property
    def from_customer(self) -> bool:
        return True

    @property
    def message_id(self) -> int | str | None:
        return self.id


class _RoomMessages(msgspec.Struct):
    messages: list[_Message]
    next: int | None = None


class _PushFrame(msgspec.Struct):
    type: str
    room: str = ""
    id: int = -1
    text: str = ""
    replay: bool = False
    ref: str = ""
    error: str = ""
    status: int = 0
    gap: bool = False
    last: int | None = None
    frames: list[msgspec.Raw] = []


class PushSession(PlainSession):
    """One connection of one user. The target greets it, and then it may join its rooms."""

    def __init__(self, *, everything: bool = False) -> None:
        self._everything = everything
        self._catching_up: set[str] = set()  # rooms that it asked for from where an earlier subscription ended

    def open(self) -> Taken:
        return Taken(())

    def take(self, frame: Frame) -> Taken:
        if frame.kind is Kind.JOINED:
            # Whoever asks for no earlier messages is told of no gap, either.
            frame = frame._replace(recovered=frame.recovered and frame.chat_id in self._catching_up)
        return Taken((frame,))

    def join(self, room: str, last: Frame | None) -> Taken:
        wanted: dict[str, Any] = {"type": "join", "ref": room, "room": room}
        self._catching_up.discard(room)
        if self._everything:
            wanted["after"] = 0
        elif last is not None and last.message_id is not None:
            wanted["after"] = last.message_id
            self._catching_up.add(room)
        return Taken((), (_text(wanted),))

    def send(self, room: str, text: str, reference: str) -> str:
        return _text({"type": "send", "ref": reference, "room": room, "text": text})

    def ping(self) -> str | None:
        return _PING


class Push:
    """The push chat's wire protocol."""

    name = "push"
    promises = Promises(
        visible="frame",
        accepted_by="ack",
        sends_over=("http", "socket"),
        has_rooms=True,
        has_members=True,
        senders_join=False,
        echoes=True,
        replays_once=True,
    )
    list_window: int | None = None
    unavailable_means_not_done = True
    expired_codes: Sequence[int] = (4401,)
    server_header = "x-served-by"

    def __init__(self, key: str | None = None) -> None:
        self._run = Variables("run")
        if key is not None:
            self._run["key"] = key
        self._frame = msgspec.json.Decoder(_PushFrame)
        self._token = msgspec.json.Decoder(_Token)
        self._room = msgspec.json.Decoder(_Room)
        self._stored = msgspec.json.Decoder(_Stored)
        self._messages = msgspec.json.Decoder(_RoomMessages)

    def user(self, role: str, index: int, run: str, given: Mapping[str, str]) -> User:
        name = given.get("name") or f"{'agent' if role == 'dashboard' else 'customer'}-{index}.{run}"
        user = User(name, f"{name}@example.com", Variables("user", self._run))
        if token := given.get(_TOKEN):
            if not fits_a_header(token):
                raise ValueError(f"the token of {name}: expected printable ASCII without spaces")
            user.variables[_TOKEN] = user.variables[_GIVEN] = token
        return user

    def login(self, user: User) -> Login:
        """Nothing if the users' file has a token, until that has expired."""
        if _GIVEN in user.variables:
            user.variables.forget(_GIVEN)
            return
        wanted = {"user": user.name}
        if "key" in self._run:
            wanted["key"] = self._run["key"]
        answer = yield _request("POST", "/api/login", wanted)
        if answer.status != 200:
            raise LoginError(answer.status, f"the login was answered {answer.status}")
        try:
            token = self._token.decode(answer.body).token
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            # Not quoted: it may have a token.
            raise Unreadable(f"the response to a login: expected a token, got something else: {error}") from None
        if not fits_a_header(token):
            raise Unreadable("the response to a login: expected a token of printable ASCII without spaces, got another")
        user.variables[_TOKEN] = token

    def create_chat(self, user: User) -> Creation:
        raise NotImplementedError("this chat has rooms instead of a chat per widget")

    def create_room(self, index: int, run: str, members: Sequence[User]) -> Creation:
        answer = yield _request(
            "PUT",
            f"/api/rooms/{segment(f'room-{index}.{run}')}",
            {"members": [user.name for user in members]},
            self._service(),
        )
        return _decode(self._room, body_of(answer, "creating a room"), "the response to creating a room").room

    def add_member(self, room: str, user: User) -> Request:
        return _request("PUT", f"/api/rooms/{segment(room)}/members/{segment(user.name)}", None, self._service())

    def remove_member(self, room: str, user: User) -> Request:
        return _request("DELETE", f"/api/rooms/{segment(room)}/members/{segment(user.name)}", None, self._service())

    def send(self, user: User, chat: str, text: str, reference: str) -> Request:
        headers = {**_bearer(user.variables[_TOKEN]), "Idempotency-Key": reference}
        return _request("POST", f"/api/rooms/{segment(chat)}/messages", {"text": text}, headers)

    def read_sent(self, body: bytes) -> Sent:
        stored = _decode(self._stored, body, "the response to a send")
        if stored.error is not None:
            return Sent(False, detail=stored.error)
        if stored.id is None:
            raise Unreadable(f"the response to a send: expected an id, got {body[:200]!r}")
        return Sent(True, stored.id)

    def list_chats(self, user: User) -> Request:
        raise NotImplementedError("this chat has no list")

    def read_list(self, body: bytes) -> Sequence[Chat]:
        raise NotImplementedError("this chat has no list")

    def whole_chat(self, user: User, chat: str, page: str | None = None) -> Request:
        path = f"/api/rooms/{segment(chat)}/messages?after={segment(page or '0')}&limit={_PAGE}"
        return Request("GET", path, headers={"Accept": "application/json", **_bearer(user.variables[_TOKEN])})

    def read_whole_chat(self, body: bytes, page: str | None = None) -> Page:  # noqa: ARG002
        read = _decode(self._messages, body, "the messages of a room")
        return Page(read.messages, None, None if read.next is None else str(read.next))

    def read_missed(self, user: User, room: str, last: Frame | None) -> Request | None:
        after = None if last is None or last.message_id is None else str(last.message_id)
        return self.whole_chat(user, room, after)

    def before_handshake(self, user: User) -> Login:  # noqa: ARG002
        yield from ()

    def handshake(self, user: User, *, everything: bool = False, room: str = "") -> Handshake:  # noqa: ARG002
        token = base64.urlsafe_b64encode(user.variables[_TOKEN].encode()).decode().rstrip("=")
        return Handshake("/ws/push", {}, (_SUBPROTOCOL, f"bearer.{token}"))

    def session(self, user: User, *, everything: bool = False, room: str = "") -> Session:  # noqa: ARG002
        return PushSession(everything=everything)

    def read_frames(self, data: bytes) -> Sequence[Frame]:
        frame = _decode(self._frame, data, "a frame")
        if frame.type == "batch":
            return [each for part in frame.frames for each in self.read_frames(bytes(part))]
        if frame.type == "joined" and frame.gap:
            return (_meaning(frame), Frame(Kind.MISSED, frame.room))
        return (_meaning(frame),)

    def _service(self) -> Mapping[str, str]:
        return _bearer(self._run["key"]) if "key" in self._run else {}


def _meaning(frame: _PushFrame) -> Frame:
    match frame.type:
        case "message":
            identity = frame.id if frame.id >= 0 else None
            return Frame(Kind.MESSAGE, frame.room, message_id=identity, text=frame.text, replayed=frame.replay)
        case "hello":
            return Frame(Kind.SUBSCRIBED)
        case "joined":
            return Frame(Kind.JOINED, frame.room, message_id=frame.last, recovered=not frame.gap)
        case "refused":
            return Frame(Kind.REFUSED, frame.room, detail=frame.error)
        case "left":
            return Frame(Kind.LEFT, frame.room, detail=frame.error)
        case "ack":
            return Frame(Kind.ACKNOWLEDGED, frame.room, message_id=frame.id, reference=frame.ref)
        case "nack":
            return Frame(Kind.REJECTED, frame.room, detail=frame.error, reference=frame.ref, status=frame.status)
        case "error":
            return Frame(Kind.ERROR, detail=frame.error)
        case _:
            return Frame(Kind.OTHER)


def _request(method: str, path: str, body: dict[str, Any] | None, headers: Mapping[str, str] | None = None) -> Request:
    encoded = None if body is None else json_bytes(body)
    return Request(method, path, encoded, {**_JSON, **(headers or {})})


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _text(frame: dict[str, Any]) -> str:
    return json_bytes(frame).decode()


def _decode(decoder: "msgspec.json.Decoder[_T]", data: bytes, what: str) -> _T:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"{what}: {error}, got {data[:200]!r}") from error
