"""A row of docs/benchmarks.md: a figure of chatswarm, or its ratio to an opponent's that does the same work."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

from chatswarm.loadtests.compare.paired import paired_ratio

SAME_WORK = 0.02
"""How much two sides may differ in what they did, as a share; with more, they cannot be compared."""


class NotMeasuredError(Exception):
    """Why a row has no figure, such as an opponent that cannot be installed here."""


@dataclass(frozen=True)
class Sample:
    """The result of one run of one side."""

    figure: float
    work: float = 0.0
    """What was done, such as the number of deliveries. It has to agree between the sides."""
    problems: Sequence[str] = ()
    """What went wrong, such as an unsound rig; the row is not reached with any."""
    details: Mapping[str, float] = field(default_factory=dict)
    """Further figures, for the JSON."""


@dataclass(frozen=True)
class Sides:
    """What a row runs, and the versions that take part."""

    ours: Callable[[], Sample]
    theirs: Callable[[], Sample] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """What is measured and what it has to reach."""

    name: str
    title: str
    unit: str
    """Of both sides' figures."""
    reach: float
    sides: Callable[[], AbstractContextManager[Sides]]
    """Sets up what the runs share, such as a server. Raises NotMeasuredError."""
    opponent: str = ""
    """Empty: our own figure has to reach it, not a ratio."""
    at_least: bool = False
    runs: int = 3
    """Of each side."""


@dataclass(frozen=True)
class RowResult:
    """A row that was measured, or could not be."""

    name: str
    title: str
    unit: str
    opponent: str
    reach: float
    at_least: bool
    measured: float | None
    low: float | None
    high: float | None
    """The 95 % interval of a ratio; of a figure without an opponent, its lowest and highest run."""
    problems: Sequence[str]
    ours: Sequence[Mapping[str, Any]] = ()
    theirs: Sequence[Mapping[str, Any]] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""
    measured_at: str = ""

    @property
    def reached(self) -> bool | None:
        """None if it was not measured."""
        if self.measured is None:
            return None
        within = self.measured >= self.reach if self.at_least else self.measured <= self.reach
        return within and not self.problems


def measure(row: Row) -> RowResult:
    """Runs both sides in turn (A B, B A, A B, …), so that what drifts slowly affects both alike."""
    ours: list[Sample] = []
    theirs: list[Sample] = []
    try:
        with row.sides() as sides:
            for number in range(row.runs):
                turns = [(ours, sides.ours)]
                if sides.theirs is not None:
                    turns.insert(number % 2, (theirs, sides.theirs))
                for samples, run in turns:
                    samples.append(run())
            versions = sides.versions
        return result_of(row, ours, theirs, versions)
    except NotMeasuredError as error:
        return _result(row, None, (None, None), [str(error)], ours, theirs, {})


def result_of(row: Row, ours: Sequence[Sample], theirs: Sequence[Sample], versions: Mapping[str, str]) -> RowResult:
    """The row's result from its samples."""
    problems = list(dict.fromkeys(problem for sample in [*ours, *theirs] for problem in sample.problems))
    figures = [sample.figure for sample in ours]
    if not theirs:
        return _result(row, median(figures), (min(figures), max(figures)), problems, ours, theirs, versions)
    for our, their in zip(ours, theirs, strict=True):
        if abs(our.work - their.work) > SAME_WORK * max(our.work, their.work):
            raise NotMeasuredError(
                f"expected both sides to do the same within {SAME_WORK:.0%}, got {our.work:,.0f} by chatswarm and "
                f"{their.work:,.0f} by {row.opponent}"
            )
    ratio = paired_ratio(figures, [sample.figure for sample in theirs])
    return _result(row, ratio.estimate, (ratio.low, ratio.high), problems, ours, theirs, versions)


def _result(
    row: Row, measured: float | None, interval: tuple[float | None, float | None], problems: Sequence[str],
    ours: Sequence[Sample], theirs: Sequence[Sample], versions: Mapping[str, str],
) -> RowResult:  # fmt: skip
    return RowResult(
        row.name, row.title, row.unit, row.opponent, row.reach, row.at_least, measured, *interval, problems,
        [asdict(sample) for sample in ours], [asdict(sample) for sample in theirs],
        {"Python": platform.python_version(), **versions}, machine_name(),
        datetime.now(UTC).isoformat(timespec="minutes"),
    )  # fmt: skip


def machine_name() -> str:
    """This machine, for people."""
    return f"{os.cpu_count()} CPUs, {platform.system()} {platform.release()}, {platform.machine()}"
