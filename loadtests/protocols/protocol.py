"""The interface of a protocol: how to make each request and frame of a chat, and how to read its responses.

A protocol does no I/O: it makes requests, reads bodies and frames, and never opens a socket. So the swarm (on gevent),
`chatswarm check` (on plain sockets) and the tests all drive a chat through the same protocol.

    User ── login ──► Request, Answer, Request, …        (HTTP, before the measured part)
      │
      └── handshake ──► Session ── open, join, send, ping ──► frames for the target
                           ▲
    bytes ── read_frames ──┴──► Frame ── take ──► what it means here, and replies
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, TypeVar

from .promises import Promises
from .variables import Variables

DEFAULT = "reference"
"""The name of the protocol that is meant where none is named."""

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

    def with_header(self, name: str, value: str) -> "Request":
        """The same with one more header, in place of any of that name."""
        others = {other: kept for other, kept in self.headers.items() if other.lower() != name.lower()}
        return replace(self, headers={**others, name: value})


class Answer(NamedTuple):
    """The response to a request. `headers` by lower-case name: the first of equal ones, but all of `set-cookie`, a line
    each.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, status: int, fields: Iterable[tuple[str, str]], body: bytes) -> "Answer":
        """`fields`: those of its head, in order."""
        headers: dict[str, str] = {}
        for name, value in fields:
            if name == "set-cookie" and name in headers:
                headers[name] += f"\n{value}"
            headers.setdefault(name, value)
        return cls(status, headers, body)


class RefusedError(Exception):
    """Something that the target refused. `status` is that of its response, 0 if there was none."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class LoginError(RefusedError):
    """A login that the target refused."""


Login = Generator[Request, Answer, None]
"""The requests of a login, in order; each gets the response to the one before. Raises LoginError and Unreadable, whose
texts must not quote a response: it may have credentials that are no variables yet."""

Creation = Generator[Request, Answer, str]
"""The requests that create a chat or room, in the same way. Returns its id. Raises RefusedError and Unreadable."""


def body_of(answer: Answer, what: str) -> bytes:
    """The body of a 2xx. `what`: what it answers. Raises RefusedError for another status."""
    if not 200 <= answer.status < 300:
        raise RefusedError(answer.status, f"{what} was answered {answer.status}")
    return answer.body


Outgoing = str | bytes | Request
"""What a session sends: a text or binary frame, or a request whose answer it waits for."""


@dataclass(slots=True)
class Memory:
    """What a protocol remembers of a user from one connection to the next. Opaque to all others."""

    connection: Any = field(default=None, repr=False)
    variables: Variables | None = field(default=None, repr=False)
    """Of the last connection, which may be secret; None: there are none."""


@dataclass(frozen=True, slots=True)
class User:
    """One simulated person, and what is known of it: for example its token."""

    name: str
    email: str
    variables: Variables = field(default_factory=lambda: Variables("user"))
    memory: Memory = field(default_factory=Memory)


class Text(Protocol):
    """One message as a read showed it; equal to another with the same content. `message_id`: None if there is none."""

    @property
    def text(self) -> str: ...
    @property
    def from_customer(self) -> bool: ...
    @property
    def message_id(self) -> int | str | None: ...


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


class Page(NamedTuple):
    """A part of one chat, oldest first. `total` counts all its messages, if the chat says so."""

    texts: Sequence[Text]
    total: int | None = None
    next: str | None = None
    """What to ask for to get the next page; None on the last."""
    newest_first: bool = False
    """The next page has older messages than this one."""


class Sent(NamedTuple):
    """What the response to a send says. `detail`: for people, why it was not accepted."""

    accepted: bool = True
    message_id: int | str | None = None
    detail: str = ""


class Handshake(NamedTuple):
    """How a user's WebSocket is opened. Anything from outside must be percent-encoded in `path`."""

    path: str
    headers: Mapping[str, str] = {}
    subprotocols: Sequence[str] = ()


class Kind(IntEnum):
    """The kinds of frames from the server."""

    CONNECTED = 0  # a greeting
    SUBSCRIBED = 1  # the user gets messages from now on, or may join rooms
    MESSAGE = 2  # a message was stored in a chat
    OTHER = 3  # pongs, other channels and anything else that is harmless
    ERROR = 4
    JOINED = 5  # the user gets the messages of the room `chat_id` from now on: those after `message_id`, if it has one
    REFUSED = 6  # no, it does not
    MISSED = 7  # some messages of the room were missed and will not be replayed
    LEFT = 8  # the user is no member of the room any more, and gets no more messages of it
    ACKNOWLEDGED = 9  # the send with this `reference` was accepted
    REJECTED = 10  # no, it was not
    UNKNOWN = 11  # the protocol does not know what it means
    DROPPED = 12  # the user gets no messages of the room any more, though it is a member: it joins again


class Frame(NamedTuple):
    """One frame from the server. `message_id` is None if the chat gives none; `detail` is text for people.

    `text` is None if the frame only announces that there is a message. `status` of a rejection: as by HTTP; 0: none.
    `chat_id` is empty where the connection has only one room. `source` is for the protocol's own session. `recovered`,
    of a JOINED: the target said that it has sent, or will send, all that was missed since an earlier subscription.
    """

    kind: Kind
    chat_id: str = ""
    from_customer: bool = True
    message_id: int | str | None = None
    detail: str = ""
    text: str | None = None
    replayed: bool = False
    reference: str = ""
    status: int = 0
    source: Any = None
    recovered: bool = False


