"""The open schedule: a pure function of seed, widget and rates."""

import statistics
from itertools import pairwise

import pytest

from chatswarm.loadtests.scenario.schedule import Arrivals, Rates, intended_times

STEADY = Rates((0.0, 100.0), (20.0,))


def union(seed: int, widgets: int, rates: Rates, arrivals: Arrivals) -> list[float]:
    return sorted(at for widget in range(widgets) for at in intended_times(seed, widget, widgets, rates, arrivals))


@pytest.mark.parametrize("arrivals", ["poisson", "even"])
def test_the_same_seed_gives_the_same_times(arrivals: Arrivals) -> None:
    assert intended_times(7, 3, 50, STEADY, arrivals) == intended_times(7, 3, 50, STEADY, arrivals)


def test_another_seed_or_widget_gives_other_times() -> None:
    times = {tuple(intended_times(seed, widget, 50, STEADY, "poisson")) for seed in (1, 2) for widget in (0, 1)}
    assert len(times) == 4


def test_known_times_of_a_known_seed() -> None:
    # If these change, no run can be compared with an earlier one.
    assert intended_times(1, 0, 50, Rates((0.0, 5.0), (50.0,)), "poisson")[:3] == pytest.approx(
        [0.4504445717, 0.5771367901, 0.6991076251], abs=1e-9
    )


def test_all_widgets_together_have_the_rate() -> None:
    count = len(union(1, 50, STEADY, "poisson"))
    assert abs(count - 2000) < 4 * 2000**0.5


def test_poisson_gaps_are_exponential() -> None:
    times = union(3, 50, STEADY, "poisson")
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert statistics.fmean(gaps) == pytest.approx(1 / 20, rel=0.1)
    assert statistics.stdev(gaps) == pytest.approx(1 / 20, rel=0.1)


def test_even_sends_are_equally_spaced() -> None:
    times = union(3, 7, STEADY, "even")
    assert len(times) == 2000
    assert all(later - earlier == pytest.approx(1 / 20) for earlier, later in pairwise(times))


@pytest.mark.parametrize(
    ("edges", "rates", "sentence"),
    [
        ((0.0, 10.0), (20.0,), "one stage"),
        ((0.0, 10.0, 20.0), (10.0, 100.0), "a spike at the end"),
        ((0.0, 10.0, 20.0, 30.0), (10.0, 0.0, 10.0), "a pause in the middle"),
        ((0.0, 10.0, 20.0), (0.0, 10.0), "silence at first"),
        ((0.0, 10.0, 20.0), (10.0, 0.0), "silence at the end"),
    ],
)
@pytest.mark.parametrize("arrivals", ["poisson", "even"])
def test_each_stage_has_its_rate(
    edges: tuple[float, ...], rates: tuple[float, ...], sentence: str, arrivals: Arrivals
) -> None:
    plan = Rates(edges, rates)
    times = union(5, 20, plan, arrivals)
    assert all(0 <= at < plan.seconds for at in times), sentence
    for start, end, rate in zip(edges, edges[1:], rates, strict=False):
        expected = rate * (end - start)
        count = sum(start <= at < end for at in times)
        assert abs(count - expected) <= (1 if arrivals == "even" else 4 * expected**0.5), sentence
    assert plan.messages == sum(rate * 10 for rate in rates)


def test_each_widgets_times_ascend() -> None:
    for widget in range(20):
        times = intended_times(5, widget, 20, Rates((0.0, 3.0, 9.0), (50.0, 5.0)), "poisson")
        assert times == sorted(times)


@pytest.mark.parametrize("widget", [-1, 50])
def test_a_widget_number_out_of_range_is_refused(widget: int) -> None:
    with pytest.raises(ValueError, match=f"widget: expected 0 to 49, got {widget}"):
        intended_times(1, widget, 50, STEADY, "poisson")
