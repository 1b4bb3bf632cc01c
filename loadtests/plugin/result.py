"""A verdict to assert on, with the names of `verdict.json`. No figure of it is None.

A quantile that falls among the lost is infinite, so `p99 < 2.0` fails and says why. A figure that was not measured
raises UndecidedError when it is read, because no comparison with it could be a pass or a failure. Seconds are floats.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

import msgspec

from chatswarm.loadtests.judge import verdict as raw
from chatswarm.loadtests.scenario.metric_names import LATENCIES, QUANTILES, Outcome
from chatswarm.loadtests.system.text import one_line
from chatswarm.loadtests.system.units import human

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T", int, float, str)


class AmongTheLost(float):
    """An infinite quantile: more was lost than it leaves out. Its repr says so."""

    def __repr__(self) -> str:
        return "inf (it falls among the lost)"

    __str__ = __repr__


class _Figure(Generic[T]):
    """A figure that may be None in the underlying struct."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, part: None, owner: type) -> Self: ...
    @overload
    def __get__(self, part: _Part, owner: type) -> T: ...
    def __get__(self, part: _Part | None, owner: type) -> Any:
        return self if part is None else part.figure(self._name)


class _Part:
    """One part of a verdict; `path` is its path in `verdict.json`."""

    def __init__(self, struct: msgspec.Struct, path: str, verdict: MeasuredVerdict) -> None:
        self._struct, self._path, self._verdict = struct, path, verdict

    def figure(self, name: str) -> object:
        value = getattr(self._struct, name)
        if value is None:
            why = "".join(f"\nbecause {one_line(reason)}" for reason in self._verdict.reasons)
            raise UndecidedError(f"{self._path}.{name} was not measured in this run{why}", self._verdict)
        return value

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the declared attributes that are never None
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._struct, name)

    def __repr__(self) -> str:
        figures = ", ".join(
            f"{name}={'not measured' if value is None else value}"
            for name, value in msgspec.structs.asdict(self._struct).items()
        )
        return f"{self._path}({figures})"


class MeasuredQuantiles(_Part):
    """Exact quantiles in seconds. What was expected and never came counts as infinite."""

    p50 = _Figure[float]()
    p95 = _Figure[float]()
    p99 = _Figure[float]()
    p999 = _Figure[float]()
    max = _Figure[float]()
    count: int

    def figure(self, name: str) -> object:
        if getattr(self._struct, name) is None and self.count:
            return AmongTheLost("inf")
        return super().figure(name)

    def __repr__(self) -> str:
        if not self.count:
            return f"{self._path}(not measured)"
        shown = (
            f"{name}={'lost' if value is None else human(value)}"
            for name, value in msgspec.structs.asdict(self._struct).items()
            if name in QUANTILES
        )
        return f"{self._path}({', '.join(shown)}, count={self.count})"


class MeasuredDeliveries(_Part):
    """Accepted messages × eligible dashboards: expected = visible + lost + excused + unproven."""

    expected: int
    visible: int
    lost: int
    excused: int
    unproven: int
    notified = _Figure[int]()
    unnotified = _Figure[int]()
    late: int
    seen_as_text: int
    gap = _Figure[int]()


class MeasuredFrames(_Part):
    """Frames that announce messages: due = matched + missed; received = matched + extra."""

    due = _Figure[int]()
    received: int
    matched = _Figure[int]()
    missed = _Figure[int]()
    extra = _Figure[int]()


class MeasuredCounts(_Part):
    """The count of each finding."""

    store_lost = _Figure[int]()
    duplicated = _Figure[int]()
    reordered = _Figure[int]()
    phantom = _Figure[int]()
    vanished = _Figure[int]()
    corrupted = _Figure[int]()
    misplaced = _Figure[int]()
    silent_socket = _Figure[int]()
    refused = _Figure[int]()
    absent = _Figure[int]()
    recovered = _Figure[int]()
    leaked = _Figure[int]()


class MeasuredMachine(_Part):
    """The load generator's machine in its worst second. Pressures are shares of a second, from 0 to 1."""

    cpu = _Figure[float]()
    cores = _Figure[int]()
    cpu_pressure = _Figure[float]()
    io_pressure = _Figure[float]()
    memory_pressure = _Figure[float]()
    processor = _Figure[str]()


class MeasuredProcess(_Part):
    """A process of the target. `cpu`: cores, in its busiest second; `memory`: bytes, at most."""

    name: str
    pid: int
    cpu = _Figure[float]()
    memory: int


class MeasuredRig(_Part):
    """The load-generating side. `cpu`: cores used by its busiest process in its busiest second."""

    lag_p99 = _Figure[float]()
    cpu = _Figure[float]()
    late_sends: int
    clock_bound: float
    sound: bool
    reasons: list[str]

    @property
    def machine(self) -> MeasuredMachine:
        """Raises UndecidedError if nothing of it was measured."""
        found = self.figure("machine")
        assert isinstance(found, raw.RigMachine)
        return MeasuredMachine(found, f"{self._path}.machine", self._verdict)


