"""Which room each message goes to, who is a member when, and who reads a room at the end."""

from typing import Any

import pytest

from chatswarm.loadtests.protocols.push import Push
from chatswarm.loadtests.protocols.reference import Reference
from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.scenario.rooms import Memberships, Rooms, of_rows
from chatswarm.loadtests.swarm.run_rooms import OwnRoom, RunRooms

INF = float("inf")


def planned(protocol: Any = Push, **rooms: Any) -> RunRooms | None:
    table: dict[str, Any] = {"swarm": {"dashboards": 6, "widgets": 4, "rate": 1, "duration": "20s"}}
    if rooms:
        table["rooms"] = rooms
    return RunRooms.planned(scenario.parse(table, "some", "some"), protocol().promises, 1)


def of(*rows: tuple[int, int, float, float], count: int = 2, **options: Any) -> RunRooms:
    memberships: Memberships = of_rows(count, rows)
    return RunRooms(Rooms(count, **options), memberships, [f"id-{room}" for room in range(count)])


def test_a_chat_without_rooms_has_none_and_one_with_rooms_has_at_least_one_for_everybody() -> None:
    assert planned(Reference) is None
    rooms = planned()
    assert rooms is not None
    assert rooms.memberships.at_start(0) == list(range(6))


def test_every_process_plans_the_same() -> None:
    first, second = (planned(count=3, members=2) for _ in range(2))
    assert first is not None
    assert second is not None
    assert [first.memberships.at_start(room) for room in range(3)] == [
        second.memberships.at_start(room) for room in range(3)
    ]


def test_a_widget_sends_into_one_room_of_which_it_is_a_member() -> None:
    rooms = planned(count=3)
    assert rooms is not None
    for widget in range(4):
        (room,) = {rooms.of_sender(widget, n) for n in range(10)}
        assert widget in rooms.senders(room, 4)
    assert sorted(widget for room in range(3) for widget in rooms.senders(room, 4)) == [0, 1, 2, 3]


def test_a_member_sends_into_its_own_lasting_rooms_in_turn() -> None:
    rooms = of((0, 0, -INF, INF), (1, 0, -INF, INF), (2, 0, 5.0, INF), (2, 1, -INF, 9.0), count=3, senders="members")
    assert [rooms.of_sender(0, n) for n in range(4)] == [0, 1, 0, 1]
    assert rooms.of_sender(1, 0) == -1, "its only room ends"
    assert list(rooms.senders(0, 4)) == []


def test_a_dashboards_rooms_have_the_ids_that_the_target_gave() -> None:
    rooms = of((0, 1, -INF, INF), (1, 1, 5.0, INF))
    assert rooms.of_dashboard(1) == [OwnRoom("id-0", -INF, INF), OwnRoom("id-1", 5.0, INF)]
    assert rooms.of_dashboard(0) == rooms.of_dashboard(7) == []


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(0, 0, -INF, INF), (0, 1, -INF, INF), (1, 1, -INF, INF)], {"id-0": [0, 1], "id-1": [1]}),
        ([(0, 0, -INF, 9.0), (0, 2, -INF, INF), (1, 2, 3.0, INF)], {"id-0": [2], "id-1": [2]}),
        ([(0, 0, -INF, 9.0)], {}),
    ],
)
def test_who_is_a_member_at_the_end(rows: list[tuple[int, int, float, float]], expected: dict[str, list[int]]) -> None:
    assert of(*rows).lasting_members() == expected
