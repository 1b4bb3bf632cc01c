"""What the processes of a run wrote down, as one: tables of observations with common numbers, and what is missing."""

from dataclasses import dataclass, field

import numpy as np

from chatswarm.loadtests.history.manifest import NEMESIS, PROXY
from chatswarm.loadtests.history.tables import ConnectionEvent

from .arrays import Bools, Floats, Ints, Small
from .faults import FaultSpan

NO_FINAL = -1
"""In place of a status: there was no final read of that chat."""


def answered(status: Ints) -> Bools:
    """Which answers were a 2xx: a proxy that changes what it passes on makes a 203 of a 200."""
    return np.asarray((status >= 200) & (status < 300))


@dataclass(frozen=True, slots=True)
class SendTable:
    """The widgets' sends, in the order of the files. `chat` is -1 where the widget never had one."""

    process: Ints
    widget: Ints
    n: Ints
    chat: Ints
    intended: Floats
    handed: Floats
    sent: Floats
    done: Floats
    outcome: Ints
    status: Ints
    message_id: Ints


@dataclass(frozen=True, slots=True)
class ConnectionTable:
    """One row for each attempt of a dashboard to connect. Times are NaN for what did not happen."""

    dashboard: Ints  # -1: a number that no row explains
    process: Ints
    opening: Floats
    subscribed: Floats
    ended: Floats  # closed, failed or stopped; where none of them: the last moment in its process's history
    event: Ints  # the last ConnectionEvent
    code: Ints
    detail: list[str]

    @property
    def rig_failed(self) -> Bools:
        """Which attempts met a limit of the rig's own, and say nothing of the target."""
        return np.asarray((self.event == ConnectionEvent.FAILED) & (self.code < 0))


@dataclass(frozen=True, slots=True)
class FrameTable:
    """The frames that announce something, and what they announce."""

    connection: Small
    announcement: Small
    time: Floats
    chat: Ints  # per announcement
    from_customer: Bools  # per announcement
    message_id: Ints  # per announcement; -1: none


@dataclass(frozen=True, slots=True)
class RefetchTable:
    """All reads of the list. `version` is -1 where it failed, or where the history was cut before its content."""

    dashboard: Ints  # -1: the final read
    process: Ints
    started: Floats
    done: Floats
    status: Ints
    version: Ints  # common numbers: those of process p begin at `version_start[p]`

    @property
    def showed(self) -> Bools:
        """Which of them brought a list."""
        return np.asarray(answered(self.status) & (self.version >= 0))


@dataclass(frozen=True, slots=True)
class Versions:
    """The contents of the list, as differences: rows by (process, version), texts by row."""

    start: Ints  # per process and one more: where its versions begin
    process: Ints
    version: Ints
    chat: Ints
    total: Ints
    dropped: Ints
    added: Ints
    text_widget: Ints
    text_n: Ints
    text_condition: Ints


@dataclass(frozen=True, slots=True)
class Finals:
    """The final read of whole chats, one for each chat at most."""

    status: Ints  # per chat; NO_FINAL: there was none
    read: Bools  # per chat: it succeeded, and all its texts are here
    total: Ints  # per chat: how many messages the target says there are
    detail: dict[int, str]
    chat: Ints  # per text
    position: Ints
    widget: Ints
    n: Ints
    condition: Ints
    message_id: Ints


@dataclass(frozen=True, slots=True)
class Users:
    """What an operator did to simulated users."""

    role: Ints
    number: Ints
    event: Ints
    time: Floats


@dataclass(frozen=True, slots=True)
class Samples:
    """How one process fared: its loop's lag and its CPU."""

    name: str
    busy: bool  # it had widgets or dashboards
    lag_time: Floats
    lag: Floats
    cpu_time: Floats
    cpu: Floats


@dataclass(frozen=True, slots=True)
class Observations:
    """Everything that the processes of a run wrote down."""

    processes: list[str]
    whole: Bools  # per process: its file is there, of this run and not cut
    chat_ids: list[str]
    chat_widget: Ints  # whose chat it is; -1: not made by this run
    sends: SendTable
    connections: ConnectionTable
    frames: FrameTable
    refetches: RefetchTable
    versions: Versions
    finals: Finals
    users: Users
    samples: list[Samples]
    troubles: list[tuple[str, str, str]]  # process, kind, detail; each once
    notes: list[str]  # each once
    faults: list[FaultSpan] = field(default_factory=list)  # by their starts
    reasons: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Nothing of the swarm is missing, so that what is not here did not happen."""
        return all(
            whole
            for name, whole in zip(self.processes, self.whole.tolist(), strict=True)
            if name not in (NEMESIS, PROXY)
        )

    @property
    def all_faults(self) -> bool:
        """Nothing of the nemesis is missing: where no fault is, there was none."""
        return all(whole for name, whole in zip(self.processes, self.whole.tolist(), strict=True) if name == NEMESIS)
