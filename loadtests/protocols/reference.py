"""The protocol of the guide's chat, which the reference backend and the original it is modelled on speak.

Relies only on the original's protocol. Message ids, which only the reference backend gives, are read if present.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from .outgoing import json_bytes, segment
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
    UnreadableHere,
    User,
    body_of,
)
from .variables import Variables

_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
_CHANNEL = "chat_updates"
_LARGEST_ID = 2**63 - 1  # the largest that a history can hold
_SURROGATE = re.compile(
    rb"((?<!\\)(?:\\\\)*)(?:(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Name = int | str  # of a chat; a page writes both the same way into a path
_T = TypeVar("_T")


class _Text(msgspec.Struct, frozen=True):
    text: str
    role: str | None = "user"
    any_id: Any = msgspec.field(default=None, name="message_id")

    @property
    def from_customer(self) -> bool:
        return self.role == "user"

    @property
    def message_id(self) -> int | str | None:
        return _id(self.any_id)


class _Chat(msgspec.Struct, frozen=True, rename={"total": "total_messages", "texts": "messages", "name": "chat_id"}):
    name: _Name
    total: _Count
    texts: list[_Text] = []

    @property
    def chat_id(self) -> str:
        return str(self.name)


class _User(msgspec.Struct):
    chats: list[_Chat] = []


class _List(msgspec.Struct):
    users: list[_User]


class _Created(msgspec.Struct):
    chat_id: _Name
    success: Literal[True] = True


class _Sent(msgspec.Struct):
    success: Literal[True] = True
    message_id: Any = None


class _Data(msgspec.Struct):
    type: str = ""
    chat_id: _Name | None = ""
    message_role: str | None = "user"
    message_id: Any = None


class _AnyFrame(msgspec.Struct):
    type: str


class _Frame(_AnyFrame):
    data: _Data | None = None
    subscription_type: Any = ""
    message: Any = ""


_SUBSCRIBE = '{"action": "subscribe", "subscription_type": "chat_updates"}'
_PING = '{"action": "ping"}'


class _DashboardSession(PlainSession):
    """One connection of a dashboard: it is greeted, subscribes, and pings."""

    def open(self) -> Taken:
        return Taken(())

    def take(self, frame: Frame) -> Taken:
        return Taken((frame,), (_SUBSCRIBE,) if frame.kind is Kind.CONNECTED else ())

    def join(self, room: str, last: Frame | None) -> Taken:
        raise NotImplementedError("this chat has no rooms")

    def send(self, room: str, text: str, reference: str) -> str:
        raise NotImplementedError("this chat takes no messages over sockets")

    def ping(self) -> str | None:
        return _PING


class Reference:
    """The original's wire protocol."""

    name = "reference"
    promises = Promises()
    list_window: int | None = 100
    unavailable_means_not_done = True
    expired_codes: Sequence[int] = ()
    server_header = "x-served-by"

    def __init__(self, token: str | None = None) -> None:
        authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._handshake = Handshake("/ws/dashboard", authorization)
        self._run = Variables("run")
        if token is not None:
            self._run["token"] = token
        self._reading = {"Accept": "application/json", **authorization}
        self._list_request = Request("GET", "/api/debug/users-chats", headers=self._reading)
        self._created = msgspec.json.Decoder(_Created)
        self._sent = msgspec.json.Decoder(_Sent)
        self._list = msgspec.json.Decoder(_List)
        self._chat = msgspec.json.Decoder(_Chat)
        self._frame = msgspec.json.Decoder(_Frame)
        self._any_frame = msgspec.json.Decoder(_AnyFrame)

    def user(self, role: str, index: int, run: str, given: Mapping[str, str]) -> User:  # noqa: ARG002
        name = "Customer" if role == "widget" else "Agent"
        return User(f"{name} {index}", f"{role}-{index}.{run}@example.com", Variables("user", self._run))

    def login(self, user: User) -> Login:
        """A customer submits the contact form. Agents need no login; their token, if any, is known."""
        if user.name.startswith("Customer"):
            answer = yield _post("/api/users/data", {"name": user.name, "email": user.email})
            if not 200 <= answer.status < 300:
                raise LoginError(answer.status, f"the contact form was answered {answer.status}")

    def create_chat(self, user: User) -> Creation:
        answer = yield _post("/api/users/chats/create", {"email": user.email, "name": user.name})
        return str(
            _decode(self._created, body_of(answer, "creating a chat"), "the response to creating a chat").chat_id
        )

    def create_room(self, index: int, run: str, members: Sequence[User]) -> Creation:
        raise NotImplementedError("this chat has no rooms")

    def add_member(self, room: str, user: User) -> Request:
        raise NotImplementedError("this chat has no rooms")

    def remove_member(self, room: str, user: User) -> Request:
        raise NotImplementedError("this chat has no rooms")

    def send(self, user: User, chat: str, text: str, reference: str) -> Request:  # noqa: ARG002
        return _post(f"/api/users/chats/{segment(chat)}/send", {"content": text, "role": "user"})

    def read_sent(self, body: bytes) -> Sent:
        return Sent(True, _id(_decode(self._sent, body, "the response to a send").message_id))

    def list_chats(self, user: User) -> Request:  # noqa: ARG002
        return self._list_request

    def read_list(self, body: bytes) -> Sequence[Chat]:
        users = _decode(self._list, body, "the list of chats").users
        return [chat for user in users for chat in user.chats]

    def whole_chat(self, user: User, chat: str, page: str | None = None) -> Request:  # noqa: ARG002
        return Request("GET", f"/api/chats/{segment(chat)}", headers=self._reading)

    def read_whole_chat(self, body: bytes, page: str | None = None) -> Page:  # noqa: ARG002
        chat = _decode(self._chat, body, "a whole chat")
        return Page(chat.texts, chat.total)

    def read_missed(self, user: User, room: str, last: Frame | None) -> Request | None:  # noqa: ARG002
        return None

    def before_handshake(self, user: User) -> Login:  # noqa: ARG002
        yield from ()

    def handshake(self, user: User, *, everything: bool = False, room: str = "") -> Handshake:  # noqa: ARG002
        return self._handshake

    def session(self, user: User, *, everything: bool = False, room: str = "") -> Session:  # noqa: ARG002
        return _DashboardSession()

    def read_frames(self, data: bytes) -> Sequence[Frame]:
        return (self._read_frame(data),)

    def _read_frame(self, data: bytes) -> Frame:
        with _reading("a frame", data):
            try:
                frame = _tolerant(self._frame, data)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                # Frames of other channels may have any shape.
                if _tolerant(self._any_frame, data).type in ("chat_updates", "connected", "subscribed", "error"):
                    raise
                return Frame(Kind.OTHER)
        match frame.type:
            case "chat_updates" if frame.data is not None and frame.data.type == "chat_message_notification":
                notification = frame.data
                chat = "" if notification.chat_id is None else str(notification.chat_id)
                return Frame(Kind.MESSAGE, chat, notification.message_role == "user", _id(notification.message_id))
            case "connected":
                return Frame(Kind.CONNECTED)
            case "subscribed" if frame.subscription_type == _CHANNEL:
                return Frame(Kind.SUBSCRIBED)
            case "error":
                return Frame(Kind.ERROR, detail=str(frame.message))
            case _:
                return Frame(Kind.OTHER)


