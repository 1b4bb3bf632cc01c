"""Backlogs and knees: literal curves, and how often a backlog is seen in noise."""

import math

import numpy as np
import pytest

from chatswarm.loadtests.compare.curve import backlog_grows, backlog_growth, knee

INFINITE, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("medians", "expected"),
    [
        ([0.2] * 8, 0.0), ([0.2 + 0.1 * second for second in range(8)], 0.1),
        ([0.2, 0.3, NAN, 0.5, 0.6, NAN, 0.8], 0.1),
        ([0.2, 0.2, 9.0, 0.2, 0.2, 0.2], 0.0),  # one slow second
        ([0.2, 0.2, 0.2, 0.2], None), ([NAN] * 9, None), ([], None),
        ([INFINITE] * 6, INFINITE), ([0.2, 0.2, 0.2, INFINITE, INFINITE, INFINITE], INFINITE),
        ([INFINITE, 0.2, 0.2, 0.2, 0.2, 0.2], 0.0),
    ],
)  # fmt: skip
def test_the_growth_of_a_backlog(medians: list[float], expected: float | None) -> None:
    found = backlog_growth(range(len(medians)), medians)
    assert found == (None if expected is None else pytest.approx(expected))


def test_seconds_need_not_be_in_order_nor_complete() -> None:
    assert backlog_growth([9, 1, 5, 3, 2], [1.8, 0.2, 1.0, 0.6, 0.4]) == pytest.approx(0.2)


@pytest.mark.parametrize(("overload", "seconds", "at_least", "at_most"), [
    (0.0, 15, 0.0, 0.01), (0.05, 30, 0.0, 0.05), (0.2, 15, 0.95, 1.0), (0.15, 30, 0.95, 1.0),
])  # fmt: skip
def test_an_overload_is_seen_through_noise(overload: float, seconds: int, at_least: float, at_most: float) -> None:
    """Each second's median varies by a fifth around 150 ms; with an overload of x, x seconds come on top in each."""
    rng, times, grows = np.random.default_rng(18), np.arange(seconds, dtype=float), 0
    for _ in range(500):
        medians = 0.15 * np.exp(rng.normal(0, 0.2, seconds)) + overload * times
        growth = backlog_growth(times.tolist(), medians.tolist())
        assert growth is not None
        grows += backlog_grows(growth, 0.1)
    assert at_least <= grows / 500 <= at_most


@pytest.mark.parametrize(
    ("p99s", "expected"),
    [
        ({20: [0.3], 40: [0.31], 80: [0.3], 160: [0.4], 320: [0.9]}, 160),
        ({320: [0.9], 20: [0.3], 160: [0.4], 40: [0.31], 80: [0.3]}, 160),
        ({20: [0.3], 40: [0.3], 80: [0.9], 160: [0.3], 320: [0.3]}, None),  # it did not stay so
        ({20: [0.3], 40: [0.3], 80: [0.9, 0.31], 160: [0.9, 0.8]}, 160),  # one of its runs was fast
        ({20: [0.3], 40: [0.3], 80: [0.375]}, 80), ({20: [0.3], 40: [0.3], 80: [0.37]}, None),
        ({20: [0.3], 40: [0.3], 80: [INFINITE]}, 80), ({20: [0.3], 40: [0.9]}, None), ({}, None),
        ({20: [0.3], 40: [], 80: [0.3], 160: [0.6]}, 160),
    ],
)  # fmt: skip
def test_the_knee(p99s: dict[float, list[float]], expected: float | None) -> None:
    assert knee(p99s) == expected


def test_a_flat_noisy_line_seldom_has_a_knee() -> None:
    rng, knees = np.random.default_rng(18), 0
    for _ in range(500):
        knees += knee({2.0**at: rng.lognormal(0, 0.2, 3).tolist() for at in range(8)}) is not None
    assert knees / 500 <= 0.05
