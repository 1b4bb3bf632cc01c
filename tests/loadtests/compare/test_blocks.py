"""Noise learnt from blocks of two pairs: by hand, and how often its interval is wrong."""

import math
import random

import pytest

from chatswarm.loadtests.compare.blocks import log_difference
from chatswarm.loadtests.compare.paired import t_quantile


def test_a_block_by_hand() -> None:
    found = log_difference([1.0, 3.0], [0.0, 1.0])
    # The block's mean is 1.25 and the difference 1.5, so the residuals are -1, 1 and -0.5, 0.5, with 2 degrees.
    assert (found.centre, found.noise) == pytest.approx((1.5, math.sqrt(2.5 / 2)))
    # The pairs' differences are 1 and 2.
    assert found.noise_within_pairs == pytest.approx(0.5)
    assert found.standard_error == pytest.approx(0.5)


def test_the_narrower_interval_is_taken() -> None:
    alike = log_difference([1.0, 3.0, 9.0], [0.1, 2.0, 8.1])
    assert alike.margin(0.9) == pytest.approx(t_quantile(2, 0.9675) * alike.noise_within_pairs * math.sqrt(2 / 3))
    apart = log_difference([1.0, 1.1, 0.9], [1.1, 1.0, 1.05])
    assert apart.margin(0.9) == pytest.approx(t_quantile(3, 0.9675) * apart.noise * math.sqrt(2 / 3))


def test_what_all_runs_of_a_block_share_is_no_noise() -> None:
    new, base = [1.0, 1.2, 1.1, 0.8, 1.3], [0.9, 1.0, 1.0, 1.1, 0.7]
    shared = [5.0, 5.0, -3.0, -3.0, 9.0]
    more_new = [value + all_share for value, all_share in zip(new, shared, strict=True)]
    more_base = [value + all_share for value, all_share in zip(base, shared, strict=True)]
    expected = log_difference(new, base)
    assert (log_difference(more_new, more_base).centre, log_difference(more_new, more_base).noise) == pytest.approx(
        (expected.centre, expected.noise)
    )


def test_the_p_value_agrees_with_the_interval() -> None:
    found = log_difference([1.0, 1.2, 1.1, 1.4], [0.9, 1.0, 1.0, 1.1])
    assert found.margin(1 - found.p_value) == pytest.approx(found.centre)


@pytest.mark.parametrize(("new", "expected"), [([1.0, 2.0], 1.0), ([2.0, 3.0], 0.0)])
def test_without_any_noise_a_difference_is_sure(new: list[float], expected: float) -> None:
    assert log_difference(new, [1.0, 2.0]).p_value == expected


@pytest.mark.parametrize("pairs", [3, 4, 6])
@pytest.mark.parametrize("shared", [0.0, 0.1, 1.0])
def test_the_interval_misses_the_truth_about_as_often_as_it_says(pairs: int, shared: float) -> None:
    """`shared`: what both runs of a pair have in common, such as their seed."""
    rng, missed = random.Random(18), 0
    for _ in range(2000):
        seeds = [rng.gauss(0, shared) for _ in range(pairs)]
        new, base = ([seed + rng.gauss(0, 0.1) for seed in seeds] for _ in ("new", "base"))
        found = log_difference(new, base)
        missed += abs(found.centre) > found.margin(0.9)
    assert 120 <= missed <= 220


@pytest.mark.parametrize(("new", "base"), [([1.0], [1.0]), ([1.0, 2.0], [1.0])])
def test_values_that_are_no_pairs(new: list[float], base: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two pairs"):
        log_difference(new, base)
