"""The statistics of the rules against exact arithmetic and obvious loops."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatswarm.loadtests.judge.ledger.arrays import placed
from chatswarm.loadtests.judge.rules.statistics import chance, correlation, lift, ranks, slope


@given(st.integers(0, 8), st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))
def test_chance_is_fishers(here: int, inside: int, bad: int, outside: int) -> None:
    everything = inside + outside
    bad = min(bad, everything)
    terms = [
        Fraction(math.comb(inside, k) * math.comb(outside, bad - k), math.comb(everything, bad))
        for k in range(max(here, 0), min(inside, bad) + 1)
        if bad - k <= outside
    ]
    expected = 1 if here <= 0 or here > min(inside, bad) else sum(terms)
    assert chance(here, inside, bad, everything) == pytest.approx(float(expected), abs=1e-12)


def test_chance_of_large_numbers() -> None:
    assert 0 < chance(50, 20_000, 50, 1_000_000) < 1e-80
    assert chance(50_000, 2_500_000, 100_000, 5_000_000) == pytest.approx(0.5, abs=0.01)


def test_lift() -> None:
    assert lift(10, 100, 11, 1100) == pytest.approx(100)
    assert lift(5, 10, 5, 100) == math.inf
    assert lift(5, 10, 5, 10) == 1.0
    assert lift(0, 10, 5, 100) == 0.0


def test_slope_is_the_median_of_all_slopes() -> None:
    x, y = np.array([0.0, 1, 2, 3, 4]), np.array([0.0, 1, 2, 3, 400])
    every = [(y[b] - y[a]) / (x[b] - x[a]) for a, b in combinations(range(5), 2)]
    assert slope(x, y) == pytest.approx(float(np.median(every)))
    assert math.isnan(slope(np.zeros(3), np.arange(3.0)))


def test_ranks_and_their_correlation() -> None:
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5, 0.0, 2.5, 1.0]
    assert correlation(np.array([1.0, 2, 3]), np.array([10.0, 100, 1000])) == pytest.approx(1)
    assert correlation(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
    assert correlation(np.array([1.0, 2, 3]), np.ones(3)) == 0


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=12),
    st.integers(0, 3), st.integers(-1, 6), st.booleans(),
)  # fmt: skip
def test_a_place_is_that_of_the_first_row_from_a_moment_on(
    rows: list[tuple[int, int]], wanted: int, moment: int, after: bool
) -> None:
    rows.sort()
    group, value = (np.array([row[at] for row in rows], np.int64) for at in (0, 1))
    found = placed(group, value.astype(float), np.array([wanted]), np.array([float(moment)]), after=after)
    before = [
        row
        for row in rows
        if row[0] < wanted or (row[0] == wanted and (row[1] < moment or (after and row[1] == moment)))
    ]
    assert found.tolist() == [len(before)]
