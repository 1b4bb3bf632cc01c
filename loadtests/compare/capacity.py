"""The search for the highest load that a target holds: which probe comes next, from the outcomes of those made.

Rise by doubling, bisect, confirm. A failure counts only if the same load fails again: where one probe in twenty fails
for no reason, the worst answers were at 3–6 % of the truth otherwise. What comes next follows from the list of probes
alone, so a search that was interrupted goes on from its list.
"""

import math
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal

from .gave_out import GaveOut

SHORT = 15.0
"""Seconds of a probe that rises or bisects."""
LONG = 30.0
"""Seconds of a probe that confirms: an overload of x adds x seconds of delay in each, so it shows sooner or later."""
PAUSE = 2.0
"""Seconds between two probes, at most."""
CONFIRMATIONS = 3
"""How many long probes have to hold; one more may fail."""
LEVELS_CONFIRMED = 3
"""How many levels are tried to be confirmed, each one step below the one before it."""

SearchKind = Literal[
    "found",  # a level was confirmed, and one above it failed
    "ceiling",  # the highest level that was asked for was confirmed
    "nothing held",  # the lowest level failed
    "unconfirmed",  # levels held for a short time, but none for long
    "out of time",  # too many probes had to be repeated for the time that was told
]
AtLeast = Literal["shown", "refuted", "cannot tell"]


@dataclass(frozen=True)
class CapacitySearch:
    """What is asked. Raises ValueError for what cannot be searched."""

    start: float
    """The lowest load, and the first one that is probed."""
    to: float
    """The highest."""
    precision: float = 0.1
    """Of the limit, as a share: the search ends when the load that failed is so little above the one that held."""
    whole: bool = False
    """Loads are whole numbers, such as dashboards."""

    def __post_init__(self) -> None:
        if not 0 < self.start <= self.to < math.inf:
            raise ValueError(f"expected a load to start from, above 0 and up to {self.to:g}, got {self.start:g}")
        if not 0 < self.precision < 1:
            raise ValueError(f"expected a precision between 0 and 100%, got {self.precision:.0%}")
        if self.whole and not (float(self.start).is_integer() and float(self.to).is_integer()):
            raise ValueError(f"expected whole loads, got {self.start:g} to {self.to:g}")

    @property
    def bisections(self) -> int:
        """How many are needed at most between a load and its double."""
        return max(0, math.ceil(math.log2(math.log(2) / math.log1p(self.precision))))

    @property
    def short_probes(self) -> int:
        """How many are planned for: each level of the rise, its one failure again, and each bisection twice."""
        return len(self.rise) + 1 + 2 * self.bisections

    @property
    def long_probes(self) -> int:
        """How many are planned for, at most."""
        return LEVELS_CONFIRMED * (CONFIRMATIONS + 1)

    @property
    def rise(self) -> list[float]:
        """The levels of the rise."""
        levels = [float(self.start)]
        while levels[-1] < self.to:
            levels.append(min(2 * levels[-1], float(self.to)))
        return levels

    def longest(self, ramp: float, drain: float) -> float:
        """The seconds that the search takes at most, with these times before and after each probe. It is kept."""
        around = ramp + drain + PAUSE
        return self.short_probes * (SHORT + around) + self.long_probes * (LONG + around)


@dataclass(frozen=True)
class LoadProbe:
    """A run at one load."""

    level: float
    seconds: float


@dataclass(frozen=True)
class ProbeOutcome:
    """A probe that was made, and whether it held. None: undecided, so it is made again."""

    probe: LoadProbe
    held: bool | None


@dataclass(frozen=True)
class SearchEnd:
    """How a search ended."""

    kind: SearchKind
    limit: float | None
    """The level that was confirmed; None if none was."""
    failed: float | None
    """The lowest level above it that failed; None if none did."""


_Steps = Generator[LoadProbe, bool, SearchEnd]
_Answer = Generator[LoadProbe, bool, bool]


def next_step(search: CapacitySearch, made: Sequence[ProbeOutcome]) -> LoadProbe | SearchEnd:
    """The probe to make next, after those that were made, in their order; or how the search ended.

    It ends before it would take longer than told. Raises ValueError if the probes are those of another search.
    """
    steps = _steps(search)
    step: LoadProbe | SearchEnd = next(steps)
    for outcome in made:
        if step != outcome.probe:
            raise ValueError(f"expected {step}, got {outcome.probe}: these probes are of another search")
        if outcome.held is not None:
            step = _after(steps, outcome.held)
    if isinstance(step, LoadProbe) and not _has_time(search, made, step):
        return SearchEnd("out of time", None, _lowest_failed(made))
    return step


def _after(steps: _Steps, held: bool) -> LoadProbe | SearchEnd:
    try:
        return steps.send(held)
    except StopIteration as end:
        found: SearchEnd = end.value
        return found


def _has_time(search: CapacitySearch, made: Sequence[ProbeOutcome], step: LoadProbe) -> bool:
    """Whether this probe is planned for. A short one takes less time than a long one, so it may take its place."""
    long = sum(probe.seconds == LONG for probe in [*(outcome.probe for outcome in made), step])
    return len(made) < search.short_probes + search.long_probes and long <= search.long_probes


def _lowest_failed(made: Sequence[ProbeOutcome]) -> float | None:
    failures = Counter(outcome.probe.level for outcome in made if outcome.held is False)
    return min((level for level, times in failures.items() if times > 1), default=None)


def _steps(search: CapacitySearch) -> _Steps:
    held: float | None = None
    failed: float | None = None
    for level in search.rise:
        if not (yield from _holds(level)):
            failed = level
            break
        held = level
    if held is None:
        return SearchEnd("nothing held", None, failed)
    for _ in range(search.bisections):
        middle = held if failed is None else _rounded(search, math.sqrt(held * failed))
        if failed is None or failed <= held * (1 + search.precision) or not held < middle < failed:
            break
        if (yield from _holds(middle)):
            held = middle
        else:
            failed = middle
    level = held
    for _ in range(LEVELS_CONFIRMED):
        if (yield from _is_confirmed(level)):
            return SearchEnd("ceiling" if failed is None else "found", level, failed)
        failed, level = level, _one_step_below(search, level)
        if level < search.start:
            return SearchEnd("nothing held", None, failed)
    return SearchEnd("unconfirmed", None, failed)


def _holds(level: float) -> _Answer:
    for _ in range(2):
        if (yield LoadProbe(level, SHORT)):
            return True
    return False


def _is_confirmed(level: float) -> _Answer:
    held = failed = 0
    while held < CONFIRMATIONS and failed < 2:
        if (yield LoadProbe(level, LONG)):
            held += 1
        else:
            failed += 1
    return held == CONFIRMATIONS


def _one_step_below(search: CapacitySearch, level: float) -> float:
    below = level / (1 + search.precision)
    return float(math.floor(below)) if search.whole else _rounded(search, below)


def _rounded(search: CapacitySearch, level: float) -> float:
    """A load that can be read and written down."""
    return float(round(level)) if search.whole else float(f"{level:.4g}")


def at_least(wanted: float, interval: tuple[float, float], gave_out: GaveOut) -> AtLeast:
    """Whether the target holds this load, by the interval of its limit (`limits.limit_interval`).

    Refuted only if the target itself gave out: the limit of a rig, or of a busy machine, is none of the target.
    """
    low, high = interval
    if low >= wanted:
        return "shown"
    return "refuted" if high < wanted and gave_out == "target" else "cannot tell"
