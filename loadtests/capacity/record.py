"""What a search for a limit was asked and what its probes showed: the contents of `capacity.json`.

Loads are messages per second or dashboards. Seconds are floats, and None (JSON `null`) means not measured.
"""

import contextlib
from pathlib import Path
from typing import Literal

import msgspec

from chatswarm.loadtests.compare.capacity import AtLeast, CapacitySearch, SearchKind
from chatswarm.loadtests.compare.gave_out import GaveOut
from chatswarm.loadtests.system.text import to_json

RECORD = "capacity.json"
CapacityBy = Literal["rate", "dashboards"]
Purpose = Literal[
    "search",  # the search's own
    "twice",  # the load that failed again, with twice the processes
    "null",  # more than the limit against the null chat
]
CapacityKind = SearchKind | Literal["undecided", "stopped"]
CONFIDENCE = 0.9
"""Of the limit's interval."""


class AskedCapacity(msgspec.Struct, frozen=True):
    """What is asked. Two searches that are asked the same can use each other's probes."""

    version: str
    scenario: str  # its name
    toml: str  # the resolved scenario; each probe overrides its load and duration
    by: CapacityBy
    start: float
    to: float
    precision: float  # a share of the limit
    probe: float  # seconds of a short probe
    ramp: float  # seconds before each probe
    drain: float  # seconds after it
    update_target: float  # seconds
    processes: int
    seed: int
    protocol: str
    target: str | None  # None: a fresh chat of ours for each probe
    rig: bool  # the null chat in place of a target: the limit is that of the rig
    target_here: bool  # the target runs on the rig's machine
    target_cores: int | None  # that the target's processes can use together; None: unknown
    null_chat: bool  # the null chat speaks the protocol
    origin: str | None = None
    users_file: str | None = None
    pid: int | None = None

    @property
    def search(self) -> CapacitySearch:
        """The search. Raises ValueError for what cannot be searched."""
        return CapacitySearch(self.start, self.to, self.precision, self.by == "dashboards", self.probe)

    @property
    def unit(self) -> str:
        """What a load counts."""
        return "dashboards" if self.by == "dashboards" else "messages/s"


class CapacityProbe(msgspec.Struct):
    """One run at one load. Figures of what was used are medians over its seconds."""

    level: float
    seconds: float  # that were to be measured
    purpose: Purpose
    processes: int
    folder: str  # below that of the search
    took: float  # seconds, with everything around the measured part
    held: bool | None  # None: undecided
    why: list[str] = []  # it did not hold
    deliveries: int = 0  # expected
    lost: int = 0
    p50: float | None = None  # update latency; of a probe with deliveries, None means that it falls among the lost
    p99: float | None = None
    backlog: float | None = None  # seconds of latency that were added in each second
    rig_sound: bool | None = None
    rig_cpu: float | None = None  # cores, of all processes of the rig
    machine_cpu: float | None = None  # cores
    cores: int | None = None  # that the rig's machine has
    cpu_pressure: float | None = None  # the share of the time in which some task waited for a core
    target_cpu: float | None = None  # cores, of all the target's processes
    list_bytes: float | None = None  # of the list as dashboards read it, on average


class CapacityResult(msgspec.Struct):
    """What a search found. `high` is None where nothing shows an upper bound, and `low` where nothing held."""

    kind: CapacityKind
    limit: float | None  # the highest load that was confirmed
    failed: float | None  # the lowest load above it that failed
    low: float | None  # the limit is at least this
    high: float | None  # and at most this
    confidence: float
    gave_out: GaveOut
    evidence: list[str]  # what shows what gave out
    knee: float | None  # the lowest load from which on latency rises
    at_least: float | None  # what was asked for
    answer: AtLeast | None  # None: nothing was asked for
    exit_code: int
    reasons: list[str]  # why there is no better answer
    notes: list[str]
    seconds: float  # that the probes took together


class CapacityReport(msgspec.Struct):
    """The contents of `capacity.json`. `result` is None until the search has ended."""

    asked: AskedCapacity
    told: float  # seconds that it takes at most
    probes: list[CapacityProbe] = []
    result: CapacityResult | None = None
    folder: str = ""

    def json(self) -> bytes:
        """The bytes of `capacity.json`."""
        return msgspec.json.format(to_json(self), indent=2) + b"\n"

    def write(self, folder: Path) -> None:
        """Replaces the file in `folder` atomically. Raises OSError, keeping the old one."""
        new = folder / f"{RECORD}.new"
        try:
            new.write_bytes(self.json())
            new.replace(folder / RECORD)
        except OSError:
            with contextlib.suppress(OSError):
                new.unlink()
            raise


def read_record(folder: Path) -> CapacityReport | None:
    """The record in `folder`; None if there is none. Raises ValueError for one that cannot be read."""
    path = folder / RECORD
    try:
        return msgspec.json.decode(path.read_bytes(), type=CapacityReport)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"{path}: expected a search's record, got: {error}") from None
