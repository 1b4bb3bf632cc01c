"""The bounds of a limit, from literal probes."""

import math

import pytest

from chatswarm.loadtests.compare.limits import limit_interval


def test_the_limit_is_between_what_held_and_what_failed() -> None:
    low, high = limit_interval([100, 200, 140, 120, 120, 130, 130], [True, False, False, True, True, False, False])
    assert 110 < low < 120
    assert 130 < high < 145


def test_all_probes_held() -> None:
    low, high = limit_interval([20, 40, 80, 80, 80, 80], [True] * 6)
    assert high == math.inf
    assert 78 < low < 85


def test_more_probes_that_held_raise_the_lower_bound_and_failures_lower_it() -> None:
    few, _ = limit_interval([80, 80], [True] * 2)
    many, _ = limit_interval([80] * 6, [True] * 6)
    mixed, _ = limit_interval([80] * 4, [True, True, True, False])
    assert 0.9 * 80 < mixed < few < many


def test_no_probe_held() -> None:
    low, high = limit_interval([20, 20, 20], [False] * 3)
    assert low == 0
    assert 18 < high < 25


def test_one_failure_that_was_not_repeated_hardly_counts() -> None:
    low, high = limit_interval([100, 100, 200, 200, 200, 200], [False, True, True, True, True, False])
    assert 180 < low < 220
    assert high == math.inf


def test_the_unit_does_not_matter() -> None:
    outcomes = [True, False, False, True]
    small, large = (limit_interval([unit * each for each in (1, 2, 2, 1.5)], outcomes) for unit in (1, 1000))
    assert large == pytest.approx([1000 * bound for bound in small])


def test_a_wider_interval_is_surer() -> None:
    probes = [1.0, 2.0, 2.0, 1.5], [True, False, False, True]
    narrow, wide = limit_interval(*probes, confidence=0.5), limit_interval(*probes, confidence=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize("levels", [[], [0.0], [1.0, -1.0]])
def test_probes_that_cannot_be(levels: list[float]) -> None:
    with pytest.raises(ValueError, match="levels above 0"):
        limit_interval(levels, [True] * len(levels))
