"""Where a metric changed for good, over many runs of the same scenario on the same machine: change points.

As Hunter does it: E-divisive splits of the logarithms (Matteson & James 2014), each tested by Student's t in place of
permutations; then the weakest points are merged away until all that remain are certain, and large enough to matter.
Runs that follow each other are alike, so they count as fewer runs than they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np
import numpy.typing as npt

from .paired import Ratio, ratio_of, t_cdf, t_quantile

FEWEST_RUNS = 10
"""Without so many decided runs there is no trend."""
LEAST_SEGMENT = 3
"""Runs on each side of a point: one or two slow runs are no change."""
CERTAIN = 0.001
"""The p-value of a point at most."""
LEAST_CHANGE = 0.05
"""A smaller change is no point, however certain."""
_FIRST = 10 * CERTAIN
"""The p-value up to which a split is made at first: a weak one may hide a strong one within its parts."""
_ALIKE_BY_CHANCE = 0.1
"""Divided by √n, what is taken off the correlation of neighbours: without any, it is above 0 in half of the series.

Measured: a step of 20 % after 20 runs is found three runs later in 92 %, and with nothing taken off in 90 %."""
_BEYOND = 10.0
"""How many times the largest finite figure an infinite one counts; 0 counts as the smallest one by this."""

_Logs = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ChangePoint:
    """Two spans of runs whose figures differ."""

    index: int
    """The first run after the change, as an index into the figures given."""
    ratio: Ratio
    """After ÷ before, each up to the next point, with the 95 % interval; `pairs` are the runs of both spans."""
    p_value: float
    new: bool
    """Whether it could not be seen from the runs known before."""


@dataclass(frozen=True)
class Trend:
    """The change points of one metric, in time order."""

    runs: int
    """That were decided."""
    points: tuple[ChangePoint, ...] | None
    """None: too few runs to tell."""

    def new_and_worse(self, more_is_better: bool = False) -> tuple[ChangePoint, ...]:
        """What a build should fail for."""
        return tuple(each for each in self.points or () if each.new and (each.ratio.estimate > 1) != more_is_better)


def trend(figures: Sequence[float | None], known: int | None = None) -> Trend:
    """The change points of figures ≥ 0 in time order; None is an undecided run, which does not count.

    `known`: how many of the first figures an earlier call has seen; all but the last, unless given. Raises ValueError
    for figures below 0.
    """
    known = len(figures) - 1 if known is None else known
    places = [place for place, figure in enumerate(figures) if figure is not None]
    decided = [figure for figure in figures if figure is not None]
    if len(decided) < FEWEST_RUNS:
        return Trend(len(decided), None)
    logs, earlier = _logs(decided), sum(place < known for place in places)
    before = _cuts(_logs(decided[:earlier])) if earlier >= FEWEST_RUNS else []
    cuts, points = _cuts(logs), []
    alike = _correlation(logs, cuts)
    for low, cut, high in _spans(cuts, len(logs)):
        left, right = logs[low:cut], logs[cut:high]
        ratio = _ratio(decided[low:cut], decided[cut:high], left, right, alike)
        new = all(abs(cut - old) >= LEAST_SEGMENT for old in before)
        points.append(ChangePoint(places[cut], ratio, _Step(left, right, alike).p_value, new))
    return Trend(len(decided), tuple(points))


def _logs(figures: Sequence[float]) -> _Logs:
    if any(not figure >= 0 for figure in figures):
        raise ValueError(f"expected figures of at least 0, got {min(figures):g}")
    finite = [figure for figure in figures if 0 < figure < math.inf]
    smallest, largest = (math.log(min(finite)), math.log(max(finite))) if finite else (0.0, 0.0)
    beyond = math.log(_BEYOND)
    values = [
        smallest - beyond if figure == 0 else largest + beyond if figure == math.inf else math.log(figure)
        for figure in figures
    ]
    return np.array(values)


@dataclass(frozen=True)
class _Step:
    """Student's t of two spans whose runs resemble their neighbours: each counts as fewer runs."""

    left: _Logs
    right: _Logs
    alike: float

    @property
    def centre(self) -> float:
        return float(self.right.mean() - self.left.mean())

    @property
    def degrees(self) -> int:
        return max(1, int(sum(self._counts()) - 2))

    @property
    def error(self) -> float:
        """Of the centre."""
        squares = float(((self.left - self.left.mean()) ** 2).sum() + ((self.right - self.right.mean()) ** 2).sum())
        one, other = self._counts()
        return math.sqrt(squares / (len(self.left) + len(self.right) - 2) * (1 / one + 1 / other))

    @property
    def p_value(self) -> float:
        if self.error == 0:
            return float(self.centre == 0)
        return 2 * (1 - t_cdf(self.degrees, abs(self.centre) / self.error))

    def _counts(self) -> tuple[float, float]:
        share = (1 - self.alike) / (1 + self.alike)
        return max(1.0, len(self.left) * share), max(1.0, len(self.right) * share)


