"""The tables of a history, with their columns and units.

Times are seconds on the machine's monotonic clock, which all processes of a host share. NaN and -1 mean "none". Each
process numbers its own connections, chats, announcements and versions.

A `status` is that of an HTTP response; 0 if there was none. A negative status means that the rig itself failed: on one
of its limits, as a negative errno (-24: no more open files), or with `UNREADABLE_HERE`. The same goes for the `code` of
a connection that never subscribed.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

Code = Literal["b", "h", "i", "q", "d", "s"]
"""A column's type: int8, int16, int32, int64, float64 as the `array` module names them, and s for text."""

FORMAT = 1

UNREADABLE_HERE = -1000
"""In place of a status: a response that a browser might have read, but this rig could not."""


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
    FAILED = 3  # never subscribed; detail says why
    STOPPED = 4  # closed by the swarm, as planned


class Role(IntEnum):
    """The two kinds of simulated user."""

    WIDGET = 0
    DASHBOARD = 1


class UserEvent(IntEnum):
    """A change to a simulated user that the scenario did not plan."""

    WITHDRAWN = 0  # removed while it was planned to be online
    ADDED = 1  # in excess of the scenario: it stays idle


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
        # A message that is sent. handed: a greenlet had it and a free connection slot; sent: its bytes went out.
        _table("send", widget="i", n="i", chat="i", intended="d", handed="d", sent="d", done="d", outcome="b",
               status="h", message_id="q"),
        # A chat that this run created (widget: its owner) or only saw (widget: -1).
        _table("chat", chat="i", widget="i", chat_id="s"),
        _table("connection", connection="i", dashboard="i", event="b", code="h", time="d", detail="s"),
        # The content of a frame. The same bytes on many sockets are one announcement.
        _table("announcement", announcement="i", chat="i", from_customer="b", message_id="q"),
        _table("frame", connection="i", announcement="i", time="d"),
        # dashboard -1: the final read of the list. version -1: the refetch failed.
        _table("refetch", connection="i", dashboard="i", started="d", done="d", status="h", version="i", bytes="i"),
        # A version is the list as this process saw it, as the difference to the version before (for the first: to an
        # empty list): in this chat the first `dropped` texts were removed, and `added` texts were appended.
        # total -1: the chat left the list. A version without any difference has no rows (an empty first list).
        _table("version", version="i", chat="i", total="i", dropped="i", added="i"),
        _table("text", version="i", chat="i", widget="i", n="i", condition="b"),
        # The final read of whole chats: status 200 and its texts by position (from 1), or why it failed.
        _table("final", chat="i", status="h", total="i", started="d", done="d", detail="s"),
        _table("final_text", chat="i", position="i", widget="i", n="i", condition="b", message_id="q"),
        # A loop woke at `time`, `lag` seconds late.
        _table("lag", time="d", lag="d"),
        # CPU used in the second up to `time`, in cores; sends in flight at `time`.
        _table("cpu", time="d", cpu="d", in_flight="i"),
        # A problem with the rig that the judge must know, for example a full connection pool. kind: for programs.
        _table("trouble", time="d", kind="s", detail="s"),
        # A change to a user. role and event: Role and UserEvent; number: that of the widget or dashboard.
        _table("user", role="b", number="i", event="b", time="d"),
        # Worth knowing, but not a problem. Each kind and detail once per process.
        _table("note", time="d", kind="s", detail="s"),
        # A fault started or was healed. evidence: a JSON object of numbers and texts that shows its effect.
        _table("fault", name="s", kind="s", event="b", time="d", evidence="s"),
    )
}  # fmt: skip

TIMES = [(table.name, column) for table in TABLES.values() for column in table.columns if column in _MOMENTS]
"""The columns that hold points in time, which need correction if the process ran on another host."""
