"""The tables of a history, with their columns and units.

Times are seconds on the machine's monotonic clock, which all processes of a host share. NaN, -1 and an empty text mean
"none". Each process numbers its own connections, chats, announcements, versions and servers.

A `status` is that of an HTTP response; 0 if there was none. A negative status means that the rig itself failed: on one
of its limits, as a negative errno (-24: no more open files), or with `UNREADABLE_HERE`. The same goes for the `code` of
a connection that never subscribed. A refetch with the status 304 showed its dashboard's last list again.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

Code = Literal["b", "h", "i", "q", "d", "s"]
"""A column's type: int8, int16, int32, int64, float64 as the `array` module names them, and s for text."""

FORMAT = 4
READABLE = (1, 2, 3, FORMAT)
"""The formats that can be read. In an older one, the columns and tables that it lacks hold "none". Refetches with the
status 304 came with format 3."""

MOST_UNREADABLE = 1000
"""How many unreadable frames a process records. If there were more, one of its notes says so."""

UNREADABLE_HERE = -1000
"""In place of a status: a response that a browser might have read, but this rig could not."""


class SendOutcome(IntEnum):
    """What became of a send."""

    ACCEPTED = 0  # the target said so, in the way that its protocol defines
    REJECTED = 1  # certainly not done
    UNKNOWN = 2  # may or may not be stored


class ConnectionEvent(IntEnum):
    """What happened to a dashboard's socket."""

    OPENING = 0
    SUBSCRIBED = 1
    CLOSED = 2  # code: the close code; 1006 if there was none
    FAILED = 3  # never subscribed; detail says why
    STOPPED = 4  # closed by the swarm, as planned


class Sighting(IntEnum):
    """How a text came to a dashboard."""

    LIVE = 0
    REPLAYED = 1  # sent again by the target after a reconnection
    READ = 2  # by a read that the dashboard made after connecting


class MembershipEvent(IntEnum):
    """What happened to one dashboard's membership in one chat."""

    JOINED = 0  # the target confirmed the subscription, or was asked for it if it confirms none; detail: see RECOVERED
    REFUSED = 1  # the target refused the subscription
    LEFT = 2  # the subscription ended
    ADDED = 3  # the dashboard became a member in the middle of the run
    REMOVED = 4  # its membership ended in the middle of the run


RECOVERED = "recovered"
"""The detail of a JOINED: the target said that nothing is missing since the dashboard's earlier subscription to that
chat, because it has sent all that was missed, or will. Without it, the target said nothing, or the contrary."""


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

    @property
    def none(self) -> tuple[float | str, ...]:
        """Per column, the value that means "none"."""
        return tuple(_NONE.get(code, -1) for code in self.columns.values())


_NONE: dict[Code, float | str] = {"d": float("nan"), "s": ""}


def _table(name: str, /, **columns: Code) -> Table:
    return Table(name, columns)


_MOMENTS = {"intended", "handed", "sent", "done", "time", "started"}

TABLES = {
    table.name: table
    for table in (
        # A message that is sent. handed: a greenlet had it and a free connection slot; sent: its bytes went out;
        # connection: the socket that it went over.
        _table("send", widget="i", n="i", chat="i", intended="d", handed="d", sent="d", done="d", outcome="b",
               status="h", message_id="q", server="h", connection="i"),
        # A chat that this run created (widget: its owner) or only saw (widget: -1). room: its number in the scenario.
        _table("chat", chat="i", widget="i", chat_id="s", room="i"),
        # The socket of a dashboard, or of a widget that sends over one. deflate: 1 if compression was agreed, else 0.
        _table("connection", connection="i", dashboard="i", event="b", code="h", time="d", detail="s", widget="i",
               server="h", deflate="b"),
        # What a frame, or a text in a read, announced. The same message on many sockets is one announcement. widget, n
        # and condition are those of its text, where it carries one; how: Sighting (none: live). message_id: see
        # Recorder.
        _table("announcement", announcement="i", chat="i", from_customer="b", message_id="q", widget="i", n="i",
               condition="b", how="b"),
        _table("frame", connection="i", announcement="i", time="d"),
        # A frame on a dashboard's connection that could not be read, and why; the first `MOST_UNREADABLE` of a process.
        _table("unreadable", connection="i", time="d", detail="s"),
        # dashboard -1: the final read of the list. version -1: the refetch failed. n: the number of this refetch among
        # those of its dashboard, from 0 in the order in which they began; -1: the final read.
        _table("refetch", connection="i", dashboard="i", started="d", done="d", status="h", version="i", bytes="i",
               server="h", n="i"),
        # A version is the list as this process saw it, as the difference to the version before (for the first: to an
        # empty list): in this chat the first `dropped` texts were removed, and `added` texts were appended.
        # total -1: the chat left the list. A version without any difference has no rows (an empty first list).
        _table("version", version="i", chat="i", total="i", dropped="i", added="i"),
        _table("text", version="i", chat="i", widget="i", n="i", condition="b"),
        # A dashboard's membership and subscriptions, chat by chat. event: MembershipEvent.
        _table("membership", connection="i", dashboard="i", chat="i", event="b", time="d", detail="s"),
        # Who served a connection, a send or a refetch: the address that was connected to (a fault proxy's, if there is
        # one), and the name that the target gave for itself.
        _table("server", server="h", address="s", name="s"),
        # The final read of whole chats: status 200 and its texts by position (from 1), or why it failed.
        _table("final", chat="i", status="h", total="i", started="d", done="d", detail="s"),
        _table("final_text", chat="i", position="i", widget="i", n="i", condition="b", message_id="q"),
        # A loop woke at `time`, `lag` seconds late.
        _table("lag", time="d", lag="d"),
        # CPU used in the second up to `time`, in cores; sends in flight at `time`.
        _table("cpu", time="d", cpu="d", in_flight="i"),
        # The machine in the second up to `time`: CPU used, in cores; the share of that second in which some task waited
        # for CPU, I/O or memory (Linux's pressure stall information); how many cores it has.
        _table("machine", time="d", cpu="d", cpu_pressure="d", io_pressure="d", memory_pressure="d", cores="h"),
        # A process of the target in the second up to `time`: CPU used, in cores (NaN: it was found in that second);
        # resident memory in bytes. All rows of one sample have the same time.
        _table("process", time="d", pid="i", name="s", cpu="d", memory="q"),
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