class MeasuredSlo(_Part):
    """One SLO of the scenario."""

    expect: str
    actual = _Figure[float]()
    outcome: Outcome
    cause: str

    def figure(self, name: str) -> object:
        # In verdict.json, a failed SLO without a value is one whose value is infinite.
        if getattr(self._struct, name) is None and self.outcome == "fail":
            return AmongTheLost("inf")
        return super().figure(name)


class MeasuredLatency:
    """All latencies. They count from the intended time, except `refetch`, `connect` and `recovery`."""

    visible: MeasuredQuantiles
    notified: MeasuredQuantiles
    accepted: MeasuredQuantiles
    refetch: MeasuredQuantiles
    first_dashboard: MeasuredQuantiles
    median_dashboard: MeasuredQuantiles
    last_dashboard: MeasuredQuantiles
    connect: MeasuredQuantiles
    recovery: MeasuredQuantiles

    def __init__(self, latency: raw.Latency, verdict: MeasuredVerdict) -> None:
        for name in LATENCIES:
            setattr(self, name, MeasuredQuantiles(getattr(latency, name), f"latency.{name}", verdict))

    def __repr__(self) -> str:
        return "latency"


class MeasuredVerdict:
    """The verdict of a run. `verdict` is "pass" or "fail"; `raw` has everything as in `verdict.json`."""

    def __init__(self, of: raw.Verdict, folder: Path) -> None:
        """`folder`: the run's folder, with its history."""
        self.raw = of
        self.folder = folder
        self.verdict = of.verdict
        self.exit_code = of.exit_code
        self.scenario = of.scenario
        self.target = of.target
        self.seed = of.seed
        self.started = of.started
        self.seconds = of.seconds
        self.dashboards = of.dashboards
        self.widgets = of.widgets
        self.rooms = of.rooms
        self.load = of.load
        self.reasons = of.reasons
        self.notes = of.notes
        self.evidence = of.evidence
        self.messages = of.messages
        self.deliveries = MeasuredDeliveries(of.deliveries, "deliveries", self)
        self.frames = MeasuredFrames(of.frames, "frames", self)
        self.counts = MeasuredCounts(of.counts, "counts", self)
        self.latency = MeasuredLatency(of.latency, self)
        self.connections = of.connections
        self.slos = [MeasuredSlo(slo, f"slos[{number}]", self) for number, slo in enumerate(of.slos)]
        self.rig = MeasuredRig(of.rig, "rig", self)
        self.faults = of.faults
        self.recoveries = of.recoveries
        self.findings = of.findings
        self.evidence = of.evidence
        self.target_processes = [
            MeasuredProcess(process, f"target_processes[{number}]", self)
            for number, process in enumerate(of.target_processes)
        ]

    @property
    def passed(self) -> bool:
        """Whether all SLOs of the scenario hold and no finding fails the target."""
        return self.verdict == "pass"

    def text(self, width: int = 100) -> str:
        """The verdict as `chatswarm run` prints it: reasons, SLOs, latencies, and the worst examples of findings."""
        from chatswarm.loadtests.report.terminal import print_verdict

        return text_of(lambda console: print_verdict(console, self.raw), width)

    @property
    def line(self) -> str:
        """It, in a line of pytest's summary."""
        return one_line(f"{self.verdict}: {self.scenario} against {self.target}, {self.folder}")

    def __repr__(self) -> str:
        return one_line(f"<{self.scenario} against {self.target}: {self.verdict}, {self.folder}>")


def text_of(show: Callable[[Console], None], width: int) -> str:
    """What this prints on a console without colours, without the blanks at the ends of lines."""
    from io import StringIO

    from rich.console import Console

    output = StringIO()
    show(Console(file=output, width=width, no_color=True, force_terminal=False))
    return "\n".join(line.rstrip() for line in output.getvalue().strip("\n").splitlines())


def read(folder: Path) -> MeasuredVerdict:
    """The verdict in a run's folder. Raises OSError and msgspec.MsgspecError."""
    return MeasuredVerdict(msgspec.json.decode((folder / "verdict.json").read_bytes(), type=raw.Verdict), folder)


class NoVerdictError(Exception):
    """There is no verdict to decide a test by."""

    verdict: MeasuredVerdict | None = None


class UndecidedError(NoVerdictError):
    """The run is undecided, or a figure was not measured. `verdict` is what there is of it."""

    def __init__(self, text: str, verdict: MeasuredVerdict | None = None) -> None:
        super().__init__(text)
        self.verdict = verdict


class NotRunError(NoVerdictError):
    """Nothing was sent: a wrong scenario, wrong arguments, or an unreachable target. The text says which."""


class SwarmError(NoVerdictError):
    """chatswarm itself failed, or was killed."""
