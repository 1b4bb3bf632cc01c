"""Change points: by literal series, and how often they are found, or found where there are none."""

import math

import numpy as np
import pytest

from chatswarm.loadtests.compare.trend import Trend, trend

from .noise import Draws

INFINITE = math.inf


def runs(rng: np.random.Generator, count: int, deviation: float, alike: float = 0.0) -> Draws:
    """The logarithms of figures of which each resembles the one before it."""
    draws = rng.normal(0, deviation, count)
    for at in range(1, count):
        draws[at] = alike * draws[at - 1] + math.sqrt(1 - alike**2) * draws[at]
    return draws


def places(found: Trend) -> list[int]:
    assert found.points is not None
    return [point.index for point in found.points]


FLAT = [1.0, 1.01, 0.99] * 4


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        (FLAT, []), ([1.0] * 12, []), ([0.0] * 12, []), ([INFINITE] * 12, []),
        ([*FLAT, 1.2, 1.21, 1.19], [12]), ([*FLAT, 1.2, 1.21], []),  # two slow runs are no change
        ([*FLAT, 1.03, 1.04, 1.02], []),  # less than the least change
        ([*FLAT, *(2 * each for each in FLAT), *FLAT], [12, 24]),
        ([*(2 * each for each in FLAT), 1.0, 1.01, 0.99], [12]),
        ([*FLAT, 9.0, *FLAT], []),  # one slow run
        ([*FLAT, INFINITE, INFINITE, INFINITE], [12]), ([*FLAT, INFINITE, *FLAT], []),
        ([0.0] * 9 + [3.0, 4.0, 3.0], [9]), ([0.0] * 12 + [3.0, 4.0], []), ([0.0] * 40 + [3.0], []),
        ([*FLAT * 3, 9.0], []), ([*FLAT * 3, 9.0, 9.0], []), ([*FLAT * 3, 9.0, 9.0, 9.0], [36]),
        ([9.0, *FLAT * 3], []), ([9.0, 9.0, 9.0, *FLAT * 3], [3]),
        ([*[0.0] * 40, 1.0, 0.0, 0.0, 0.0, 2.0], []),  # lost now and then: not most runs
    ],
)  # fmt: skip
def test_where_a_series_changes(figures: list[float], expected: list[int]) -> None:
    assert places(trend(figures)) == expected


def test_a_change_has_its_size_and_interval() -> None:
    (point,) = trend([*FLAT, 1.2, 1.212, 1.188]).points or ()
    assert point.ratio.estimate == pytest.approx(1.2, rel=1e-3)
    assert 1.18 < point.ratio.low < point.ratio.estimate < point.ratio.high < 1.22
    assert point.ratio.pairs == 15
    assert point.p_value < 1e-6


@pytest.mark.parametrize(
    ("figures", "estimate", "bounded"),
    [([*FLAT, *[INFINITE] * 3], INFINITE, "below"), ([*[INFINITE] * 9, *FLAT], 0.0, "above"),
     ([*[0.0] * 9, *FLAT], INFINITE, "below"), ([*FLAT, *[INFINITE] * 2, 5.0, 6.0, INFINITE], INFINITE, "below")],
)  # fmt: skip
def test_an_infinite_figure_bounds_a_change_on_one_side_only(
    figures: list[float], estimate: float, bounded: str
) -> None:  # fmt: skip
    (point,) = trend(figures).points or ()
    assert point.ratio.estimate == estimate
    assert (point.ratio.low > 1, point.ratio.high == INFINITE) == (bounded == "below", bounded == "below")
    assert (point.ratio.low == 0, point.ratio.high < 1) == (bounded == "above", bounded == "above")


def test_undecided_runs_do_not_count_but_keep_their_places() -> None:
    assert places(trend([None, *FLAT, None, 1.2, 1.21, 1.19])) == [14]
    assert trend([*FLAT[:9], None, None]) == Trend(9, None)
    assert trend([]) == Trend(0, None)


