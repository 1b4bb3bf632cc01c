"""How much of a figure is waiting, and shares of runs that differ: literal values."""

import math
from itertools import product

import numpy as np
import pytest

from chatswarm.loadtests.compare.fisher import fisher_p_value
from chatswarm.loadtests.compare.floor import floor_share, hides_the_chat, waiting_quantile


@pytest.mark.parametrize(
    ("figure", "interval", "quantile", "expected"),
    [
        (0.320, 0.3, 0.99, 0.928), (0.159, 0.3, 0.5, 0.943), (0.331, 0.3, 1.0, 0.906),
        (2.0, 0.3, 0.99, 0.1485), (0.1, 0.3, 0.99, 1.0), (math.inf, 0.3, 0.99, 0.0), (0.1, 0.0, 0.5, 0.0),
    ],
)  # fmt: skip
def test_the_share_of_waiting(figure: float, interval: float, quantile: float, expected: float) -> None:
    assert floor_share(figure, interval, quantile) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("messages", [0.05, 0.6, 3.0, 12.0])
@pytest.mark.parametrize("quantile", [0.5, 0.95, 0.99])
def test_waiting_is_that_of_a_dashboard_that_refetches_once_in_an_interval(messages: float, quantile: float) -> None:
    """Simulated: a refetch at once if the last one began an interval ago, or else when that interval is over."""
    rng = np.random.default_rng(1)
    arrivals = np.cumsum(rng.exponential(1 / messages, 200_000)).tolist()
    waits, refetch = [], -1.0
    for at in arrivals:
        if at > refetch:
            refetch = max(at, refetch + 1)
        waits.append(refetch - at)
    assert waiting_quantile(quantile, messages) == pytest.approx(float(np.quantile(waits, quantile)), abs=0.01)


def test_a_figure_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="above 0, got 0"):
        floor_share(0.0, 0.3)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [([0.93, 0.92, 0.94], True), ([0.8, 0.8], False), ([0.93, 0.1], False), ([0.93, 0.9, 0.1], True), ([], False)],
)
def test_mostly_waiting_hides_the_chat(shares: list[float], expected: bool) -> None:
    assert hides_the_chat(shares) is expected


@pytest.mark.parametrize(
    ("table", "expected"),
    [  # by hand: the ways to place those that have it
        ((0, 6, 6, 6), 2 / 924), ((0, 6, 5, 6), 2 * 6 / 792), ((0, 6, 4, 6), 2 * 15 / 495), ((3, 6, 3, 6), 1.0),
        ((0, 6, 0, 6), 1.0), ((6, 6, 6, 6), 1.0), ((1, 10, 11, 14), 0.00275946), ((0, 3, 2, 5), 13 / 28),
    ],
)  # fmt: skip
def test_fishers_exact_test(table: tuple[int, int, int, int], expected: float) -> None:
    assert fisher_p_value(*table) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("base", "new"), [(6, 6), (7, 4), (3, 9), (12, 12)])
def test_all_tables_of_some_runs_agree_with_whole_numbers(base: int, new: int) -> None:
    for with_base, with_new in product(range(base + 1), range(new + 1)):
        both = with_base + with_new
        ways = [math.comb(base, one) * math.comb(new, both - one) for one in range(both + 1)]
        expected = sum(each for each in ways if each <= ways[with_base]) / math.comb(base + new, both)
        assert fisher_p_value(with_base, base, with_new, new) == pytest.approx(expected)


def test_sides_may_be_exchanged() -> None:
    assert fisher_p_value(1, 7, 4, 6) == pytest.approx(fisher_p_value(4, 6, 1, 7))


def test_more_than_all_runs() -> None:
    with pytest.raises(ValueError, match="at most all runs, got 7 of 6"):
        fisher_p_value(7, 6, 0, 6)
