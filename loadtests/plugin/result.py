"""A verdict to assert on. It has the names of `verdict.json`, and no figure of it is None.

A quantile that falls among the lost is infinite, so that `p99 < 2.0` fails and says why. What was not measured raises
UndecidedError when it is asked for: no comparison with it could be a pass, nor a failure. Seconds are floats.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, Self, TypeVar, overload

import msgspec

from chatswarm.loadtests.judge import verdict as raw
from chatswarm.loadtests.scenario.metric_names import LATENCIES, QUANTILES, Outcome
from chatswarm.loadtests.system.text import one_line
from chatswarm.loadtests.system.units import human

T = TypeVar("T", int, float)


class AmongTheLost(float):
    """Infinite, and says so: more was lost than the quantile leaves out."""

    def __repr__(self) -> str:
        return "inf (it falls among the lost)"

    __str__ = __repr__


class _Figure(Generic[T]):
    """A figure of a struct that may be None there."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, part: None, owner: type) -> Self: ...
    @overload
    def __get__(self, part: _Part, owner: type) -> T: ...
    def __get__(self, part: _Part | None, owner: type) -> Any:
        return self if part is None else part.figure(self._name)


class _Part:
    """One part of a verdict; `place` is its name in `verdict.json`."""

    def __init__(self, struct: msgspec.Struct, place: str, verdict: MeasuredVerdict) -> None:
        self._struct, self._place, self._verdict = struct, place, verdict

    def figure(self, name: str) -> object:
        value = getattr(self._struct, name)
        if value is None:
            why = "".join(f"\nbecause {one_line(reason)}" for reason in self._verdict.reasons)
            raise UndecidedError(f"{self._place}.{name} was not measured in this run{why}", self._verdict)
        return value

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - what is declared below and never None comes from the struct
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._struct, name)

    def __repr__(self) -> str:
        figures = ", ".join(
            f"{name}={'not measured' if value is None else value}"
            for name, value in msgspec.structs.asdict(self._struct).items()
        )
        return f"{self._place}({figures})"


class MeasuredQuantiles(_Part):
    """Exact quantiles in seconds over what was expected."""

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
            return f"{self._place}(not measured)"
        shown = (
            f"{name}={'lost' if value is None else human(value)}"
            for name, value in msgspec.structs.asdict(self._struct).items()
            if name in QUANTILES
        )
        return f"{self._place}({', '.join(shown)}, count={self.count})"


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


class MeasuredFrames(_Part):
    """Frames that announce a message: due = matched + missed; received = matched + extra."""

    due: int
    received: int
    matched = _Figure[int]()
    missed = _Figure[int]()
    extra = _Figure[int]()


class MeasuredCounts(_Part):
    """How often each finding was made."""

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


class MeasuredRig(_Part):
    """The load-generating side. `cpu`: cores' worth of its busiest process, at its busiest second."""

    lag_p99 = _Figure[float]()
    cpu = _Figure[float]()
    late_sends: int
    clock_bound: float
    sound: bool
    reasons: list[str]


class MeasuredSlo(_Part):
    """One SLO of the scenario."""

    expect: str
    actual = _Figure[float]()
    outcome: Outcome

    def figure(self, name: str) -> object:
        # As everywhere in verdict.json: a failed SLO without a value compares with what was lost.
        if getattr(self._struct, name) is None and self.outcome == "fail":
            return AmongTheLost("inf")
        return super().figure(name)


class MeasuredLatency:
    """All latencies. All but `refetch`, `connect` and `recovery` count from when the message was intended."""

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
    """What a run came to. `verdict` is "pass" or "fail"; `raw` is all of it as `verdict.json` has it."""

    def __init__(self, of: raw.Verdict, folder: Path) -> None:
        """`folder`: where the run is, with its history."""
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
        self.reasons = of.reasons
        self.notes = of.notes
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

    @property
    def passed(self) -> bool:
        """All SLOs of the scenario hold, and nothing was found that speaks against the target."""
        return self.verdict == "pass"

    def text(self, width: int = 100) -> str:
        """What `chatswarm run` prints of it: reasons, SLOs, latencies, and the worst examples of each finding."""
        from io import StringIO

        from rich.console import Console

        from chatswarm.loadtests.report.terminal import print_verdict

        page = StringIO()
        print_verdict(Console(file=page, width=width, no_color=True, force_terminal=False), self.raw)
        return "\n".join(line.rstrip() for line in page.getvalue().strip("\n").splitlines())

    def __repr__(self) -> str:
        return one_line(f"<{self.scenario} against {self.target}: {self.verdict}, {self.folder}>")


def read(folder: Path) -> MeasuredVerdict:
    """The verdict in a run's folder. Raises OSError and msgspec.MsgspecError."""
    return MeasuredVerdict(msgspec.json.decode((folder / "verdict.json").read_bytes(), type=raw.Verdict), folder)


class NoVerdictError(Exception):
    """There is no verdict that a test could be decided by."""

    verdict: MeasuredVerdict | None = None


class UndecidedError(NoVerdictError):
    """The run is undecided, or what was asked for was not measured. `verdict` holds what there is."""

    def __init__(self, text: str, verdict: MeasuredVerdict | None = None) -> None:
        super().__init__(text)
        self.verdict = verdict


class NotRunError(NoVerdictError):
    """Nothing was sent: a wrong scenario, wrong arguments, or a target that does not answer. The text says which."""


class SwarmError(NoVerdictError):
    """chatswarm itself failed, or was ended from outside."""