def _cuts(logs: _Logs) -> list[int]:
    """The first run after each change."""
    cuts = _splits(logs, 0, len(logs))
    while cuts:
        alike = _correlation(logs, cuts)
        steps = [_Step(logs[low:cut], logs[cut:high], alike) for low, cut, high in _spans(cuts, len(logs))]
        weakest = max(range(len(cuts)), key=lambda place: steps[place].p_value)
        if steps[weakest].p_value <= CERTAIN:
            weakest = min(range(len(cuts)), key=lambda place: abs(steps[place].centre))
            if abs(steps[weakest].centre) >= math.log1p(LEAST_CHANGE):
                break
        del cuts[weakest]
    return cuts


def _spans(cuts: Sequence[int], runs: int) -> list[tuple[int, int, int]]:
    """Each cut, between the one before it and the one after it."""
    edges = [0, *cuts, runs]
    return list(zip(edges, cuts, edges[2:], strict=False))


def _splits(logs: _Logs, begin: int, end: int) -> list[int]:
    if end - begin < 2 * LEAST_SEGMENT:
        return []
    cut = begin + _most_different(logs[begin:end])
    alike = _correlation(logs[begin:end], [cut - begin])
    if _Step(logs[begin:cut], logs[cut:end], alike).p_value > _FIRST:
        return []
    return [*_splits(logs, begin, cut), cut, *_splits(logs, cut, end)]


def _most_different(logs: _Logs) -> int:
    """The split whose two parts have the largest energy distance, scaled by their sizes."""
    count = len(logs)
    left = np.arange(LEAST_SEGMENT, count - LEAST_SEGMENT + 1)
    right = count - left
    sums = np.zeros((count + 1, count + 1))
    sums[1:, 1:] = np.abs(logs[:, None] - logs[None, :]).cumsum(0).cumsum(1)
    within_left = sums[left, left]
    between = sums[left, count] - within_left
    within_right = sums[count, count] - within_left - 2 * between
    energy = 2 * between / (left * right) - within_left / (left * (left - 1)) - within_right / (right * (right - 1))
    return int(left[(energy * left * right / count).argmax()])


def _correlation(logs: _Logs, cuts: Sequence[int]) -> float:
    """How much a run resembles the one before it, from 0, apart from the changes."""
    parts = [logs[low:high] - logs[low:high].mean() for low, high in pairwise([0, *cuts, len(logs)])]
    rest = np.concatenate(parts)
    squares = float((rest**2).sum())
    found = float((rest[1:] * rest[:-1]).sum()) / squares if squares else 0.0
    return max(0.0, found - _ALIKE_BY_CHANCE / math.sqrt(len(logs)))


def _ratio(
    before: Sequence[float], after: Sequence[float], left: _Logs, right: _Logs, alike: float
) -> Ratio:  # fmt: skip
    step, runs = _Step(left, right, alike), len(before) + len(after)
    margin = t_quantile(step.degrees, 0.975) * step.error
    estimate, low, high = (math.exp(step.centre + side) for side in (0, -margin, margin))
    # Figures that have no logarithm were replaced by nearer ones, so only the bound on their other side stands.
    rises, falls = math.inf in after or 0.0 in before, math.inf in before or 0.0 in after
    if rises or falls:
        estimate = ratio_of(median(after), median(before))
    return Ratio(estimate, 0.0 if falls else low, math.inf if rises else high, runs)