def _post(path: str, body: dict[str, str]) -> Request:
    return Request("POST", path, json_bytes(body), _JSON)


def _id(value: object) -> int | str | None:
    """A message id, an integer or a text; None for anything else, or if it is too large for a history."""
    if isinstance(value, str):
        return value or None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_ID else None


def _decode(decoder: "msgspec.json.Decoder[_T]", body: bytes, what: str) -> _T:
    """Decodes a body as a browser does: a byte order mark or invalid UTF-8 is allowed. Raises Unreadable."""
    with _reading(what, body):
        try:
            return _tolerant(decoder, body)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _tolerant(decoder, body.decode("utf-8-sig", "replace").encode())


@contextmanager
def _reading(what: str, data: bytes) -> Iterator[None]:
    """Raises every failure of reading JSON as Unreadable."""
    try:
        yield
    except RecursionError as error:
        raise UnreadableHere(f"{what}: nested too deeply, got {data[:200]!r}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unreadable(f"{what}: {error}, got {data[:200]!r}") from error


def _tolerant(decoder: "msgspec.json.Decoder[_T]", data: bytes) -> _T:
    """Decodes JSON as a browser does: lone surrogates are allowed. Raises MsgspecError and UnicodeDecodeError."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        whole = _SURROGATE.sub(lambda found: found[0] if found[2] else found[1] + b"\\ufffd", data)
        if whole == data:
            raise
        return decoder.decode(whole)
