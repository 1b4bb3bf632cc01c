"""Is the new side better, the same or worse, or can these runs not tell? Decided from pairs of runs, metric by metric.

A claim needs an interval *and* a least effect: with enough runs everything differs a little. "The same" needs proof as
well: an interval within the margin. Everything else is "cannot tell", with the number of pairs that would.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from .blocks import LogDifference, log_difference
from .fisher import fisher_p_value
from .paired import Ratio, between_values, ratio_of

Difference = Literal["better", "same", "worse", "cannot tell"]
Doubt = Literal[
    "too few pairs",  # for any claim: fewer than FEWEST
    "runs did not take turns",  # a machine that became slower would look like a difference
    "unequal undecided runs",  # the side that has more of them may lack its slowest runs
    "too noisy",  # more pairs may tell
]

FEWEST = 3
"""Pairs, of which both runs were decided, without which nothing is claimed."""
MOST_PAIRS = 200
"""A comparison that needs more cannot be made."""
_POWER = 0.8416
"""The normal quantile of 80 %: so often the told number of pairs is enough, if centre and noise stay as they were."""


@dataclass(frozen=True)
class ComparisonRules:
    """What a claim needs. Raises ValueError if the margin is below the least effect: then some ratios are neither."""

    confidence: float = 0.9
    """Of an interval. Half of what it misses is on either side: "worse" is wrong for at most 5 % of equal targets."""
    margin: float = 0.2
    """"The same" means that the larger side is at most this much above the other."""
    least_effect: float = 0.05
    """A smaller difference is never "better" or "worse", however sure."""

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ValueError(f"expected a confidence between 0 and 1, got {self.confidence:g}")
        if not 0 <= self.least_effect <= self.margin:
            raise ValueError(
                f"expected a margin of at least {self.least_effect:.0%}, the least effect, got {self.margin:.0%}"
            )


FIXED = ComparisonRules()
"""For a number of pairs that was set before."""
UNTIL_DECIDED = ComparisonRules(confidence=0.97)
"""For looks at 4, 6, 8, 12 and 16 pairs (`schedule.LOOKS`), which call equal targets worse in 4.4 %, together."""


@dataclass(frozen=True)
class MetricPairs:
    """One metric's figures: the i-th of both sides are a pair, in the order in which the pairs ran.

    Figures are at least 0 and may be infinite. None: the run was undecided, so its pair does not count.
    """

    metric: str
    base: Sequence[float | None]
    new: Sequence[float | None]
    is_count: bool = False
    """What should never happen, such as `lost`: compared by the number of runs that have it."""
    more_is_better: bool = False

    def __post_init__(self) -> None:
        if len(self.base) != len(self.new):
            raise ValueError(f"expected pairs of {self.metric}, got {len(self.base)} base and {len(self.new)} new runs")

    @property
    def decided(self) -> list[tuple[float, float]]:
        """The pairs (base, new) of which both runs were decided."""
        both = zip(self.base, self.new, strict=True)
        return [(base, new) for base, new in both if base is not None and new is not None]

    @property
    def surplus(self) -> int:
        """How many more undecided runs the new side has than the base; below 0 if the base has more."""
        return sum(new is None for new in self.new) - sum(base is None for base in self.base)


@dataclass(frozen=True)
class MetricDifference:
    """What can be said about one metric."""

    metric: str
    outcome: Difference
    ratio: Ratio | None
    """new ÷ base with its interval. None: too few pairs, or a count that not every run has."""
    p_value: float | None
    """How likely such a difference is between sides that are the same, for all metrics together (Holm)."""
    pairs: int
    """That count."""
    runs_with: tuple[int, int] | None = None
    """Of a count: how many base and new runs have it."""
    doubt: Doubt | None = None
    """Why the runs cannot tell."""
    more_pairs: int | None = None
    """About how many more would tell. None: it was told, or no number within reason would tell."""


@dataclass(frozen=True)
class Comparison:
    """All metrics together: worse if one is, cannot tell if one cannot, else better if one is."""

    outcome: Difference
    metrics: tuple[MetricDifference, ...]

    @property
    def more_pairs(self) -> int | None:
        """About how many more pairs would tell about every metric. None: all told, or one that no number would tell."""
        needed = [each.more_pairs for each in self.metrics if each.outcome == "cannot tell"]
        return max((each for each in needed if each is not None), default=None) if None not in needed else None


@dataclass(frozen=True)
class _Test:
    """What the pairs of one metric say, before all metrics are seen together."""

    pairs: int
    p_value: float
    rises: bool
    same: bool
    ratio: Ratio | None
    runs_with: tuple[int, int] | None
    enough: Callable[[int, float], bool]
    """Whether a number of pairs would probably tell, with a confidence for differences."""


def compare(
    metrics: Sequence[MetricPairs], rules: ComparisonRules = FIXED, took_turns: bool = True
) -> Comparison:  # fmt: skip
    """Decides every metric. `took_turns` is False for runs that did not take turns (`schedule.interleaved`).

    The more metrics, the surer "better" and "worse" have to be (Holm's method): the chance of one false "worse" stays
    the same. "The same" needs nothing of the kind: all metrics have to be, so one mistake is not enough. Raises
    ValueError for no metric, and for figures below 0.
    """
    if not metrics:
        raise ValueError("expected at least one metric, got none")
    tests = [_test(each, rules) for each in metrics]
    sure = holm([test.p_value for test in tests if test is not None])
    decided: list[MetricDifference] = []
    for metric, test in zip(metrics, tests, strict=True):
        if test is None:
            pairs = len(metric.decided)
            none = MetricDifference(metric.metric, "cannot tell", None, None, pairs, doubt="too few pairs")
            decided.append(replace(none, more_pairs=FEWEST - pairs))
        else:
            decided.append(_decide(metric, replace(test, p_value=sure.pop(0)), rules, took_turns, len(metrics)))
    return Comparison(together([each.outcome for each in decided]), tuple(decided))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, enlarged so that all tests together err as often as one (Holm 1979), in the same order."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def together(outcomes: Sequence[Difference]) -> Difference:
    """The outcome of all metrics: worse if one is, cannot tell if one cannot, else better if one is."""
    order: tuple[Difference, ...] = ("worse", "cannot tell", "better", "same")
    return next(outcome for outcome in order if outcome in outcomes)


def _decide(
    metric: MetricPairs, test: _Test, rules: ComparisonRules, took_turns: bool, metrics: int
) -> MetricDifference:
    found = MetricDifference(metric.metric, "cannot tell", test.ratio, test.p_value, test.pairs, test.runs_with)
    if not took_turns:
        return replace(found, doubt="runs did not take turns")
    outcome: Difference = "cannot tell"
    if test.p_value <= 1 - rules.confidence and (test.ratio is None or _is_large(test.ratio, rules)):
        outcome = "better" if test.rises == metric.more_is_better else "worse"
    elif test.same:
        outcome = "same"
    if (outcome == "same" and metric.surplus) or (outcome == "better" and metric.surplus > 0):
        return replace(found, doubt="unequal undecided runs")
    if outcome == "cannot tell":
        strict = 1 - (1 - rules.confidence) / metrics
        more = _first_enough(test.pairs, lambda pairs: test.enough(pairs, strict))
        return replace(found, doubt="too noisy", more_pairs=more)
    return replace(found, outcome=outcome)


def _first_enough(pairs: int, enough: Callable[[int], bool]) -> int | None:
    """How many more pairs are enough: none is if MOST_PAIRS are not, and more never are too many."""
    low, high = pairs, MOST_PAIRS
    if pairs >= MOST_PAIRS or not enough(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high - pairs


def _test(metric: MetricPairs, rules: ComparisonRules) -> _Test | None:
    """None: too few pairs."""
    pairs = metric.decided
    ratios = [ratio_of(new, base) for base, new in pairs]
    if len(pairs) < FEWEST:
        return None
    if metric.is_count:
        having = sum(base > 0 for base, _ in pairs), sum(new > 0 for _, new in pairs)
        if having != (len(pairs), len(pairs)):
            return _test_of_runs(having, len(pairs))
    else:
        having = None
    if any(figure in (0.0, math.inf) for pair in pairs for figure in pair):
        test = _test_of_order(ratios, rules)
    else:
        found = log_difference([math.log(new) for _, new in pairs], [math.log(base) for base, _ in pairs])
        test = _test_of_logs(found, rules)
    return replace(test, runs_with=having)


def _test_of_logs(found: LogDifference, rules: ComparisonRules) -> _Test:
    margin = found.margin(rules.confidence)
    low, high = found.centre - margin, found.centre + margin
    ratio = Ratio(math.exp(found.centre), math.exp(low), math.exp(high), found.pairs)
    size, large, widest = abs(found.centre), _is_large(ratio, rules), math.log1p(rules.margin)

    def enough(pairs: int, confidence: float) -> bool:
        def reach(level: float) -> float:
            later = replace(found, pairs=pairs)
            return later.margin(level) + _POWER * later.standard_error

        return (large and size >= reach(confidence)) or widest - size >= reach(rules.confidence)

    return _Test(found.pairs, found.p_value, found.centre > 0, _within(ratio, rules), ratio, None, enough)


def _test_of_order(ratios: Sequence[float], rules: ComparisonRules) -> _Test:
    """Where a figure is infinite or 0, there are no logarithms: only in how many pairs the new one is larger counts."""
    low, high = between_values(ratios, rules.confidence)
    seen, ratio = len(ratios), Ratio(median(ratios), low, high, len(ratios))
    above, below = sum(each > 1 for each in ratios), sum(each < 1 for each in ratios)
    against, large = seen - max(above, below), _is_large(ratio, rules)
    widest = 1 + rules.margin
    outside = max(sum(each >= widest for each in ratios), sum(each <= 1 / widest for each in ratios))

    def enough(pairs: int, confidence: float) -> bool:
        differs = sign_p_value(math.ceil(pairs * against / seen), pairs) <= 1 - confidence
        return (large and differs) or sign_p_value(math.ceil(pairs * outside / seen), pairs) <= 1 - rules.confidence

    return _Test(seen, sign_p_value(against, seen), above > below, _within(ratio, rules), ratio, None, enough)


def _test_of_runs(having: tuple[int, int], pairs: int) -> _Test:
    base, new = having

    def enough(more: int, confidence: float) -> bool:
        shares = round(base * more / pairs), round(new * more / pairs)
        return fisher_p_value(shares[0], more, shares[1], more) <= 1 - confidence

    return _Test(pairs, fisher_p_value(base, pairs, new, pairs), new > base, not base + new, None, having, enough)


def sign_p_value(against: int, pairs: int) -> float:
    """How likely it is, either way, that so few of the pairs speak against a difference if there is none."""
    return min(1.0, 2 * sum(math.comb(pairs, few) for few in range(against + 1)) / (1 << pairs))


def _within(ratio: Ratio, rules: ComparisonRules) -> bool:
    return ratio.low > 1 / (1 + rules.margin) and ratio.high < 1 + rules.margin


def _is_large(ratio: Ratio, rules: ComparisonRules) -> bool:
    least = 1 + rules.least_effect
    return ratio.estimate >= least or ratio.estimate <= 1 / least
