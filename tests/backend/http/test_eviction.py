"""Promise 8: which connection is late and which is to go, and how many fit; on literal inputs."""

from __future__ import annotations

import pytest

from chatswarm.backend.http.capacity import Capacity, share
from chatswarm.backend.http.eviction import EvictionQueue


def lobby() -> EvictionQueue[str]:
    return EvictionQueue(request_timeout=10, waiting_timeout=75)


class TestNextToGo:
    def test_nobody_is_there(self) -> None:
        assert lobby().next_to_go() is None

    def test_the_oldest_without_a_request_goes_first_then_the_longest_idle(self) -> None:
        it = lobby()
        for now, name in enumerate(("idle longer", "new", "idle", "newer")):
            it.arrive(name, now)
        for now, name in enumerate(("idle longer", "idle"), 10):
            it.whole(name)
            it.wait(name, now)
        gone = []
        while (found := it.next_to_go()) is not None:
            gone.append(found)
            it.leave(found[0])
        assert gone == [("new", "newcomer"), ("newer", "newcomer"), ("idle longer", "idle"), ("idle", "idle")]

    def test_one_that_waits_for_our_answer_never_goes(self) -> None:
        it = lobby()
        it.arrive("a", 0)
        it.whole("a")
        assert it.next_to_go() is None
        assert it.late(1000) == []
        it.wait("a", 5)
        it.begin("a", 6)
        it.whole("a")
        assert it.next_to_go() is None

    def test_the_one_that_asked_last_is_the_last_to_go(self) -> None:
        it = lobby()
        for name in ("a", "b"):
            it.arrive(name, 0)
            it.wait(name, 0)
        it.begin("a", 1)
        assert it.next_to_go() == ("b", "idle")


class TestLate:
    def test_a_first_request_is_due_from_the_connect(self) -> None:
        it = lobby()
        it.arrive("a", 0)
        it.begin("a", 9)
        it.arrive("b", 5)
        assert it.late(9.9) == []
        assert it.late(10) == [("a", "request")]
        assert it.late(15) == [("a", "request"), ("b", "request")]

    def test_a_further_one_is_due_from_its_first_part(self) -> None:
        it = lobby()
        it.arrive("a", 0)
        it.whole("a")
        it.wait("a", 1)
        assert it.late(50) == []
        it.begin("a", 60)
        it.begin("a", 69)
        assert it.late(69.9) == []
        assert it.late(70) == [("a", "request")]

    def test_one_that_takes_no_answer_is_given_as_long_as_an_idle_one(self) -> None:
        it = lobby()
        it.arrive("a", 0)
        it.whole("a")
        it.wait("a", 1)
        assert it.late(75.9) == []
        assert it.late(76) == [("a", "answer")]

    def test_one_that_has_left_is_not_late(self) -> None:
        it = lobby()
        it.arrive("a", 0)
        it.arrive("b", 0)
        it.wait("b", 0)
        it.begin("b", 0)
        it.leave("a")
        it.leave("b")
        it.leave("b")
        assert it.late(1000) == []


@pytest.mark.parametrize(
    ("files", "dashboards", "http", "room"),
    [
        # As many of each as are asked for, where there are open files enough.
        (1 << 20, 16_000, None, Capacity(1_048_512, 16_000, 16_000)),
        (1 << 20, 16_000, 500, Capacity(1_048_512, 16_000, 500)),
        (1 << 20, 10, None, Capacity(1_048_512, 10, 1000)),
        # Together they never get more than there are; the list can be read whatever the dashboards take.
        (20_000, 16_000, None, Capacity(19_936, 16_000, 16_000)),
        (1024, 16_000, None, Capacity(960, 840, 960)),
        (1024, 16_000, 100, Capacity(960, 840, 100)),
        (100, 16_000, None, Capacity(50, 44, 50)),
    ],
)
def test_room_is_shared_between_dashboards_and_http(
    files: int, dashboards: int, http: int | None, room: Capacity
) -> None:
    assert share(files, dashboards, http) == room
