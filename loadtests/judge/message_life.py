"""What is known about one message, from its send to each dashboard that was to show it, as plain values.

All times are seconds after the start of the measured part; None: it did not happen, or nobody knows when.
"""

from dataclasses import dataclass
from typing import Literal

from chatswarm.loadtests.system.text import to_json

SendFate = Literal["accepted", "rejected", "unknown", "rig failed"]
"""What became of the send; `rig failed`: it met a limit of the rig itself, and says nothing about the target."""
DeliveryFate = Literal["lost", "gap", "late", "unproven", "visible", "excused", "not expected"]
"""What became of the message on one dashboard. `gap`: lost while the dashboard was between two connections."""
FATES: tuple[DeliveryFate, ...] = ("lost", "gap", "late", "unproven", "visible", "excused", "not expected")
"""All of them, the most urgent first."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """What the final read says about a message."""

    state: Literal["stored", "not stored", "not known"]
    chat: str = ""  # where it was stored
    position: int | None = None  # in that chat, from 1
    copies: int = 0
    detail: str = ""  # what is wrong with the copy, or why nothing is known


@dataclass(frozen=True, slots=True)
class LifeServer:
    """Who served a request or a connection."""

    name: str  # that the target gave for itself; may be empty
    address: str  # that was connected to: a fault proxy's, if there is one


@dataclass(frozen=True, slots=True)
class LifeConnection:
    """One connection of a dashboard."""

    opening: float | None
    subscribed: float | None
    joined: float | None  # when the message's room was first joined on it
    join_refused: float | None
    left: float | None  # when its subscription to that room ended
    join_detail: str
    ended: float | None  # None: it was open at the end of the history
    end: Literal["", "closed", "failed", "stopped"]  # `stopped`: by the swarm, as planned
    code: int  # the close code; of a failed attempt, the status, or a negative errno of the rig
    detail: str
    served_by: LifeServer | None


@dataclass(frozen=True, slots=True)
class LifeFrame:
    """A frame, or a text in a read after connecting, that announced or carried the message on a dashboard."""

    time: float
    how: Literal["live", "replayed", "read"]
    certain: bool  # False: it announced the message's chat, and may have been for another message
    chat: str  # the chat that it named, if that is not the message's own
    damage: str  # how its text differed from the one sent; empty: not at all, or it carried none


@dataclass(frozen=True, slots=True)
class LifeRefetch:
    """A dashboard's read of the list."""

    started: float
    done: float | None
    status: int  # 0: no response; negative: a limit of the rig
    shows: bool | None  # whether the list showed the message; None: no list came
    served_by: LifeServer | None
    trace: str = ""  # the trace id that it was sent with; empty: none


@dataclass(frozen=True, slots=True)
class LifeSilence:
    """A span in which frames were due on a subscribed connection of the dashboard, and none came."""

    begin: float
    end: float
    due: int


@dataclass(frozen=True, slots=True)
class DashboardLife:
    """The message on one dashboard. Where some of many events are left out, they came before the last one given."""

    dashboard: int
    fate: DeliveryFate
    why: str  # why it is not expected, excused or unproven, or what else must be known; may be empty
    notified: float | None  # the first live frame that is known to have announced it
    visible: float | None
    process: str  # of the rig, that the dashboard lived in
    connections: tuple[
        LifeConnection, ...
    ]  # those that overlap the time from intended to visible, and since when it was away
    connections_left_out: int
    frames: tuple[LifeFrame, ...]
    frames_left_out: int
    refetches: tuple[LifeRefetch, ...]  # those that ended after the send, up to the first that shows the message
    refetches_left_out: int
    silences: tuple[LifeSilence, ...]

    @property
    def rows(self) -> int:
        """How many rows it takes to show."""
        return 1 + len(self.connections) + len(self.frames) + len(self.refetches) + len(self.silences)


@dataclass(frozen=True, slots=True)
class LifeFault:
    """A fault that was active at some moment of the message's life. `stop` None: it was never healed."""

    name: str
    kind: str
    start: float
    stop: float | None


@dataclass(frozen=True, slots=True)
class LifeStall:
    """A process of the rig on the message's way that did nothing for a moment: its loop woke this late."""

    process: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class MessageLife:
    """One message's whole life."""

    uid: str
    trace: str  # the trace id that its send had; empty: none
    widget: int
    chat: str
    process: str  # of the rig, that sent it
    intended: float
    handed: float | None  # a free connection was there for it
    sent: float | None  # its bytes went out
    answered: float | None  # its response, or the failure
    outcome: SendFate
    status: int
    served_by: LifeServer | None
    stored: StoredMessage
    visible_by: Literal["frame", "refetch"]  # what shows messages in this kind of chat
    update_target: float  # seconds that a dashboard has to show it
    ends: float  # the last moment that this tells about
    watched: float  # the last moment that any dashboard's connection was observed
    fates: dict[DeliveryFate, int]  # how many dashboards, also of those that are not shown
    dashboards: tuple[DashboardLife, ...]  # lost and late ones first, and the slowest first
    left_out: int  # how many dashboards are not shown
    faults: tuple[LifeFault, ...]
    faults_left_out: int
    stalls: tuple[LifeStall, ...]
    stalls_left_out: int  # the shorter ones

    @property
    def accepted(self) -> float | None:
        """When the target accepted it."""
        return self.answered if self.outcome == "accepted" else None

    @property
    def deadline(self) -> float:
        """From when on it is late."""
        return self.intended + self.update_target


def life_json(life: MessageLife) -> bytes:
    """The life as a JSON object whose keys are the fields of these classes."""
    return to_json(life)