class Taken(NamedTuple):
    """What a frame or answer means on its connection, in order, and what must be sent in reply."""

    frames: Sequence[Frame]
    replies: Sequence[Outgoing] = ()


class Heartbeat(NamedTuple):
    """When a client sends a `ping`: `seconds` after the last one, or only after that much silence from the target.

    None: as the scenario says.
    """

    seconds: float | None = None
    only_in_silence: bool = True


class Session(Protocol):
    """One connection of one user: what it sends, and what frames mean there. Does no I/O."""

    notes: bool  # it has to see each message, by `note`
    expects: bool  # it waits for a frame that might look like a message: give it every frame, by `take`

    @property
    def waits_for(self) -> str:
        """What it waits for, for people; empty if that is clear."""
        ...

    @property
    def heartbeat(self) -> Heartbeat:
        """When the client sends `ping`."""
        ...

    @property
    def dead_after(self) -> float | None:
        """Seconds of silence after which the client gives up; None: as the protocol's promises say."""
        ...

    def open(self) -> Taken:
        """What to send once the handshake is done. Has the SUBSCRIBED frame if the target will confirm nothing."""
        ...

    def take(self, frame: Frame) -> Taken:
        """Takes a frame that is no message, or any frame while it `expects` one."""
        ...

    def note(self, frame: Frame) -> Sequence[Outgoing]:
        """Takes a message that came. Returns what must be sent in reply."""
        ...

    def answered(self, request: Request, answer: Answer) -> Taken:
        """Takes the answer to a request that this session has returned."""
        ...

    def join(self, room: str, last: Frame | None) -> Taken:
        """What to send to get the messages of a room. Has the JOINED frame if the target will confirm nothing.

        `last`: the last message of it that this user was sent; if there was none, the JOINED frame with the id of the
        room's newest message; None: neither.
        """
        ...

    def send(self, room: str, text: str, reference: str) -> Outgoing:
        """The frame that sends a message. Its acknowledgement or rejection will have the reference."""
        ...

    def ping(self) -> Outgoing | None:
        """The heartbeat that is sent after a silence, and that the server answers; None: the client sends none."""
        ...


class PlainSession:
    """The parts of a session that most protocols do not need."""

    notes = False
    expects = False
    waits_for = ""
    heartbeat = Heartbeat()
    dead_after: float | None = None

    def note(self, frame: Frame) -> Sequence[Outgoing]:  # noqa: ARG002 - see `Session`
        return ()

    def answered(self, request: Request, answer: Answer) -> Taken:
        raise NotImplementedError("this session makes no requests")


class ChatProtocol(Protocol):
    """One kind of chat. All methods are pure, but for the variables of a user; the `read_` methods raise Unreadable."""

    name: str
    promises: Promises
    list_window: int | None  # the list shows only this many chats, newest activity first; None: all of them
    unavailable_means_not_done: bool  # a send answered 503 is certainly not stored
    expired_codes: Sequence[int]  # close codes that mean: log in again
    server_header: str  # the lower-case name of the header in which the target says who served a request; empty: none

    def user(self, role: str, index: int, run: str, given: Mapping[str, str]) -> User:
        """A `dashboard` or `widget`. `given`: its row of the users' file. Raises ValueError if something is missing."""
        ...

    def login(self, user: User) -> Login:
        """Before anything else, once per user, and again when its credentials have expired."""
        ...

    # Chats: one per widget, or the scenario's rooms.

    def create_chat(self, user: User) -> Creation: ...

    def create_room(self, index: int, run: str, members: Sequence[User]) -> Creation:
        """Creates a room of the scenario. It must not matter if it exists already."""
        ...

    def add_member(self, room: str, user: User) -> Request: ...

    def remove_member(self, room: str, user: User) -> Request: ...

    # Messages.

    def send(self, user: User, chat: str, text: str, reference: str) -> Request: ...

    def read_sent(self, body: bytes) -> Sent:
        """Reads a 2xx to a send."""
        ...

    def list_chats(self, user: User) -> Request:
        """What a dashboard refetches."""
        ...

    def read_list(self, body: bytes) -> Sequence[Chat]: ...

    def whole_chat(self, user: User, chat: str, page: str | None = None) -> Request:
        """One chat with all its messages, or its next page."""
        ...

    def read_whole_chat(self, body: bytes, page: str | None = None) -> Page: ...

    def read_missed(self, user: User, room: str, last: Frame | None) -> Request | None:
        """What reads the messages after `last` that a connection will not replay, as `whole_chat`; None: nothing."""
        ...

    # Sockets.

    def before_handshake(self, user: User) -> Login:
        """What a client asks for each connection before its handshake: a ticket, for example."""
        ...

    def handshake(self, user: User, *, everything: bool = False, room: str = "") -> Handshake:
        """Of a new connection: see `session`."""
        ...

    def session(self, user: User, *, everything: bool = False, room: str = "") -> Session:
        """A new connection's session. `everything`: it asks to be sent all that is stored in what it joins; `room`: the
        only one that the connection is for, where connections have one room.
        """
        ...

    def read_frames(self, data: bytes) -> Sequence[Frame]:
        """The frames in one WebSocket message. Depends on the bytes alone."""
        ...
