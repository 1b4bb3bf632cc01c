"""What a history holds: the tables of observations, their columns and units.

Times are seconds on the machine's monotonic clock, which all processes of one host share. NaN and -1 mean "not there".
Numbers of connections, chats, announcements and versions are those of the process that wrote them.

A `status` is that of an HTTP answer, 0 if none came. A negative one is no answer either, but through the rig's own
doing: a limit of its own, by its errno (-24: no more open files), or `UNREADABLE_HERE`. So is a `code` of a connection
that never got as far as subscribed.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

Code = Literal["b", "h", "i", "q", "d", "s"]
"""A column's type: int8, int16, int32, int64, float64 as the `array` module names them, and s for text."""

FORMAT = 1

UNREADABLE_HERE = -1000
"""In place of a status: an answer came that a browser might have read, and this rig could not."""


class SendOutcome(IntEnum):
    """What became of a send."""

    ACCEPTED = 0  # 2xx, fully read
    REJECTED = 1  # certainly not done
    UNKNOWN = 2  # may or may not be stored


class ConnectionEvent(IntEnum):
    """What happened to a dashboard's socket."""

    OPENING = 0
    SUBSCRIBED = 1
    CLOSED = 2  # code: the close code; 1006 if there was none
    FAILED = 3  # never got as far as subscribed; detail says why
    STOPPED = 4  # closed by the swarm, as planned


class Role(IntEnum):
    """The two kinds of simulated user."""

    WIDGET = 0
    DASHBOARD = 1


class UserEvent(IntEnum):
    """What an operator did to a simulated user, and no schedule wanted."""

    WITHDRAWN = 0  # taken away while it was planned to be there
    ADDED = 1  # one more than the scenario has: it does nothing


class FaultEvent(IntEnum):
    """What the nemesis did."""

    START = 0
    STOP = 1  # healed


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of observation."""

    name: str
    columns: dict[str, Code]


def _table(name: str, /, **columns: Code) -> Table:
    return Table(name, columns)


_MOMENTS = {"intended", "handed", "sent", "done", "time", "started"}

TABLES = {
    table.name: table
    for table in (
        # A message's way out. handed: a greenlet had it and a free connection slot; sent: its bytes went out.
        _table("send", widget="i", n="i", chat="i", intended="d", handed="d", sent="d", done="d", outcome="b",
               status="h", message_id="q"),
        # A chat that this run created (widget: whose) or only saw (widget: -1).
        _table("chat", chat="i", widget="i", chat_id="s"),
        _table("connection", connection="i", dashboard="i", event="b", code="h", time="d", detail="s"),
        # What a frame said. The same bytes on many sockets are one announcement.
        _table("announcement", announcement="i", chat="i", from_customer="b", message_id="q"),
        _table("frame", connection="i", announcement="i", time="d"),
        # dashboard -1: the final read of the list. version -1: the refetch failed.
        _table("refetch", connection="i", dashboard="i", started="d", done="d", status="h", version="i", bytes="i"),
        # A version is one content of the list as this process saw it, told as the difference to the version before it
        # (the first: to an empty list): in this chat the first `dropped` texts went and `added` ones came at the end.
        # total -1: the chat left the list. A version without a difference has no rows (an empty first list).
        _table("version", version="i", chat="i", total="i", dropped="i", added="i"),
        _table("text", version="i", chat="i", widget="i", n="i", condition="b"),
        # The final read of whole chats: status 200 and its texts by position (from 1), or why it failed.
        _table("final", chat="i", status="h", total="i", started="d", done="d", detail="s"),
        _table("final_text", chat="i", position="i", widget="i", n="i", condition="b", message_id="q"),
        # A loop that should have woken `lag` seconds before `time`.
        _table("lag", time="d", lag="d"),
        # cores' worth of CPU over the second that ended at `time`; sends in flight then.
        _table("cpu", time="d", cpu="d", in_flight="i"),
        # Something about the rig that a judge must know, such as a full connection pool. kind: for programs.
        _table("trouble", time="d", kind="s", detail="s"),
        # What an operator did to a user. role and event: Role and UserEvent; number: of the widget or dashboard.
        _table("user", role="b", number="i", event="b", time="d"),
        # Worth knowing, and nobody's fault by itself. Each kind and detail once for each process.
        _table("note", time="d", kind="s", detail="s"),
        # A fault began or was healed. evidence: a JSON object of numbers and texts that shows what it did.
        _table("fault", name="s", kind="s", event="b", time="d", evidence="s"),
    )
}  # fmt: skip

TIMES = [(table.name, column) for table in TABLES.values() for column in table.columns if column in _MOMENTS]
"""The columns that hold moments: what another machine's clock shifts."""
