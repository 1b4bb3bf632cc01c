"""What the harness must know about a chat to drive it: how to say each thing, and how to read each answer.

A target is a protocol without I/O: it makes requests and reads bodies and frames, and never opens a socket. So the
swarm (on gevent), `chatswarm check` (on plain sockets) and the tests all drive a chat through the same protocol.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol, TypeVar

_T = TypeVar("_T")


class Unreadable(ValueError):
    """An answer or frame that is not what the protocol says. The text says what was expected and what came."""


class UnreadableHere(Unreadable):
    """An answer or frame that this protocol cannot read, and that a browser may well read."""


def read(reader: Callable[[bytes], _T], data: bytes) -> _T:
    """What a `read_` method makes of a body or frame. Raises Unreadable, and nothing else: any other failure is the
    protocol's own.
    """
    try:
        return reader(data)
    except Unreadable:
        raise
    except Exception as error:
        raise UnreadableHere(f"the protocol failed: {type(error).__name__}: {error}, got {data[:200]!r}") from error


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, relative to the target's base URL. What comes from outside must be encoded in `path`."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Customer:
    """The person behind a widget, as the contact form knows them."""

    name: str
    email: str


class Text(Protocol):
    """One message as a read showed it, equal to another that shows the same. `message_id`: None where there is none."""

    @property
    def text(self) -> str: ...
    @property
    def from_customer(self) -> bool: ...
    @property
    def message_id(self) -> int | None: ...


class Chat(Protocol):
    """One chat as a read showed it. `total` counts all its messages; `texts` may be only the last few, oldest first.

    This and Text are protocols, so that a protocol may decode straight into structures of its own: a list of a hundred
    chats is read many times a second.
    """

    @property
    def chat_id(self) -> str: ...
    @property
    def total(self) -> int: ...
    @property
    def texts(self) -> Sequence[Text]: ...


class Kind(IntEnum):
    """What a frame from the server says."""

    CONNECTED = 0
    SUBSCRIBED = 1
    MESSAGE = 2  # a message was stored in a chat
    OTHER = 3  # pongs, other channels and anything else that is no fault
    ERROR = 4


class Frame(NamedTuple):
    """One frame from the server. `message_id` is None where the target gives none; `detail` is text for people."""

    kind: Kind
    chat_id: str = ""
    from_customer: bool = True
    message_id: int | None = None
    detail: str = ""


class ChatProtocol(Protocol):
    """One kind of chat. All methods are pure; the `read_` methods raise Unreadable. Made with the token with which its
    dashboards are let in, or None.
    """

    name: str
    list_window: int | None  # the list shows only this many chats, newest activity first; None: all of them
    unavailable_means_not_done: bool  # a send answered 503 is certainly not stored
    socket_path: str  # where a dashboard's WebSocket connects, relative to the base URL
    socket_headers: Mapping[str, str]  # what its handshake needs beyond the usual

    def submit_contact(self, customer: Customer) -> Request:
        """The widget's contact form."""
        ...

    def create_chat(self, customer: Customer) -> Request: ...

    def read_created(self, body: bytes) -> str:
        """The new chat's id."""
        ...

    def send(self, chat_id: str, text: str) -> Request: ...

    def read_sent(self, body: bytes) -> int | None:
        """The id that the stored message got, where the target gives one."""
        ...

    def list_chats(self) -> Request:
        """What a dashboard refetches."""
        ...

    def read_list(self, body: bytes) -> Sequence[Chat]: ...

    def whole_chat(self, chat_id: str) -> Request:
        """One chat with all its messages."""
        ...

    def read_whole_chat(self, body: bytes) -> Chat: ...

    def subscribe(self) -> str:
        """The frame that a dashboard sends to hear of new messages."""
        ...

    def ping(self) -> str:
        """The frame that a dashboard sends every 30 s, and that the server answers."""
        ...

    def read_frame(self, data: bytes) -> Frame: ...
