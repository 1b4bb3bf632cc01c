"""The messages between the conductor and the processes with users, and how Locust's message bus carries them.

Locust sends a name and plain values, which it packs with msgpack; a single process passes them to itself. `encode` and
`decode` are the only way in and out. The conductor and a process first compare their builds (`compatibility.py`), so
the names `who`, `hello`, `welcome` and `plan`, and where `version` and `wire` stand in them, must stay the same in all
versions. Everything else may change: the fingerprint covers it.
"""

from typing import Any, ClassVar, TypeVar

import msgspec

from chatswarm.loadtests.swarm.live.frames_by_id import Identified
from chatswarm.loadtests.swarm.live.increment import Increment
from chatswarm.loadtests.swarm.plan import ProcessProgress, RunPlan


class MessageError(ValueError):
    """A message lacks a field of its kind, or has a wrong one. The text: which kind, what was expected, what came."""


class SwarmMessage(msgspec.Struct, frozen=True):
    """Any message. `kind` is its name on Locust's bus, after `PREFIX`."""

    kind: ClassVar[str]


class RunMessage(SwarmMessage, frozen=True):
    """A message about one run."""

    run: str


# From the conductor to a process with users.


class HelloRequest(SwarmMessage, frozen=True):
    """Asks a worker to say hello: it connected before its master listened."""

    kind: ClassVar[str] = "who"


class Welcome(SwarmMessage, frozen=True):
    """Answers a hello with the master's build."""

    kind: ClassVar[str] = "welcome"
    version: str
    wire: str


class PlannedRun(SwarmMessage, frozen=True):
    """Asks a process to take part in a run, under this name."""

    kind: ClassVar[str] = "plan"
    version: str
    wire: str
    process: str
    plan: RunPlan


class CancelledRun(RunMessage, frozen=True):
    """The run does not begin."""

    kind: ClassVar[str] = "cancelled"


class SeparateFolder(RunMessage, frozen=True):
    """The conductor cannot read the history that this process writes: it must be sent at the end."""

    kind: ClassVar[str] = "separate-folder"


class GrantedNumber(RunMessage, frozen=True):
    """The number of one more user of this role, `widget` or `dashboard`."""

    kind: ClassVar[str] = "number"
    role: str
    number: int


class ClockRequest(RunMessage, frozen=True):
    """Asks what the process's monotonic clock shows; `sent` is the conductor's."""

    kind: ClassVar[str] = "clock-request"
    sent: float


class RoomIds(RunMessage, frozen=True):
    """What the target calls the scenario's rooms, in order."""

    kind: ClassVar[str] = "room-ids"
    ids: list[str]


class RunStart(RunMessage, frozen=True):
    """T0, in monotonic seconds of the receiver's clock."""

    kind: ClassVar[str] = "start"
    start: float


class MessageIds(RunMessage, frozen=True):
    """The ids that the target gave to other processes' messages."""

    kind: ClassVar[str] = "message-ids"
    identified: list[Identified]


class RunEnd(RunMessage, frozen=True):
    """The measured part ended then, in monotonic seconds of the receiver's clock: drain now."""

    kind: ClassVar[str] = "end"
    end: float


class HistoryReceived(SwarmMessage, frozen=True):
    """The conductor has everything that this process sent: it may exit."""

    kind: ClassVar[str] = "history-received"


# From a process with users to the conductor.


class Hello(SwarmMessage, frozen=True):
    """A worker's build and limit of open files, whether it has a token for its dashboards, and its name for the
    master.
    """

    kind: ClassVar[str] = "hello"
    version: str
    wire: str
    open_files: int
    token: bool
    master_host: str


class ProcessMessage(RunMessage, frozen=True):
    """A message about one process's part in a run."""

    process: str


class JoinedRun(ProcessMessage, frozen=True):
    """The process's history is open; `shared`: in the run's folder."""

    kind: ClassVar[str] = "joined"
    boot_id: str
    shared: bool


class CannotJoin(ProcessMessage, frozen=True):
    """The process cannot take part."""

    kind: ClassVar[str] = "cannot-join"
    reason: str


class WrongProtocol(ProcessMessage, frozen=True):
    """A text of this run came in a frame that the protocol's file has no rule for."""

    kind: ClassVar[str] = "wrong-protocol"
    reason: str


class NumberRequest(ProcessMessage, frozen=True):
    """Asks for the number of one more user of this role, `widget` or `dashboard`."""

    kind: ClassVar[str] = "number-request"
    role: str


class ProgressReport(ProcessMessage, frozen=True):
    """How far the process is; with an increment of the live figures where somebody may scrape them."""

    kind: ClassVar[str] = "progress"
    progress: ProcessProgress
    increment: Increment | None


class ClockReading(ProcessMessage, frozen=True):
    """What the process's clock showed, with the conductor's `sent` as it came."""

    kind: ClassVar[str] = "clock-reading"
    sent: float
    there: float


class HistoryPart(ProcessMessage, frozen=True):
    """The next bytes of a history that is not in the run's folder."""

    kind: ClassVar[str] = "history-part"
    data: bytes


class LeavingRun(ProcessMessage, frozen=True):
    """The process exits in the middle of the run; its history follows."""

    kind: ClassVar[str] = "leaving"


class ClosedHistory(ProcessMessage, frozen=True):
    """The process's history is closed; `failure` says why it is incomplete."""

    kind: ClassVar[str] = "closed"
    failure: str | None


TO_WORKERS: tuple[type[SwarmMessage], ...] = (
    HelloRequest, Welcome, PlannedRun, CancelledRun, SeparateFolder, GrantedNumber, ClockRequest, RoomIds, RunStart,
    MessageIds, RunEnd, HistoryReceived,
)  # fmt: skip
TO_CONDUCTOR: tuple[type[SwarmMessage], ...] = (
    Hello, JoinedRun, CannotJoin, NumberRequest, ProgressReport, ClockReading, HistoryPart, LeavingRun, ClosedHistory,
)  # fmt: skip

PREFIX = "chatswarm-"
"""Keeps the names apart from Locust's own, and from those of a team's locustfile."""

M = TypeVar("M", bound=SwarmMessage)
R = TypeVar("R", bound=RunMessage)
P = TypeVar("P", bound=ProcessMessage)


def bus_name(kind: type[SwarmMessage]) -> str:
    """The name of a kind of message on Locust's bus."""
    return PREFIX + kind.kind


def encode(message: SwarmMessage) -> dict[str, Any]:
    """A message as the plain values that Locust packs."""
    values: dict[str, Any] = msgspec.to_builtins(message, builtin_types=(bytes,))
    return values


def decode(kind: type[M], data: object) -> M:
    """The message of this kind that came as `data`. Raises MessageError."""
    try:
        # Some transports turn numbers that are keys into text.
        return msgspec.convert(data, kind, builtin_types=(bytes,), str_keys=True)
    except msgspec.ValidationError as error:
        raise MessageError(f"the message {kind.kind} ({kind.__name__}): {error}") from None


def run_of(data: object) -> str | None:
    """The run that a message is about, whether or not the rest of it can be decoded; None if it names none."""
    run = data.get("run") if isinstance(data, dict) else None
    return run if isinstance(run, str) else None
