"""The guide's chat: the reference backend, the original it is modelled on, and anything that speaks the same protocol.

Relies on nothing beyond the original's protocol. Message ids, which only the reference backend gives, are read where
they are there.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

import msgspec

from .target import Chat, Customer, Frame, Kind, Request, Unreadable

_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
_CHANNEL = "chat_updates"
_OURS = ("chat_updates", "connected", "subscribed", "error")
_HALF = re.compile("[\ud800-\udfff]")
_T = TypeVar("_T")


class _Text(msgspec.Struct, frozen=True):
    text: str
    role: str = "user"
    message_id: int | None = None

    @property
    def from_customer(self) -> bool:
        return self.role == "user"


class _Chat(msgspec.Struct, frozen=True, rename={"total": "total_messages", "texts": "messages"}):
    chat_id: str
    total: int
    texts: list[_Text] = []


class _User(msgspec.Struct):
    chats: list[_Chat] = []


class _List(msgspec.Struct):
    users: list[_User]


class _Created(msgspec.Struct):
    chat_id: str
    success: Literal[True] = True


class _Sent(msgspec.Struct):
    success: Literal[True] = True
    message_id: int | None = None


class _Data(msgspec.Struct):
    type: str = ""
    chat_id: str = ""
    message_role: str = "user"
    message_id: int | None = None


class _AnyFrame(msgspec.Struct):
    type: str


class _Frame(_AnyFrame):
    data: _Data | None = None
    subscription_type: str = ""
    message: str = ""


class Reference:
    """The original's wire protocol."""

    name = "reference"
    list_window: int | None = 100
    unavailable_means_not_done = True
    socket_path = "/ws/dashboard"

    def __init__(self, token: str | None = None) -> None:
        self.socket_headers: Mapping[str, str] = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._reading = {"Accept": "application/json", **self.socket_headers}
        self._created = msgspec.json.Decoder(_Created)
        self._sent = msgspec.json.Decoder(_Sent)
        self._list = msgspec.json.Decoder(_List)
        self._chat = msgspec.json.Decoder(_Chat)
        self._frame = msgspec.json.Decoder(_Frame)
        self._any_frame = msgspec.json.Decoder(_AnyFrame)

    def submit_contact(self, customer: Customer) -> Request:
        return _post("/api/users/data", {"name": customer.name, "email": customer.email})

    def create_chat(self, customer: Customer) -> Request:
        return _post("/api/users/chats/create", {"email": customer.email, "name": customer.name})

    def read_created(self, body: bytes) -> str:
        return _decode(self._created, body, "the answer to creating a chat").chat_id

    def send(self, chat_id: str, text: str) -> Request:
        return _post(f"/api/users/chats/{chat_id}/send", {"content": text, "role": "user"})

    def read_sent(self, body: bytes) -> int | None:
        return _decode(self._sent, body, "the answer to a send").message_id

    def list_chats(self) -> Request:
        return Request("GET", "/api/debug/users-chats", headers=self._reading)

    def read_list(self, body: bytes) -> Sequence[Chat]:
        users = _decode(self._list, body, "the list of chats").users
        return [chat for user in users for chat in user.chats]

    def whole_chat(self, chat_id: str) -> Request:
        return Request("GET", f"/api/chats/{chat_id}", headers=self._reading)

    def read_whole_chat(self, body: bytes) -> Chat:
        return _decode(self._chat, body, "a whole chat")

    def subscribe(self) -> str:
        return '{"action": "subscribe", "subscription_type": "chat_updates"}'

    def ping(self) -> str:
        return '{"action": "ping"}'

    def read_frame(self, data: bytes) -> Frame:
        try:
            frame = self._frame.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # Other channels' data has shapes of its own, which are nobody's fault.
            if _decode(self._any_frame, data, "a frame").type not in _OURS:
                return Frame(Kind.OTHER)
            frame = _decode(self._frame, data, "a frame")
        match frame.type:
            case "chat_updates" if frame.data is not None and frame.data.type == "chat_message_notification":
                data_ = frame.data
                return Frame(Kind.MESSAGE, data_.chat_id, data_.message_role == "user", data_.message_id)
            case "connected":
                return Frame(Kind.CONNECTED)
            case "subscribed" if frame.subscription_type == _CHANNEL:
                return Frame(Kind.SUBSCRIBED)
            case "error":
                return Frame(Kind.ERROR, detail=frame.message)
            case _:
                return Frame(Kind.OTHER)


def _post(path: str, body: dict[str, str]) -> Request:
    return Request("POST", path, msgspec.json.encode(body), _JSON)


def _decode(decoder: "msgspec.json.Decoder[_T]", body: bytes, what: str) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        try:
            return decoder.decode(_as_browsers_read(body))
        except (ValueError, RecursionError):
            raise Unreadable(f"{what}: {error}, got {body[:200]!r}") from error


def _as_browsers_read(body: bytes) -> bytes:
    """The same JSON where only its characters were wrong. Raises ValueError if it is none.

    Halves of surrogate pairs, which a chat makes by cutting an emoji, and bytes that are no UTF-8 are characters that
    cannot be shown to a browser; a byte order mark at the beginning is nothing.
    """
    value = json.loads(body.decode("utf-8-sig", "replace"))
    return _HALF.sub("\ufffd", json.dumps(value, ensure_ascii=False)).encode()
