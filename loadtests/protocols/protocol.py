"""The interface of a protocol: how to make each request and frame of a chat, and how to read its responses.

A protocol does no I/O: it makes requests, reads bodies and frames, and never opens a socket. So the swarm (on gevent),
`chatswarm check` (on plain sockets) and the tests all drive a chat through the same protocol.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol, TypeVar

_T = TypeVar("_T")


class Unreadable(ValueError):
    """A response or frame that violates the protocol. The message says what was expected and what came."""


class UnreadableHere(Unreadable):
    """A response or frame that this protocol cannot read, but a browser might."""


def read(reader: Callable[[bytes], _T], data: bytes) -> _T:
    """The result of a `read_` method for a body or frame. Raises only Unreadable: any other exception is a bug in the
    protocol, and becomes UnreadableHere.
    """
    try:
        return reader(data)
    except Unreadable:
        raise
    except Exception as error:
        raise UnreadableHere(f"the protocol failed: {type(error).__name__}: {error}, got {data[:200]!r}") from error


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, relative to the target's base URL. Anything from outside must be percent-encoded in `path`."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Customer:
    """The person behind a widget, as in the contact form."""

    name: str
    email: str


class Text(Protocol):
    """One message as a read showed it; equal to another with the same content. `message_id`: None if there is none."""

    @property
    def text(self) -> str: ...
    @property
    def from_customer(self) -> bool: ...
    @property
    def message_id(self) -> int | None: ...


class Chat(Protocol):
    """One chat as a read showed it. `total` counts all its messages; `texts` may be only the last few, oldest first.

    This and Text are typing protocols, so that a chat's protocol can decode straight into its own structures: a list of
    a hundred chats is read many times a second.
    """

    @property
    def chat_id(self) -> str: ...
    @property
    def total(self) -> int: ...
    @property
    def texts(self) -> Sequence[Text]: ...


class Kind(IntEnum):
    """The kinds of frames from the server."""

    CONNECTED = 0
    SUBSCRIBED = 1
    MESSAGE = 2  # a message was stored in a chat
    OTHER = 3  # pongs, other channels and anything else that is harmless
    ERROR = 4


class Frame(NamedTuple):
    """One frame from the server. `message_id` is None if the chat gives none; `detail` is text for people."""

    kind: Kind
    chat_id: str = ""
    from_customer: bool = True
    message_id: int | None = None
    detail: str = ""


class ChatProtocol(Protocol):
    """One kind of chat. All methods are pure; the `read_` methods raise Unreadable. The constructor takes the
    dashboards' bearer token, or None.
    """

    name: str
    list_window: int | None  # the list shows only this many chats, newest activity first; None: all of them
    unavailable_means_not_done: bool  # a send answered 503 is certainly not stored
    socket_path: str  # where a dashboard's WebSocket connects, relative to the base URL
    socket_headers: Mapping[str, str]  # extra headers of its handshake

    def submit_contact(self, customer: Customer) -> Request:
        """The widget's contact form."""
        ...

    def create_chat(self, customer: Customer) -> Request: ...

    def read_created(self, body: bytes) -> str:
        """The id of the new chat."""
        ...

    def send(self, chat_id: str, text: str) -> Request: ...

    def read_sent(self, body: bytes) -> int | None:
        """The id of the stored message, if the chat gives one."""
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
        """The frame that subscribes a dashboard to new messages."""
        ...

    def ping(self) -> str:
        """The heartbeat that a dashboard sends every 30 s, and that the server answers."""
        ...

    def read_frame(self, data: bytes) -> Frame: ...
