"""Better, same, worse or cannot tell: literal cases, and how often each is said of simulated pairs."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from chatswarm.loadtests.compare.schedule import LOOKS
from chatswarm.loadtests.compare.verdicts import (
    FIXED,
    UNTIL_DECIDED,
    ComparisonRules,
    Difference,
    MetricDifference,
    MetricPairs,
    compare,
    holm,
    sign_p_value,
)

from .noise import MEASURED, simulated_pairs

INFINITE = math.inf
STEADY = [1.0, 1.01, 0.99, 1.0, 1.01, 0.99]


def times(factor: float, figures: Sequence[float] = STEADY) -> list[float]:
    return [factor * each for each in reversed(figures)]


def only(metric: MetricPairs, rules: ComparisonRules = FIXED) -> MetricDifference:
    return compare([metric], rules).metrics[0]


def share(outcomes: Counter[Difference], outcome: Difference) -> float:
    return outcomes[outcome] / outcomes.total()


@pytest.mark.parametrize(
    ("new", "more_is_better", "expected"),
    [
        (times(1.2), False, "worse"), (times(1 / 1.2), False, "better"), (times(1.2), True, "better"),
        (times(1 / 1.2), True, "worse"), (times(1.001), False, "same"), (STEADY, False, "same"),
        (times(1.04), False, "same"),  # differs for sure, but less than the least effect
        (times(1.06), False, "worse"),  # within the margin, but for sure
    ],
)  # fmt: skip
def test_figures_that_hardly_vary(new: list[float], more_is_better: bool, expected: str) -> None:
    found = only(MetricPairs("accepted.p99", STEADY, new, more_is_better=more_is_better))
    assert found.outcome == expected
    assert (found.doubt, found.more_pairs, found.pairs) == (None, None, 6)


def test_the_ratio_is_told_with_its_interval() -> None:
    ratio = only(MetricPairs("x", STEADY, times(1.2))).ratio
    assert ratio is not None
    assert 1.18 < ratio.low < ratio.estimate < ratio.high < 1.22
    assert ratio.estimate == pytest.approx(1.2)


@pytest.mark.parametrize("pairs", [0, 1, 2])
def test_too_few_pairs(pairs: int) -> None:
    found = only(MetricPairs("x", [1.0] * pairs, [9.0] * pairs))
    assert (found.outcome, found.doubt, found.more_pairs) == ("cannot tell", "too few pairs", 3 - pairs)


def test_runs_that_did_not_take_turns_claim_nothing() -> None:
    metrics = [MetricPairs("a", STEADY, times(2)), MetricPairs("b", STEADY, STEADY), MetricPairs("c", times(2), STEADY)]
    found = compare(metrics, took_turns=False)
    assert [each.doubt for each in found.metrics] == ["runs did not take turns"] * 3
    assert (found.outcome, found.more_pairs) == ("cannot tell", None)


@pytest.mark.parametrize(
    ("base", "new", "expected"),
    [
        ([*STEADY, None], [*STEADY, 1.0], "cannot tell"),
        ([*STEADY, 1.0], [*STEADY, None], "cannot tell"),
        ([*STEADY, None, 1.0], [*STEADY, 1.0, None], "same"),
        ([*STEADY, None], [*STEADY, None], "same"),
        ([*STEADY, 1.0], [*times(0.5), None], "cannot tell"),  # the run that is missing may have been slow
        ([*STEADY, None], [*times(0.5), 1.0], "better"),
        ([*STEADY, 1.0], [*times(2), None], "worse"),
        ([*STEADY, None], [*times(2), 1.0], "worse"),
    ],
)
def test_undecided_runs_do_not_count_but_may_forbid_a_claim(
    base: list[float | None], new: list[float | None], expected: str
) -> None:  # fmt: skip
    found = only(MetricPairs("x", base, new))
    assert (found.outcome, found.pairs) == (expected, 6)
    assert found.doubt == ("unequal undecided runs" if expected == "cannot tell" else None)


@pytest.mark.parametrize(
    ("base", "new", "expected", "ratio"),
    [
        (STEADY, [INFINITE] * 6, "worse", (INFINITE, INFINITE)),
        ([INFINITE] * 6, STEADY, "better", (0, 0)),
        ([INFINITE] * 6, [INFINITE] * 6, "same", (1, 1)),
        ([0.0] * 6, [0.0] * 6, "same", (1, 1)),
        ([0.0] * 6, STEADY, "worse", (INFINITE, INFINITE)),
        (STEADY, [INFINITE, *STEADY[1:]], "cannot tell", (1, INFINITE)),
        (STEADY[:4], [INFINITE] * 4, "cannot tell", (0, INFINITE)),
    ],
)
def test_infinite_figures_and_figures_of_zero(
    base: list[float], new: list[float], expected: str, ratio: tuple[float, float]
) -> None:  # fmt: skip
    found = only(MetricPairs("visible.p99", base, new))
    assert found.ratio is not None
    assert (found.outcome, found.ratio.low, found.ratio.high) == (expected, *ratio)


def test_how_many_more_pairs_tell_about_infinite_figures() -> None:
    assert only(MetricPairs("x", STEADY[:4], [INFINITE] * 4)).more_pairs == 1
    assert only(MetricPairs("x", STEADY[:4], [INFINITE] * 4), UNTIL_DECIDED).more_pairs == 3
    halves = [INFINITE, 1.0, INFINITE, 1.0]
    assert only(MetricPairs("x", halves, halves[::-1])).more_pairs is None
    small = only(MetricPairs("x", [1.0] * 6, [*[1.02] * 4, INFINITE, INFINITE])).more_pairs
    assert small is not None  # that the median is larger is sure at once, but not that it is larger by enough
    assert small > 10
    one_in_six = only(MetricPairs("x", [1.0] * 6, [INFINITE, *[1.0] * 5])).more_pairs
    assert one_in_six is not None  # so few that the median will be proven to be the same
    assert sign_p_value(math.ceil((6 + one_in_six) / 6), 6 + one_in_six) <= 0.1


@pytest.mark.parametrize(
    ("base", "new", "expected"),
    [
        ([0] * 6, [0] * 6, "same"), ([0] * 6, [3] * 6, "worse"), ([7] * 6, [0] * 6, "better"),
        ([0] * 6, [1, 1, 1, 1, 0, 0], "worse"), ([0] * 6, [1, 1, 1, 0, 0, 0], "cannot tell"),
        ([0, 0, 0, 0, 0, 5], [5, 0, 0, 0, 0, 0], "cannot tell"),
        ([1] * 6, [900] * 6, "worse"),  # every run has it: then the amounts tell
        ([100, 101, 99, 100, 100, 100], [100, 101, 99, 100, 100, 100], "same"),
    ],
)  # fmt: skip
def test_counts_of_what_should_never_happen(base: list[float], new: list[float], expected: str) -> None:
    found = only(MetricPairs("lost", base, new, is_count=True))
    assert found.outcome == expected
    assert found.runs_with == (sum(each > 0 for each in base), sum(each > 0 for each in new))


def test_how_many_more_pairs_tell_about_counts() -> None:
    half = only(MetricPairs("lost", [0] * 6, [1, 1, 1, 0, 0, 0], is_count=True))
    assert half.more_pairs == 1  # 4 of 7
    equal = only(MetricPairs("lost", [0, 0, 1], [0, 1, 0], is_count=True))
    assert (equal.more_pairs, equal.ratio) == (None, None)


@pytest.mark.parametrize(
    ("factors", "expected"),
    [((1, 1), "same"), ((1, 0.5), "better"), ((1, 2), "worse"), ((0.5, 2), "worse"), ((0.5, None), "cannot tell"),
     ((2, None), "worse")],
)  # fmt: skip
def test_all_metrics_together(factors: tuple[float | None, ...], expected: str) -> None:
    noisy = MetricPairs("n", [1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1])
    found = compare([noisy if each is None else MetricPairs("m", STEADY, times(each)) for each in factors])
    assert found.outcome == expected


def test_more_metrics_need_more_certainty() -> None:
    base, new = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0], [1.3, 1.15, 1.2, 1.02, 1.1, 1.01]
    alone = only(MetricPairs("x", base, new))
    among = compare([MetricPairs("x", base, new), *[MetricPairs(str(n), [1, 2, 3], [3, 2, 1]) for n in range(9)]])
    assert (alone.outcome, among.metrics[0].outcome) == ("worse", "cannot tell")
    assert alone.ratio == among.metrics[0].ratio
    assert alone.p_value is not None
    assert among.metrics[0].p_value == pytest.approx(10 * alone.p_value)


def test_more_metrics_need_more_pairs() -> None:
    noisy = MetricPairs("x", [1.0, 1.5, 0.8, 1.2, 0.7, 1.0], [1.6, 1.1, 1.7, 1.0, 1.5, 1.4])
    alone, among = compare([noisy]), compare([noisy] * 5)
    assert alone.more_pairs is not None
    assert among.more_pairs is not None
    assert among.more_pairs > alone.more_pairs


def test_holm_enlarges_the_smallest_most_and_keeps_the_order() -> None:
    assert holm([0.04, 0.01, 0.03, 0.5]) == pytest.approx([0.09, 0.04, 0.09, 0.5])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("rules", "words"),
    [({"margin": 0.03}, "margin of at least 5%"), ({"confidence": 95}, "between 0 and 1, got 95"),
     ({"least_effect": -0.1}, "at least -10%")],
)  # fmt: skip
def test_rules_that_cannot_be(rules: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ComparisonRules(**rules)


def test_figures_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="pairs of x, got 1 base and 0 new"):
        MetricPairs("x", [1.0], [])
    with pytest.raises(ValueError, match="at least 0, got -1"):
        only(MetricPairs("x", [1.0] * 3, [1.0, 1.0, -1.0]))
    with pytest.raises(ValueError, match="at least one metric"):
        compare([])


@pytest.mark.parametrize("deviation", [0.02, 0.05, 0.08, 0.1, 0.25, 0.49])
def test_of_two_targets_that_are_the_same_few_are_called_worse(deviation: float) -> None:
    rng = np.random.default_rng(18)
    outcomes = Counter(only(simulated_pairs(rng, 6, deviation)).outcome for _ in range(2000))
    assert share(outcomes, "worse") <= 0.05
    assert share(outcomes, "better") <= 0.05


def test_of_two_targets_that_are_the_same_few_are_called_worse_by_any_metric() -> None:
    """With the noise that was measured, of four metrics and a count."""
    rng, outcomes = np.random.default_rng(18), Counter[Difference]()
    for _ in range(2000):
        metrics = [simulated_pairs(rng, 6, deviation, metric=metric) for metric, deviation in MEASURED.items()]
        base, new = rng.poisson(0.3, (2, 6)).astype(float).tolist()
        outcomes[compare([*metrics, MetricPairs("lost", base, new, is_count=True)]).outcome] += 1
    assert share(outcomes, "worse") <= 0.05


@pytest.mark.parametrize("deviation", [0.05, 0.08, 0.2, 0.49])
def test_looking_again_and_again_does_not_call_more_of_them_worse(deviation: float) -> None:
    rng, outcomes = np.random.default_rng(18), Counter[Difference]()
    for _ in range(2000):
        whole = simulated_pairs(rng, LOOKS[-1], deviation)
        for look in LOOKS:
            outcome = only(MetricPairs("x", whole.base[:look], whole.new[:look]), UNTIL_DECIDED).outcome
            if outcome != "cannot tell":
                break
        outcomes[outcome] += 1
    assert share(outcomes, "worse") <= 0.05


@pytest.mark.parametrize("deviation", [0.02, 0.05, 0.08])
def test_a_fifth_more_is_found_with_six_pairs(deviation: float) -> None:
    rng = np.random.default_rng(18)
    outcomes = Counter(only(simulated_pairs(rng, 6, deviation, 1.2)).outcome for _ in range(2000))
    assert share(outcomes, "worse") >= 0.95


@pytest.mark.parametrize("deviation", [0.25, 0.49])
def test_where_noise_is_larger_it_cannot_be_told(deviation: float) -> None:
    rng = np.random.default_rng(18)
    outcomes = Counter(only(simulated_pairs(rng, 6, deviation, 1.2)).outcome for _ in range(2000))
    assert share(outcomes, "cannot tell") >= 0.7
    assert share(outcomes, "same") + share(outcomes, "better") <= 0.02


@pytest.mark.parametrize(("deviation", "ratio"), [(0.15, 1.0), (0.15, 1.2), (0.25, 1.5)])
def test_the_told_number_of_pairs_usually_tells(deviation: float, ratio: float) -> None:
    rng, told = np.random.default_rng(18), Counter[bool]()
    for _ in range(1000):
        first = simulated_pairs(rng, 6, deviation, ratio)
        found = only(first)
        if found.outcome == "cannot tell" and found.more_pairs is not None and found.more_pairs <= 60:
            more = simulated_pairs(rng, found.more_pairs, deviation, ratio)
            both = MetricPairs("x", [*first.base, *more.base], [*first.new, *more.new])
            told[only(both).outcome != "cannot tell"] += 1
    assert told.total() > 100
    assert told[True] / told.total() >= 0.6
