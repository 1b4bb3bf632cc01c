"""Promise 8: which connections are overdue, which is evicted, and how many fit; on literal inputs."""

from __future__ import annotations

import pytest

from chatswarm.backend.http.capacity import Capacity, allocate
from chatswarm.backend.http.eviction import EvictionQueue


def eviction_queue() -> EvictionQueue[str]:
    return EvictionQueue(request_timeout=10, waiting_timeout=75)


class TestEvictionCandidate:
    def test_no_connections(self) -> None:
        assert eviction_queue().eviction_candidate() is None

    def test_the_oldest_without_a_request_is_first_then_the_longest_idle(self) -> None:
        it = eviction_queue()
        for now, name in enumerate(("idle longer", "new", "idle", "newer")):
            it.add(name, now)
        for now, name in enumerate(("idle longer", "idle"), 10):
            it.request_complete(name)
            it.wait_for_client(name, now)
        gone = []
        while (found := it.eviction_candidate()) is not None:
            gone.append(found)
            it.remove(found[0])
        assert gone == [("new", "newcomer"), ("newer", "newcomer"), ("idle longer", "idle"), ("idle", "idle")]

    def test_one_that_is_being_served_is_never_evicted(self) -> None:
        it = eviction_queue()
        it.add("a", 0)
        it.request_complete("a")
        assert it.eviction_candidate() is None
        assert it.overdue(1000) == []
        it.wait_for_client("a", 5)
        it.request_started("a", 6)
        it.request_complete("a")
        assert it.eviction_candidate() is None

    def test_the_one_with_the_latest_request_is_the_last(self) -> None:
        it = eviction_queue()
        for name in ("a", "b"):
            it.add(name, 0)
            it.wait_for_client(name, 0)
        it.request_started("a", 1)
        assert it.eviction_candidate() == ("b", "idle")


class TestOverdue:
    def test_the_first_request_is_timed_from_the_connection(self) -> None:
        it = eviction_queue()
        it.add("a", 0)
        it.request_started("a", 9)
        it.add("b", 5)
        assert it.overdue(9.9) == []
        assert it.overdue(10) == [("a", "request")]
        assert it.overdue(15) == [("a", "request"), ("b", "request")]

    def test_a_further_request_is_timed_from_its_first_part(self) -> None:
        it = eviction_queue()
        it.add("a", 0)
        it.request_complete("a")
        it.wait_for_client("a", 1)
        assert it.overdue(50) == []
        it.request_started("a", 60)
        it.request_started("a", 69)
        assert it.overdue(69.9) == []
        assert it.overdue(70) == [("a", "request")]

    def test_one_that_does_not_take_its_response_has_as_long_as_an_idle_one(self) -> None:
        it = eviction_queue()
        it.add("a", 0)
        it.request_complete("a")
        it.wait_for_client("a", 1)
        assert it.overdue(75.9) == []
        assert it.overdue(76) == [("a", "answer")]

    def test_one_that_was_removed_is_not_overdue(self) -> None:
        it = eviction_queue()
        it.add("a", 0)
        it.add("b", 0)
        it.wait_for_client("b", 0)
        it.request_started("b", 0)
        it.remove("a")
        it.remove("b")
        it.remove("b")
        assert it.overdue(1000) == []


@pytest.mark.parametrize(
    ("files", "dashboards", "http", "capacity"),
    [
        # As many of each as requested, if there are enough open files.
        (1 << 20, 16_000, None, Capacity(1_048_512, 16_000, 16_000)),
        (1 << 20, 16_000, 500, Capacity(1_048_512, 16_000, 500)),
        (1 << 20, 10, None, Capacity(1_048_512, 10, 1000)),
        # Never more than available in total; HTTP keeps a share whatever the dashboards request.
        (20_000, 16_000, None, Capacity(19_936, 16_000, 16_000)),
        (1024, 16_000, None, Capacity(960, 840, 960)),
        (1024, 16_000, 100, Capacity(960, 840, 100)),
        (100, 16_000, None, Capacity(50, 44, 50)),
    ],
)
def test_open_files_are_divided_between_dashboards_and_http(
    files: int, dashboards: int, http: int | None, capacity: Capacity
) -> None:
    assert allocate(files, dashboards, http) == capacity
