"""The merged histories of a run: tables of observations with common numbering, and what is missing."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from chatswarm.loadtests.history.manifest import NEMESIS, PROXY
from chatswarm.loadtests.history.tables import ConnectionEvent

from .arrays import Bools, Floats, Ints, Small
from .faults import FaultSpan

NO_FINAL = -1
"""In place of a status: the chat had no final read."""


def answered(status: Ints) -> Bools:
    """Which responses were 2xx: a proxy that modifies a response turns a 200 into a 203."""
    return np.asarray((status >= 200) & (status < 300))


@dataclass(frozen=True, slots=True)
class SendTable:
    """The widgets' sends, in file order. `chat` is -1 if the widget never had one."""

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
    """One row per attempt of a dashboard to connect. Times are NaN for what did not happen."""

    dashboard: Ints  # -1: no row has this connection
    process: Ints
    opening: Floats
    subscribed: Floats
    ended: Floats  # closed, failed or stopped; otherwise the last moment in its process's history
    event: Ints  # the last ConnectionEvent
    code: Ints
    detail: list[str]

    @property
    def rig_failed(self) -> Bools:
        """Which attempts failed on a limit of the rig itself, and say nothing about the target."""
        return np.asarray((self.event == ConnectionEvent.FAILED) & (self.code < 0))


@dataclass(frozen=True, slots=True)
class FrameTable:
    """The frames that announce a message, and what they announce."""

    connection: Small
    announcement: Small
    time: Floats
    chat: Ints  # per announcement
    from_customer: Bools  # per announcement
    message_id: Ints  # per announcement; -1: none


@dataclass(frozen=True, slots=True)
class RefetchTable:
    """All reads of the list. `version` is -1 if the read failed, or the history was cut before its content."""

    dashboard: Ints  # -1: the final read
    process: Ints
    started: Floats
    done: Floats
    status: Ints
    version: Ints  # numbered across processes: those of process p start at `Versions.start[p]`

    @property
    def showed(self) -> Bools:
        """Which reads returned a list."""
        return np.asarray(answered(self.status) & (self.version >= 0))


@dataclass(frozen=True, slots=True)
class Versions:
    """The contents of the list, as differences: rows by (process, version), texts by row."""

    start: Ints  # per process: where its versions start, then the total
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
    """The final read of whole chats, at most one per chat."""

    status: Ints  # per chat; NO_FINAL: none
    read: Bools  # per chat: it succeeded, and its texts are complete
    total: Ints  # per chat: the target's count of messages
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
    """The loop lag and CPU use of one process."""

    name: str
    busy: bool  # it had widgets or dashboards
    lag_time: Floats
    lag: Floats
    cpu_time: Floats
    cpu: Floats


class RigTrouble(NamedTuple):
    """Something that went wrong with the rig. `kind` is for programs, `detail` for people."""

    process: str
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Observations:
    """Everything that the processes of a run recorded."""

    processes: list[str]
    whole: Bools  # per process: its file exists, is of this run, and was not cut
    chat_ids: list[str]
    chat_widget: Ints  # the widget that owns it; -1: not created by this run
    sends: SendTable
    connections: ConnectionTable
    frames: FrameTable
    refetches: RefetchTable
    versions: Versions
    finals: Finals
    users: Users
    samples: list[Samples]
    troubles: list[RigTrouble]  # each once
    notes: list[str]  # each once
    faults: list[FaultSpan] = field(default_factory=list)  # by start time
    reasons: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Nothing of the swarm is missing, so what is not here did not happen."""
        return all(
            whole
            for name, whole in zip(self.processes, self.whole.tolist(), strict=True)
            if name not in (NEMESIS, PROXY)
        )

    @property
    def all_faults(self) -> bool:
        """Nothing of the nemesis is missing, so there were no faults but these."""
        return all(whole for name, whole in zip(self.processes, self.whole.tolist(), strict=True) if name == NEMESIS)
