"""Who must show a message, for the live figures: the same, counted for a message or asked for a delivery."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.protocols.promises import Promises
from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.scenario.rooms import of_rows
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.swarm.live.live_audience import LiveAudience

ROOMS = Promises(visible="frame", has_rooms=True, has_members=True)


def planned(rooms: dict[str, object] | None, *dashboards: int) -> Scenario:
    stages = [{"for": "10s", "rate": 1, "dashboards": count} for count in dashboards]
    more: dict[str, object] = {} if rooms is None else {"rooms": rooms}
    return scenario.parse({"swarm": {"widgets": 2, "update_target": "1s"}, "stage": stages, **more}, "some", "some")


def shown(of: LiveAudience, key: tuple[int, int], at: float, dashboards: int) -> list[int]:
    """The dashboards that must show a message, as deliveries are asked for."""
    every = np.arange(-1, dashboards + 1)
    kept = of.must_show([(-1, -1), key], np.ones(len(every), np.int64), np.full(len(every), at), every)
    return list(map(int, every[1:-1] if kept is None else every[kept]))


def test_without_rooms_all_planned_dashboards_must() -> None:
    of = LiveAudience(planned(None, 3, 3))
    assert (of.simple, of.room(0, 0), of.count(0, 0, 5.0), shown(of, (0, 0), 5.0, 3)) == (True, -1, 3, [0, 1, 2])
    of = LiveAudience(planned(None, 3, 2))
    for at, there in ((8.9, [0, 1, 2]), (9.1, [0, 1]), (15.0, [0, 1])):
        assert (of.simple, of.count(0, 0, at), [each for each in shown(of, (0, 0), at, 3) if each >= 0]) == (
            False, len(there), there,
        )  # fmt: skip


def test_a_chat_with_rooms_has_one_for_everybody_if_the_scenario_has_none() -> None:
    of = LiveAudience(planned(None, 3), ROOMS)
    assert (of.room(1, 5), of.count(1, 5, 0.0), shown(of, (1, 5), 0.0, 3)) == (0, 3, [0, 1, 2])


@pytest.mark.parametrize(("echoes", "others"), [(True, [0, 1, 2]), (False, [1, 2])])
def test_senders_must_show_their_own_messages_only_if_they_are_echoed(echoes: bool, others: list[int]) -> None:
    promises = Promises(has_rooms=True, echoes=echoes)
    of = LiveAudience(planned({"count": 1, "senders": "members"}, 3), promises)
    assert (of.count(0, 0, 5.0), shown(of, (0, 0), 5.0, 3), of.simple) == (len(others), others, echoes)
    of = LiveAudience(planned({"count": 1}, 3), promises)
    assert shown(of, (0, 0), 5.0, 3) == [0, 1, 2]


def test_given_memberships_are_used_instead_of_drawn_ones() -> None:
    always = (-np.inf, np.inf)
    memberships = of_rows(2, [(0, 2, *always), (1, 0, *always), (1, 1, -np.inf, 12.0)])
    of = LiveAudience(planned({"count": 2, "members": 1}, 3), ROOMS, memberships)
    assert [(of.count(widget, 0, 5.0), shown(of, (widget, 0), 5.0, 3)) for widget in (0, 1)] == [(1, [2]), (2, [0, 1])]
    assert (of.count(1, 0, 9.1), shown(of, (1, 0), 9.1, 3)) == (1, [0])


def test_a_sender_without_a_room_reaches_nobody() -> None:
    of = LiveAudience(planned({"count": 2, "senders": "members"}, 3), ROOMS, of_rows(2, [(0, 0, -np.inf, 1.0)]))
    assert (of.room(0, 0), of.count(0, 0, 0.0), shown(of, (0, 0), 0.0, 3)) == (-1, 0, [])


@settings(deadline=None)
@given(st.sampled_from(["widgets", "members"]), st.integers(2, 6), st.integers(2, 6), st.data())
def test_what_is_counted_for_a_message_is_what_is_asked_for_its_deliveries(
    senders: str, one: int, other: int, data: st.DataObject
) -> None:
    change = {"at": "10s", "leave": 0, "join": data.draw(st.integers(1, 2))}
    rooms = {
        "count": 4,
        "members": data.draw(st.integers(1, max(one, other) - 1)),
        "senders": senders,
        "change": [change],
    }
    of = LiveAudience(planned(rooms, one, other), Promises(has_rooms=True, echoes=data.draw(st.booleans())))
    key = data.draw(st.tuples(st.integers(0, 1), st.integers(0, 5)))
    at = data.draw(st.integers(0, 20))
    assert len(shown(of, key, at, max(one, other))) == of.count(*key, at)