def test_a_point_is_new_once() -> None:
    figures = [*FLAT, *[1.2, 1.21, 1.19] * 2]
    seen = [[point.new for point in trend(figures[:count]).points or ()] for count in range(12, len(figures) + 1)]
    assert seen == [[], [], [], [True], [False], [False], [False]]
    assert [point.new for point in trend(figures, known=14).points or ()] == [True]
    assert [point.new for point in trend(figures, known=0).points or ()] == [True]


def test_new_and_worse() -> None:
    rises = trend([*FLAT, 1.2, 1.21, 1.19])
    assert rises.new_and_worse() == rises.points
    assert rises.new_and_worse(more_is_better=True) == ()
    falls = trend([*FLAT, 0.8, 0.81, 0.79], known=12)
    assert falls.new_and_worse() == ()
    assert falls.new_and_worse(more_is_better=True) == falls.points
    assert trend([*FLAT, 1.2, 1.21, 1.19, 1.2]).new_and_worse() == ()
    assert trend([1.0]).new_and_worse() == ()


@pytest.mark.parametrize("figure", [-1.0, math.nan])
def test_figures_that_cannot_be(figure: float) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        trend([*FLAT, figure])


@pytest.mark.parametrize(("alike", "at_most"), [(0.0, 0.05), (0.3, 0.08)])
@pytest.mark.parametrize("deviation", [0.05, 0.3])
def test_forty_runs_without_a_change_seldom_have_a_point(alike: float, at_most: float, deviation: float) -> None:
    rng = np.random.default_rng(18)
    false = sum(bool(places(trend(np.exp(runs(rng, 40, deviation, alike)).tolist()))) for _ in range(3000))
    assert false / 3000 <= at_most


@pytest.mark.parametrize("before", [20, 30])
def test_a_fifth_more_is_found_within_three_runs(before: int) -> None:
    rng, found = np.random.default_rng(18), 0
    for _ in range(1000):
        logs = runs(rng, before + 3, 0.05)
        logs[before:] += math.log(1.2)
        figures = np.exp(logs).tolist()
        new = trend(figures, known=before).new_and_worse()
        found += any(abs(point.index - before) <= 2 for point in new)
    assert found / 1000 >= 0.9


def test_a_slow_run_among_many_is_no_change() -> None:
    """Asked after every run, of which one in thirty takes twice as long: a t-test alone alarms in 23 %."""
    rng, told = np.random.default_rng(18), 0
    for _ in range(100):
        logs = runs(rng, 40, 0.05) + np.where(rng.random(40) < 1 / 30, math.log(2), 0.0)
        figures = np.exp(logs).tolist()
        told += any(trend(figures[:count]).new_and_worse() for count in range(11, 41))
    assert told / 100 <= 0.12


def test_a_build_fails_once_for_a_change() -> None:
    """Asked after every run, as a build does: after the change it is told at least once, and seldom again."""
    rng, told = np.random.default_rng(18), []
    for _ in range(100):
        logs = runs(rng, 40, 0.05)
        logs[25:] += math.log(1.2)
        figures = np.exp(logs).tolist()
        told.append(sum(bool(trend(figures[:count]).new_and_worse()) for count in range(20, 41)))
    assert sum(times == 0 for times in told) <= 2
    assert sum(times > 1 for times in told) <= 15


def test_a_change_that_is_undone_is_found_and_hides_no_other() -> None:
    rng, found, last = np.random.default_rng(18), 0, 0
    for _ in range(500):
        logs = runs(rng, 33, 0.05)
        logs[12:18] += math.log(1.5)
        before = places(trend(np.exp(logs).tolist()))
        found += len(before) == 2 and abs(before[0] - 12) <= 1 and abs(before[1] - 18) <= 1
        logs[30:] += math.log(1.2)
        last += any(abs(index - 30) <= 2 for index in places(trend(np.exp(logs).tolist())))
    assert found / 500 >= 0.9
    assert last / 500 >= 0.8
