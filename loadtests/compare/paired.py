"""The ratio of two figures that were measured in pairs of runs, with its confidence interval.

Runs are the observations, not deliveries: deliveries of one run depend on each other, so an interval over them is far
too narrow. Pairs cancel what drifts slowly, such as other work on the machine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import mean, median, stdev


@dataclass(frozen=True)
class Ratio:
    """How many times the base a figure is: `low` to `high` has the true ratio with the confidence that was asked for.

    Lost messages make latencies infinite, so all three may be infinite.
    """

    estimate: float
    low: float
    high: float
    pairs: int


def paired_ratio(new: Sequence[float], base: Sequence[float], confidence: float = 0.95) -> Ratio:
    """The ratio new ÷ base of figures ≥ 0 that were measured in pairs: a paired t-test on their logarithms.

    If one of a pair is infinite or 0, there is no logarithm. Then the estimate is the median of the pairs' ratios, and
    the interval is between two of these ratios, or unbounded if they are too few. Two that are both infinite or both 0
    are a tie. Raises ValueError for fewer than two pairs.
    """
    if len(new) != len(base) or len(new) < 2:
        raise ValueError(f"expected at least two pairs, got {len(new)} new and {len(base)} base figures")
    ratios = [ratio_of(*pair) for pair in zip(new, base, strict=True)]
    pairs = len(ratios)
    if any(ratio in (0.0, math.inf) for ratio in ratios):
        low, high = between_values(ratios, confidence)
        return Ratio(median(ratios), low, high, pairs)
    logs = [math.log(ratio) for ratio in ratios]
    centre = mean(logs)
    margin = t_quantile(pairs - 1, 0.5 + confidence / 2) * stdev(logs) / math.sqrt(pairs)
    return Ratio(math.exp(centre), math.exp(centre - margin), math.exp(centre + margin), pairs)


def ratio_of(new: float, base: float) -> float:
    """How many times the base a figure is: 1 if both are 0 or both infinite.

    Raises ValueError for figures below 0.
    """
    if not (new >= 0 and base >= 0):
        raise ValueError(f"expected figures of at least 0, got {new:g} and {base:g}")
    if new == base:
        return 1.0
    return math.inf if base == 0 or new == math.inf else new / base


def between_values(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Two of the values that have the true median between them: the k-th from below and from above.

    0 and infinity if the values are too few for this confidence.
    """
    ordered, n = sorted(values), len(values)
    outside, k = 0.0, 0  # the chance that fewer than k + 1 values are on one side of the median
    while k < n / 2 and 2 * (outside + math.comb(n, k) / 2**n) <= 1 - confidence:
        outside += math.comb(n, k) / 2**n
        k += 1
    return (ordered[k - 1], ordered[n - k]) if k else (0.0, math.inf)


@cache
def t_quantile(degrees: int, probability: float) -> float:
    """Student's t: the value below which t lies with this probability: from 0.5 to below 1, or else ValueError."""
    if not 0.5 <= probability < 1:
        raise ValueError(f"expected a probability from 0.5 to below 1, got {probability:g}")
    low, high = 0.0, 2.0
    while t_cdf(degrees, high) < probability:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(degrees, middle) < probability else (low, middle)
    return high


def t_cdf(degrees: int, t: float) -> float:
    """The chance that Student's t is at most `t`: a finite sum for whole degrees (Abramowitz & Stegun 26.7.3-4)."""
    theta = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(theta), math.sin(theta)
    total, term = 0.0, cosine if degrees % 2 else 1.0
    for step in range(3 if degrees % 2 else 2, degrees + 1, 2):
        total += term
        term *= cosine * cosine * (step - 1) / step
    if degrees % 2:
        return 0.5 + (theta + sine * total) / math.pi
    return 0.5 + sine * total / 2
