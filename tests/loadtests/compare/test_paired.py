"""The ratio of paired figures: literal values from tables, and how often its interval is wrong."""

import math
import random

import pytest

from chatswarm.loadtests.compare.paired import paired_ratio, t_quantile

INFINITE = math.inf


@pytest.mark.parametrize(
    ("degrees", "probability", "expected"),
    [  # a printed table of Student's t
        (1, 0.975, 12.706), (2, 0.975, 4.303), (3, 0.95, 2.353), (4, 0.975, 2.776), (5, 0.995, 4.032),
        (10, 0.975, 2.228), (29, 0.95, 1.699), (120, 0.975, 1.980), (3, 0.9995, 12.924),
    ],
)  # fmt: skip
def test_quantiles_are_those_of_a_table(degrees: int, probability: float, expected: float) -> None:
    assert t_quantile(degrees, probability) == pytest.approx(expected, abs=6e-4)


def test_a_ratio_has_the_geometric_mean_and_a_symmetric_interval_in_logarithms() -> None:
    ratio = paired_ratio([2.0, 8.0], [1.0, 2.0])
    assert ratio.estimate == pytest.approx(math.sqrt(8))
    margin = 12.70620474 * (math.log(4) - math.log(2)) / 2
    assert (ratio.low, ratio.high) == pytest.approx((math.sqrt(8) / math.exp(margin), math.sqrt(8) * math.exp(margin)))


def test_what_both_sides_share_cancels() -> None:
    ratio = paired_ratio([10.0, 30.0, 90.0], [5.0, 15.0, 45.0])
    assert (ratio.estimate, ratio.low, ratio.high) == pytest.approx((2, 2, 2))


def test_the_interval_misses_the_truth_as_often_as_it_says() -> None:
    rng, missed = random.Random(3), 0
    for _ in range(2000):
        drift = [rng.gauss(0, 1) for _ in range(4)]
        new = [math.exp(each + rng.gauss(0, 0.1)) for each in drift]
        base = [math.exp(each + rng.gauss(0, 0.1)) for each in drift]
        ratio = paired_ratio(new, base)
        missed += not ratio.low <= 1 <= ratio.high
    assert 70 <= missed <= 130


@pytest.mark.parametrize(
    ("new", "base", "expected"),
    [
        ([INFINITE] * 8, [1.0] * 8, (INFINITE, INFINITE, INFINITE)),
        ([INFINITE] * 6, [INFINITE] * 6, (1, 1, 1)),
        ([1.0] * 6, [INFINITE] * 6, (0, 0, 0)),
        ([0.0] * 3, [0.0] * 3, (1, 1, 1)),
        ([INFINITE, 1.0, 2.0], [1.0, 1.0, 1.0], (2, 0, INFINITE)),  # too few
        ([INFINITE, 1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 6, (3.5, 1, INFINITE)),
        ([INFINITE, *range(1, 9)], [1.0] * 9, (5, 2, 8)),  # the second of nine, from below and above: 96 %
    ],
)
def test_infinite_figures_and_zeros(new: list[float], base: list[float], expected: tuple[float, ...]) -> None:
    ratio = paired_ratio(new, base)
    assert (ratio.estimate, ratio.low, ratio.high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("new", "base", "words"),
    [
        ([1.0], [1.0], "at least two pairs, got 1 new and 1 base"),
        ([1.0, 2.0], [1.0], "got 2 new and 1 base"),
        ([1.0, -1.0], [1.0, 1.0], "at least 0, got -1 and 1"),
        ([1.0, math.nan], [1.0, 1.0], "at least 0, got nan and 1"),
    ],
)
def test_figures_that_are_no_pairs(new: list[float], base: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        paired_ratio(new, base)


@pytest.mark.parametrize("probability", [0.4, 1.0, 1.5, math.nan])
def test_a_probability_that_has_no_quantile(probability: float) -> None:
    with pytest.raises(ValueError, match=r"from 0\.5 to below 1"):
        t_quantile(5, probability)
