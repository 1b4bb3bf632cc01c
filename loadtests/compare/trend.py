"""Where a metric changed for good, over many runs of the same scenario on the same machine: change points.

E-divisive splits of the logarithms (Matteson & James 2014) are tested by Student's t in place of permutations; then the
weakest points are merged away until all that remain are certain, and large enough to matter (Fleming et al. 2023). Runs
that follow each other are alike, so they count as fewer runs than they are.

Unlike there, a point has to part most runs of both sides: of 40 runs of which the last took twice as long, a t-test
alone calls that a change in 22 %, and this one in 3 %. And the noise is that of the whole series, apart from its
changes, so that one that was undone hides no other.
Measured at 5 % noise over 3,000 series: +50 % for 6 of 30 runs is found in 97 % (with the noise of neighbouring spans:
16 %), and +20 % three runs ago, with such an episode before it, in 85 % (25 %). +20 % after 20 runs is found three runs
later in 92 %, after 15 in 84 %, after 10 in 71 %. Forty runs without a change have a point in 1 %, and in 6 % if each
resembles the one before it by 0.3.
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
_HALF = 0.6745
"""How many standard deviations half of all normal values are within."""
_BEYOND = 10.0
"""How many times the largest finite figure an infinite one counts; 0 counts as the smallest one by this."""

_BEYOND_OTHERS = 0.25
"""How much of a change a run has to be beyond the other side's median, to be one of those that changed."""

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
    parts, points = _Parts(logs, _cuts(logs)), []
    for (low, cut, high), step in zip(parts.spans, parts.steps(), strict=True):
        new = all(abs(cut - old) >= LEAST_SEGMENT for old in before)
        points.append(ChangePoint(places[cut], _ratio(decided[low:cut], decided[cut:high], step), step.p_value, new))
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
class _Parts:
    """A series cut into parts: the runs of a part vary by the same noise everywhere, and resemble their neighbours."""

    logs: _Logs
    cuts: Sequence[int]

    @property
    def spans(self) -> list[tuple[int, int, int]]:
        """Each cut, between the one before it and the one after it."""
        edges = [0, *self.cuts, len(self.logs)]
        return list(zip(edges, self.cuts, edges[2:], strict=False))

    def parted(self) -> list[bool]:
        """Of each cut, whether it parts most runs, and not a few slow ones that a side's mean, or a t-test, is led by.

        On both sides most runs, and no fewer than LEAST_SEGMENT, have to be beyond the other side's median.
        """
        found = []
        for low, cut, high in self.spans:
            left, right = self.logs[low:cut], self.logs[cut:high]
            centre = float(right.mean() - left.mean())
            sign, edge = math.copysign(1.0, centre), abs(centre) * _BEYOND_OTHERS
            there = int((sign * (right - np.median(left)) > edge).sum())
            here = int((sign * (np.median(right) - left) > edge).sum())
            found.append(min(there, here) >= LEAST_SEGMENT and 2 * there > len(right) and 2 * here > len(left))
        return found

    def steps(self) -> list["_Step"]:
        """The change at each cut."""
        edges = pairwise([0, *self.cuts, len(self.logs)])
        rest = np.concatenate([self.logs[low:high] - self.logs[low:high].mean() for low, high in edges])
        squares, count = float((rest**2).sum()), len(rest)
        alike = float((rest[1:] * rest[:-1]).sum()) / squares if squares else 0.0
        # Each further cut takes some of the resemblance away, as if it was a change. How much to add was measured: with
        # 0.5 / n less, a step of 20 % after 20 runs is found in 93 %, and false points under a resemblance rise to 8 %.
        alike = min(0.9, max(0.0, alike + (2 * len(self.cuts) - 1.5) / count))
        free = count - len(self.cuts) - 1
        noise, degrees = math.sqrt(squares / free), int(free - count + count * (1 - alike) / (1 + alike))
        return [
            _Step(
                float(self.logs[cut:high].mean() - self.logs[low:cut].mean()),
                noise * math.sqrt(_inverse_runs(cut - low, alike) + _inverse_runs(high - cut, alike)),
                max(1, degrees),
            )
            for low, cut, high in self.spans
        ]


@dataclass(frozen=True)
class _Step:
    """The difference of two parts, and how exactly it is known."""

    centre: float
    error: float
    degrees: int

    @property
    def p_value(self) -> float:
        if self.error == 0:
            return float(self.centre == 0)
        return 2 * (1 - t_cdf(self.degrees, abs(self.centre) / self.error))


def _inverse_runs(runs: int, alike: float) -> float:
    """1 ÷ the number of independent runs whose mean is as exact as that of runs that resemble their neighbours."""
    apart = np.arange(1, runs)
    return (1 + 2 * float(((1 - apart / runs) * alike**apart).sum())) / runs


def _cuts(logs: _Logs) -> list[int]:
    """The first run after each change."""
    # Of neighbours' differences, so that changes are no noise: a change that is undone would hide otherwise.
    noise = float(np.median(np.abs(np.diff(logs)))) / (_HALF * math.sqrt(2))
    cuts = _splits(logs, 0, len(logs), noise)
    while cuts:
        steps = _Parts(logs, cuts).steps()
        weakest = max(range(len(cuts)), key=lambda place: steps[place].p_value)
        if steps[weakest].p_value <= CERTAIN:
            weakest = min(range(len(cuts)), key=lambda place: abs(steps[place].centre))
            if abs(steps[weakest].centre) >= math.log1p(LEAST_CHANGE):
                lone = [place for place, parted in enumerate(_Parts(logs, cuts).parted()) if not parted]
                if not lone:
                    break
                weakest = max(lone, key=lambda place: steps[place].p_value)
        del cuts[weakest]
    return cuts


def _splits(logs: _Logs, begin: int, end: int, noise: float) -> list[int]:
    count = end - begin
    if count < 2 * LEAST_SEGMENT:
        return []
    cut = begin + _most_different(logs[begin:end])
    left, right = logs[begin:cut], logs[cut:end]
    squares = float(((left - left.mean()) ** 2).sum() + ((right - right.mean()) ** 2).sum())
    error = min(noise, math.sqrt(squares / (count - 2))) * math.sqrt(1 / len(left) + 1 / len(right))
    if _Step(float(right.mean() - left.mean()), error, len(logs) - 2).p_value > _FIRST:
        return []
    return [*_splits(logs, begin, cut, noise), cut, *_splits(logs, cut, end, noise)]


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


def _ratio(before: Sequence[float], after: Sequence[float], step: _Step) -> Ratio:
    margin = t_quantile(step.degrees, 0.975) * step.error
    estimate, low, high = (math.exp(step.centre + side) for side in (0, -margin, margin))
    # Figures that have no logarithm were replaced by nearer ones, so only the bound on their other side stands.
    rises, falls = math.inf in after or 0.0 in before, math.inf in before or 0.0 in after
    if rises or falls:
        estimate = ratio_of(median(after), median(before))
    return Ratio(estimate, 0.0 if falls else low, math.inf if rises else high, len(before) + len(after))
