"""Whether bad cases are concentrated in one place more than chance would have it."""

import math

import numpy as np
import numpy.typing as npt

from chatswarm.loadtests.judge.ledger.arrays import Floats, Ints

CHANCE = 1e-6
"""A concentration counts if chance alone would make one this strong less often than this, over all values looked at."""
LIFT = 10.0
"""And if cases are at least this much more frequent there than elsewhere."""
COVERAGE = 0.9
"""And if at least this share of them is there."""


def log_choose(n: float, k: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float64]:
    """The logarithm of the binomial coefficient, which itself may have hundreds of digits."""
    log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])
    return np.asarray(log_gamma(n + 1) - log_gamma(np.asarray(k) + 1) - log_gamma(n - np.asarray(k) + 1))


def chance(bad_here: int, all_here: int, bad: int, everything: int) -> float:
    """Fisher's exact test, one-sided: the probability that at least `bad_here` of `bad` cases, drawn at random from
    `everything`, are among the `all_here` ones of one place.
    """
    most = min(bad, all_here)
    least = max(bad_here, bad - (everything - all_here))
    if bad_here <= 0 or least > most:
        return 1.0
    # The terms fall off fast: more than a thousand add nothing.
    k = np.arange(least, min(most, least + 1000) + 1, dtype=np.float64)
    logs = log_choose(all_here, k) + log_choose(everything - all_here, bad - k) - log_choose(everything, bad)
    return float(min(1.0, np.exp(logs).sum()))


def lift(bad_here: int, all_here: int, bad: int, everything: int) -> float:
    """How much more frequent bad cases are here than elsewhere; infinite if there are none elsewhere."""
    elsewhere, others = bad - bad_here, everything - all_here
    if not all_here or not bad_here:
        return 0.0
    if not elsewhere:
        return math.inf if others else 1.0
    return bad_here / all_here / (elsewhere / others)


def slope(x: Floats, y: Floats) -> float:
    """Theil and Sen's: the median of the slopes between any two points. NaN with fewer than two.

    From one infinite `y` to another there is no slope.
    """
    first, second = np.triu_indices(len(x), 1)
    kept = (x[second] != x[first]) & ~(np.isinf(y[first]) & np.isinf(y[second]))
    first, second = first[kept], second[kept]
    return float(np.median((y[second] - y[first]) / (x[second] - x[first]))) if len(first) else math.nan


def ranks(values: Floats) -> Floats:
    """The rank of each, from 0; equal ones share the mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts + 1) / 2)[inverse])


def correlation(x: Floats | Ints, y: Floats | Ints) -> float:
    """Spearman's: between the ranks. 0 if one of them is constant."""
    a, b = ranks(np.asarray(x, np.float64)), ranks(np.asarray(y, np.float64))
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size else 0.0
