"""What can be seen when a chat does not work: the words in which the checklist tells it and the diagnosis reads it."""

from dataclasses import dataclass
from enum import StrEnum

from chatswarm.loadtests.system.rig_limits import OwnLimit


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


class PageStep(StrEnum):
    """The same, as the guide has people do it: on the two pages, in a browser."""

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
    UNREACHABLE = "unreachable"  # no route, or no answer to the connection attempt
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


@dataclass(slots=True)
class Delivery:
    """What became of the one message. Moments are seconds after its bytes went out; None: not seen."""

    accepted: float | None = None  # a readable 2xx came back
    notified: float | None = None  # its chat's frame arrived
    shown: float | None = None  # a refetch that shows it completed
    by_page: bool = False  # that refetch followed a frame, so a page would have made it, too
    refetch: float | None = None  # how long that refetch (until there is one: the last one) took
    watched: float = 0.0  # how long was waited for all of this
    other_frames: int = 0  # frames that announced other messages meanwhile
    unreadable: str = ""  # what was wrong with a frame that could not be read
    lost: str | None = None  # how the dashboard's socket ended, if it did
    chats: int | None = None  # how many chats the last readable list held
    listed: bool | None = None  # whether this chat was among them
    stored: bool | None = None  # whether the chat read as a whole held the message; None: could not be read


@dataclass(slots=True)
class Symptoms:
    """The step that broke, and what was seen of it."""

    broken: StepName
    failure: Failure | None = None
    what: str = ""  # what was asked: an address, a request line, a frame
    status: int | None = None
    detail: str = ""  # what the target (or the system) said about it
    waited: float = 0.0  # seconds
    delivery: Delivery | None = None
    update_target: float = 2.0  # seconds
    list_window: int | None = None
    retry_after: str = ""  # what the answer asked to wait, as it says it
    own: OwnLimit | None = None  # the limit of this machine that is to blame
    with_token: bool = False  # whether CHATSWARM_TOKEN holds one, so that it was sent
    origin: str | None = None  # the Origin that was sent
    let_in_as: str | None = None  # the one with which the same handshake was let in
    proxy_note: str = ""  # what to say of a proxy in the environment
