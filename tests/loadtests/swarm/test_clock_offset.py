"""The offset of another clock, estimated from exchanges."""

import random

import pytest

from chatswarm.loadtests.swarm.clock_offset import ClockOffset, Exchange, both, estimate


def test_the_fastest_exchange_decides() -> None:
    slow = Exchange(sent=10.0, there=110.9, received=11.0)
    quick = Exchange(sent=20.0, there=120.001, received=20.002)
    assert estimate([slow, quick]) == pytest.approx((100.0, 0.001))


def test_the_truth_is_always_within_the_bound() -> None:
    draw = random.Random(1)
    for _ in range(1000):
        truth = draw.uniform(-1e6, 1e6)
        exchanges = []
        for _ in range(draw.randint(1, 5)):
            sent = draw.uniform(0, 1e4)
            arrived = sent + draw.expovariate(1000)
            exchanges.append(Exchange(sent, arrived + truth, arrived + draw.expovariate(1000)))
        offset = estimate(exchanges)
        assert abs(offset.seconds - truth) <= offset.bound + 1e-9


def test_drift_widens_the_bound() -> None:
    offset = both(ClockOffset(100.0, 0.001), ClockOffset(100.010, 0.002))
    assert offset.seconds - offset.bound == pytest.approx(99.999)
    assert offset.seconds + offset.bound == pytest.approx(100.012)


def test_without_an_exchange_there_is_no_estimate() -> None:
    with pytest.raises(ValueError, match="at least one exchange"):
        estimate([])
