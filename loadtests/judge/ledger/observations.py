"""The merged histories of a run: tables of observations with common numbering, and what is missing."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from chatswarm.loadtests.history.manifest import NEMESIS, WITHOUT_USERS
from chatswarm.loadtests.history.tables import ConnectionEvent

from .arrays import Bools, Floats, Ints, Small
from .faults import FaultSpan

_NOT_MODIFIED = 304

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
    server: Ints  # index into `Observations.servers`; -1: unknown


@dataclass(frozen=True, slots=True)
class ConnectionTable:
    """One row per attempt of a dashboard to connect. Times are NaN for what did not happen."""

    dashboard: Ints  # -1: a widget's connection, or no row has it
    process: Ints
    opening: Floats
    subscribed: Floats
    ended: Floats  # closed, failed or stopped; otherwise the last moment in its process's history
    event: Ints  # the last ConnectionEvent
    code: Ints
    detail: list[str]
    server: Ints  # index into `Observations.servers`; -1: unknown
    deflate: Ints  # 1: compression was agreed, 0: it was not; -1: unknown

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
    process: Ints  # per announcement: the one that recorded it
    # Where announcements carry texts, per announcement:
    widget: Ints  # -1: none, or no text of this run
    n: Ints
    condition: Ints  # -1: no text
    how: Ints  # Sighting


@dataclass(frozen=True, slots=True)
class MembershipTable:
    """What happened to dashboards' memberships and subscriptions, chat by chat."""

    connection: Ints  # -1: not on a connection
    dashboard: Ints
    chat: Ints
    event: Ints  # MembershipEvent
    time: Floats
    detail: list[str]


@dataclass(frozen=True, slots=True)
class RefetchTable:
    """All reads of the list. `version` is -1 if the read failed, or the history was cut before its content."""

    dashboard: Ints  # -1: the final read
    process: Ints
    started: Floats
    done: Floats
    status: Ints
    version: Ints  # numbered across processes: those of process p start at `Versions.start[p]`
    size: Ints  # bytes of the response's body, as it came over the wire
    server: Ints  # index into `Observations.servers`; -1: unknown
    n: Ints  # its number among those of its dashboard, from 0; -1: the final read, or an older history

    @property
    def showed(self) -> Bools:
        """Which reads returned a list, or said that the reader's last one is still good."""
        return np.asarray((answered(self.status) | (self.status == _NOT_MODIFIED)) & (self.version >= 0))


@dataclass(frozen=True, slots=True)
class UnreadableTable:
    """Frames on dashboards' connections that could not be read, as far as they were recorded (`MOST_UNREADABLE`)."""

    connection: Ints
    time: Floats
    detail: list[str]  # what was expected and what came


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


@dataclass(frozen=True, slots=True)
class MachineSamples:
    """What one machine of the rig did, second by second. NaN: not measured."""

    process: str  # the one that looked; of several on the same machine, the one that looked most often
    time: Floats  # the end of each second
    cpu: Floats  # in cores
    cpu_pressure: Floats  # the share of the second in which some task waited, from 0 to 1
    io_pressure: Floats
    memory_pressure: Floats
    cores: Ints  # that it has


@dataclass(frozen=True, slots=True)
class ProcessSamples:
    """What the target's processes did: one row per process and second, in order of time."""

    time: Floats  # the end of the second; the same for all processes
    pid: Ints
    name: list[str]
    cpu: Floats  # in cores; NaN: not measured
    memory: Ints  # bytes that are resident


class ServedBy(NamedTuple):
    """Who served a request or a socket; empty: unknown."""

    address: str  # that was connected to: a fault proxy's, if there is one
    name: str  # that the target gave for itself


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
    chat_widget: Ints  # the widget that owns it; -1: none
    chat_room: Ints  # its room in the scenario; -1: none
    sends: SendTable
    connections: ConnectionTable
    frames: FrameTable
    memberships: MembershipTable
    unreadable: UnreadableTable
    refetches: RefetchTable
    versions: Versions
    finals: Finals
    users: Users
    samples: list[Samples]
    machines: list[MachineSamples]  # one per host that measured any
    target_processes: ProcessSamples
    servers: list[ServedBy]
    troubles: list[RigTrouble]  # each once
    notes: list[str]  # each once
    faults: list[FaultSpan] = field(default_factory=list)  # by start time
    reasons: list[str] = field(default_factory=list)

    @property
    def own_chats(self) -> Bools:
        """Which chats are of this run: one of its widgets owns them, or they are its rooms."""
        return np.asarray((self.chat_widget >= 0) | (self.chat_room >= 0))

    @property
    def complete(self) -> bool:
        """Nothing of the swarm is missing, so what is not here did not happen."""
        return all(
            whole for name, whole in zip(self.processes, self.whole.tolist(), strict=True) if name not in WITHOUT_USERS
        )

    @property
    def all_faults(self) -> bool:
        """Nothing of the nemesis is missing, so there were no faults but these."""
        return all(whole for name, whole in zip(self.processes, self.whole.tolist(), strict=True) if name == NEMESIS)
