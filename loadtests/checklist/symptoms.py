"""What the checklist can observe: its steps, the ways in which they fail, and the symptoms of a failure."""

from dataclasses import dataclass
from enum import StrEnum

from chatswarm.loadtests.system.rig_limits import RigLimit


class StepName(StrEnum):
    """The guide's checklist, in its order."""

    REACHABLE = "reachable"
    CONNECTED = "connected"
    SUBSCRIBED = "subscribed"
    LIST = "list"
    CHAT = "chat"
    SENT = "sent"
    NOTIFIED = "notified"
    SHOWN = "shown"
    IN_TIME = "in_time"


class RoomStep(StrEnum):
    """The checklist of chats whose frames carry the text. What a chat does not promise is left out."""

    REACHABLE = "reachable"
    LOGGED_IN = "logged_in"
    ROOM = "room_created"
    CONNECTED = "connected"
    JOINED = "joined"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    SHOWN = "shown"
    IN_TIME = "in_time"
    SERIES = "series"  # of a chat that a file describes
    STRANGER = "stranger_refused"
    REPLAYED = "replayed"
    HISTORY = "history"
    HEARTBEAT = "heartbeat"  # likewise


class PageStep(StrEnum):
    """The same checklist on the guide's two pages, in a browser."""

    INBOX = "inbox_opened"
    CONNECTED = "inbox_connected"
    SUBSCRIBED = "inbox_subscribed"
    WIDGET = "widget_opened"
    CHAT = "widget_chat"
    SENT = "widget_sent"
    NOTIFIED = "inbox_notified"
    SHOWN = "inbox_shown"
    IN_TIME = "inbox_in_time"


class Failure(StrEnum):
    """How talking to the target went wrong."""

    NO_SUCH_NAME = "host not found"
    REFUSED = "connection refused"
    UNREACHABLE = "unreachable"  # no route, or no response to the connection attempt
    UNTRUSTED = "certificate not trusted"
    TLS = "no TLS"
    NOT_HTTP = "not HTTP"
    NOT_WEBSOCKET = "not a WebSocket"  # a 101 that does not complete the handshake
    NO_ANSWER = "no answer"  # to an HTTP request or a handshake
    CLOSED = "connection closed"  # by the target, in the middle
    STATUS = "status"  # an HTTP status that says no
    UNREADABLE = "unreadable"
    NOT_READ_HERE = "not readable here"  # a browser may read it, this check cannot
    HERE = "a limit of this machine"
    NO_FRAME = "no frame"  # the socket is open and stays silent
    ERROR_FRAME = "error frame"
    NOT_ACCEPTED = "not accepted"  # a response or frame of the protocol that says no


@dataclass(slots=True)
class Delivery:
    """What became of the one message. Times are seconds after its bytes went out; None: not seen."""

    accepted: float | None = None  # a readable 2xx came back
    notified: float | None = None  # its chat's frame arrived
    shown: float | None = None  # a refetch that shows it completed
    by_page: bool = False  # that refetch followed a frame, so a page would have made it too
    refetch: float | None = None  # seconds that it took; if the message was not shown: seconds of the last refetch
    watched: float = 0.0  # seconds spent waiting for all of this
    other_frames: int = 0  # frames that announced other messages in the meantime
    unreadable: str = ""  # what was wrong with a frame that could not be read
    lost: str | None = None  # how the dashboard's connection ended, if it did
    chats: int | None = None  # number of chats in the last readable list
    listed: bool | None = None  # whether this chat was among them
    stored: bool | None = None  # whether the whole chat has the message; None: it could not be read


@dataclass(slots=True)
class Symptoms:
    """The step that broke, and what was seen of it."""

    broken: StepName | RoomStep
    failure: Failure | None = None
    what: str = ""  # what was tested: an address, a request line, a socket's URL
    status: int | None = None
    detail: str = ""  # what the target or the system said about it
    waited: float = 0.0  # seconds
    delivery: Delivery | None = None
    update_target: float = 2.0  # seconds
    list_window: int | None = None
    retry_after: str = ""  # the response's Retry-After, as it came
    limit: RigLimit | None = None  # the limit of this machine that caused the failure
    with_token: bool = False  # whether a token was sent, from CHATSWARM_TOKEN
    origin: str | None = None  # the Origin that was sent
    accepted_origin: str | None = None  # the Origin with which the same handshake succeeded
    proxy_note: str = ""  # text about an ignored proxy in the environment
