"""When a dashboard refetches, and the greenlets that it does so in."""

import itertools
import time
from collections.abc import Iterator

import gevent
import pytest

from chatswarm.loadtests.swarm import refetching
from chatswarm.loadtests.swarm.refetching import Crew, Refetcher

INTERVAL = 0.03


class Recorded:
    """A dashboard's refetches, which take some time."""

    def __init__(self) -> None:
        self.started: list[float] = []
        self.running = self.most = 0
        self.refetcher = Refetcher(Crew(), INTERVAL, self.refetch)

    def refetch(self) -> None:
        self.started.append(time.monotonic())
        self.running += 1
        self.most = max(self.most, self.running)
        gevent.sleep(0.01)
        self.running -= 1


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    it = Recorded()
    yield it
    it.refetcher.stop()


def test_one_in_flight_and_none_before_its_time_but_always_one_after_the_last_frame(recorded: Recorded) -> None:
    for _ in range(60):
        last = time.monotonic()
        recorded.refetcher.want()
        gevent.sleep(0.002)
    gevent.sleep(3 * INTERVAL)
    started = recorded.started
    assert recorded.most == 1
    assert len(started) > 2
    assert all(after - before >= 0.99 * INTERVAL for before, after in itertools.pairwise(started))
    assert started[-1] >= last
    gevent.sleep(3 * INTERVAL)
    assert recorded.started == started, "nothing was announced"


def test_a_frame_during_a_refetch_brings_another(recorded: Recorded) -> None:
    recorded.refetcher.want()
    while not recorded.running:
        gevent.sleep(0)
    recorded.refetcher.want(2)
    gevent.sleep(3 * INTERVAL)
    assert len(recorded.started) == 2


def test_none_begins_after_the_stop(recorded: Recorded) -> None:
    recorded.refetcher.want()
    recorded.refetcher.stop()
    recorded.refetcher.want()
    gevent.sleep(2 * INTERVAL)
    assert recorded.started == []


def test_jobs_run_side_by_side_in_greenlets_that_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refetching, "_MOST_IDLE", 3)
    crew = Crew()
    ran: list[object] = []

    def job() -> None:
        gevent.sleep(0.001)
        ran.append(gevent.getcurrent())

    for _ in range(10):
        crew.run(job)
    gevent.sleep(0.05)
    assert len(set(ran)) == 10
    for _ in range(6):
        crew.run(job)
        gevent.sleep(0.01)
    assert len(set(ran)) == 10
    assert len(set(ran[10:])) == 1
