"""What a curve of latency tells: whether a backlog grew within a probe, and from which load on latency rises."""

import math
from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np

from chatswarm.loadtests.judge.rules.statistics import slope

RISES = 1.25
"""How many times the plateau's latency every run above the knee has."""
_PLATEAU = 2
"""The levels, from the lowest, whose runs are the plateau."""
_FEWEST_SECONDS = 5


def backlog_growth(seconds: Sequence[float], medians: Sequence[float]) -> float | None:
    """How much latency is added in each second, in s/s: the Theil–Sen slope of each second's median latency.

    A target that gets x too much, as a share of what it can do, adds x seconds of delay in each second, long before any
    limit on latency is exceeded. NaN is a second without a message. None: fewer than five seconds were measured.
    """
    times, values = np.asarray(seconds, float), np.asarray(medians, float)
    measured = ~np.isnan(values)
    times, values = times[measured], values[measured]
    if len(times) < _FEWEST_SECONDS:
        return None
    growth = slope(times, values)
    # If there is no slope but between infinite medians, nothing ever came.
    return math.inf if math.isnan(growth) else growth


def backlog_grows(growth: float, precision: float) -> bool:
    """Whether a level does not hold: it is more than the precision of the search above what the target can do."""
    return growth > precision


def knee(p99s: Mapping[float, Sequence[float]]) -> float | None:
    """The lowest load from which every run's p99 is 25 % above the plateau: the median of the two lowest loads' runs.

    `p99s`: the runs' figures, in seconds, for each load. None: latency did not rise for good, or there are fewer than
    three loads.
    """
    levels = sorted(level for level, figures in p99s.items() if figures)
    if len(levels) <= _PLATEAU:
        return None
    plateau = median(figure for level in levels[:_PLATEAU] for figure in p99s[level])
    found = None
    for level in reversed(levels[_PLATEAU:]):
        if min(p99s[level]) < RISES * plateau:
            break
        found = level
    return found
