"""Rooms: who is a member of which, and when; and what is refused."""

import re
import tomllib
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.protocols.catalogue import BUILT_IN
from chatswarm.loadtests.protocols.promises import Promises
from chatswarm.loadtests.scenario.rooms import (
    MembersError,
    MembershipChange,
    Memberships,
    Rooms,
    Senders,
    members_by_name,
    memberships_of,
    of_rows,
)
from chatswarm.loadtests.scenario.scenario import Scenario, ScenarioError, parse

ALWAYS = (-np.inf, np.inf)


def rows(of: Memberships) -> list[tuple[int, int, float, float]]:
    columns = (of.room, of.dashboard, of.start, of.stop)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@st.composite
def drawn(draw: st.DrawFn, kinds: tuple[Senders, ...] = ("widgets", "members")) -> tuple[Rooms, int, int]:
    """Rooms whose changes can be made, with a number of dashboards and of senders."""
    dashboards = draw(st.integers(1, 12))
    members = draw(st.none() | st.integers(1, dashboards))
    rooms = Rooms(draw(st.integers(1, 9)), members, draw(st.sampled_from(kinds)))
    senders = draw(st.integers(1, min(dashboards, rooms.count * (members or dashboards))))
    step = st.tuples(st.sampled_from([1.0, 2.0, 3.0]), st.integers(0, 6), st.integers(0, 6))
    for change in draw(st.lists(step, max_size=3)):
        more = replace(rooms, changes=(*rooms.changes, MembershipChange(*change)))
        rooms = rooms if more.problems(dashboards, senders) else more
    return rooms, dashboards, senders


@settings(deadline=None)
@given(drawn(), st.integers(0, 5))
def test_rooms_have_their_size_and_are_the_same_for_the_same_seed(made: tuple[Rooms, int, int], seed: int) -> None:
    rooms, dashboards, senders = made
    of = memberships_of(rooms, dashboards, seed, senders)
    assert rows(of) == rows(memberships_of(rooms, dashboards, seed, senders))
    size = dashboards if rooms.members is None else rooms.members
    assert [len(of.at_start(room)) for room in range(rooms.count)] == [size] * rooms.count
    assert 0 <= of.dashboard.min() <= of.dashboard.max() < dashboards


@settings(deadline=None)
@given(drawn())
def test_everybody_has_as_many_rooms_as_any_other_and_the_first_have_those_left_over(
    made: tuple[Rooms, int, int],
) -> None:
    rooms, dashboards, senders = made
    of = memberships_of(rooms, dashboards, 1, senders)
    at_start = Counter(int(dashboard) for room in range(rooms.count) for dashboard in of.at_start(room))
    counts = [at_start[dashboard] for dashboard in range(dashboards)]
    assert counts == sorted(counts, reverse=True)
    assert max(counts) - min(counts) <= 1


@settings(deadline=None)
@given(drawn())
def test_changes_are_made_in_full_and_no_pair_changes_twice(made: tuple[Rooms, int, int]) -> None:
    rooms, dashboards, senders = made
    of = memberships_of(rooms, dashboards, 3, senders)
    assert len({row[:2] for row in rows(of)}) == len(of)
    assert all(start == -np.inf or stop == np.inf for _, _, start, stop in rows(of))
    for at in (1.0, 2.0, 3.0):
        asked = [change for change in rooms.changes if change.at == at]
        assert np.count_nonzero(of.start == at) == sum(change.join for change in asked)
        assert np.count_nonzero(of.stop == at) == sum(change.leave for change in asked)


@settings(deadline=None)
@given(drawn(("members",)))
def test_members_who_send_have_a_room_and_never_leave_it(made: tuple[Rooms, int, int]) -> None:
    rooms, dashboards, senders = made
    of = memberships_of(rooms, dashboards, 4, senders)
    assert all((of.stop[of.dashboard == sender] == np.inf).all() for sender in range(senders))
    for sender in range(senders):
        own = of.throughout(sender)
        assert [rooms.of_sender(sender, n, of) for n in range(len(own) + 1)] == [*own, own[0]]


@settings(deadline=None)
@given(drawn())
def test_places_audiences_and_rooms_of_a_dashboard_are_those_of_a_naive_search(made: tuple[Rooms, int, int]) -> None:
    rooms, dashboards, senders = made
    of = memberships_of(rooms, dashboards, 5, senders)
    every = rows(of)
    pairs = np.array([(room, dashboard) for room in range(rooms.count) for dashboard in range(-1, dashboards + 2)])
    found = of.place(pairs[:, 0], pairs[:, 1])
    assert [every[at][:2] if at >= 0 else None for at in found.tolist()] == [
        pair if pair in {row[:2] for row in every} else None for pair in map(tuple, pairs.tolist())
    ]
    for dashboard in range(dashboards + 1):
        assert of.of_dashboard(dashboard) == [(room, *span) for room, who, *span in every if who == dashboard]
    for room in range(rooms.count):
        for at in (0.0, 1.5, 4.0, 9.0):
            assert of.audience(room, at, 0.5).tolist() == [
                who for its, who, start, stop in every if its == room and start + 2 <= at <= stop - 2.5
            ]


def test_another_seed_gives_other_members() -> None:
    rooms = Rooms(4, 5)
    assert rows(memberships_of(rooms, 30, 1, 1)) != rows(memberships_of(rooms, 30, 2, 1))


def test_a_membership_must_show_only_what_it_had_the_time_to_show() -> None:
    of = of_rows(1, [(0, 0, *ALWAYS), (0, 1, 10.0, np.inf), (0, 2, -np.inf, 10.0)])
    expected = {5.0: [0, 2], 6.0: [0, 2], 6.1: [0], 11.9: [0], 12.0: [0, 1]}
    assert {at: of.audience(0, at, 2.0).tolist() for at in expected} == expected
    assert of.change
    assert not of_rows(1, [(0, 0, *ALWAYS)]).change


def test_nobody_in_any_room() -> None:
    of = of_rows(2, [])
    assert (len(of), of.at_start(1), of.of_dashboard(0), of.place(np.array([1]), np.array([0])).tolist()) == (
        0, [], [], [-1],
    )  # fmt: skip


def test_a_widget_sends_into_one_room() -> None:
    rooms = Rooms(3)
    of = memberships_of(rooms, 2, 1, 5)
    assert [rooms.of_sender(widget, n, of) for widget in (0, 2, 4) for n in (0, 1)] == [0, 0, 2, 2, 1, 1]


def test_a_sender_without_a_room_for_the_whole_run_has_none() -> None:
    of = of_rows(1, [(0, 0, -np.inf, 5.0)])
    assert Rooms(1, senders="members").of_sender(0, 0, of) == -1


def test_members_by_name() -> None:
    assert members_by_name({"a": ["zoe", "amy"], "b": [], "c": {"bob"}}, ["amy", "bob", "zoe"]) == [[0, 2], [], [1]]
    fixed = memberships_of(Rooms(2, fixed=(("a", (2, 0)), ("b", (1,)))), 3, 1, 1)
    assert rows(fixed) == [(0, 0, *ALWAYS), (0, 2, *ALWAYS), (1, 1, *ALWAYS)]


@pytest.mark.parametrize(
    ("rooms", "users", "problem"),
    [
        ({}, ["amy"], "rooms: expected at least one, got none"),
        ({"a": ["amy"]}, ["amy", "bob", "amy"], "users: expected each user once, got 'amy' twice"),
        ({"a": ["bo"]}, ["amy"], "room 'a': expected members who are users of dashboards, got 'bo'"),
        ({"a": ["bo", "x"]}, ["amy"], "room 'a': expected members who are users of dashboards, got 'bo' and 1 others"),
        ({"a": ["amy", "amy"]}, ["amy"], "room 'a': expected each member once, got 1 twice"),
    ],
)
def test_lists_of_members_that_are_wrong(rooms: dict[str, list[str]], users: list[str], problem: str) -> None:
    with pytest.raises(MembersError) as caught:
        members_by_name(rooms, users)
    assert caught.value.problems == [problem]


# In a scenario.


def read(text: str, **flags: object) -> Scenario:
    return parse(tomllib.loads(text), "some", "some.toml", flags)


def problems(text: str, **flags: object) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        read(text, **flags)
    return caught.value.problems


def test_rooms_are_read() -> None:
    scenario = read(
        """
        [swarm]
        dashboards = 10
        widgets = 4
        send_over = "socket"
        deflate = false
        [rooms]
        count = 5
        members = 3
        senders = "members"
        [[rooms.change]]
        at = "10s"
        join = 2
        [[rooms.change]]
        at = "20s"
        leave = 1
        """
    )
    changes = (MembershipChange(10, 2, 0), MembershipChange(20, 0, 1))
    assert scenario.rooms == Rooms(5, 3, "members", changes)
    assert (scenario.send_over, scenario.deflate) == ("socket", False)
    assert parse(tomllib.loads(scenario.toml()), "some", "x") == scenario
    plain = read("")
    assert (plain.rooms, plain.send_over, plain.deflate) == (None, None, True)


SMALL = "[swarm]\ndashboards = 10\nwidgets = 4\nduration = '9s'\n[rooms]\n"
CHANGE = "[[rooms.change]]\nat = '3s'\n"
KEPT = "(each changes only once, and those of senders never)"


def test_fixed_lists() -> None:
    some = SMALL.replace("widgets = 4", "widgets = 1")
    scenario = read(f"{some}senders = 'members'\nfixed = {{ general = [0, 9], 'b c' = [1, 2] }}")
    assert scenario.rooms is not None
    assert scenario.rooms.fixed == (("general", (0, 9)), ("b c", (1, 2)))
    assert (scenario.rooms.count, scenario.rooms.members) == (2, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("fixed = {}", "rooms.fixed: expected a table of rooms"),
        ('fixed = { a = ["amy"] }', "rooms.fixed: expected a table of rooms"),
        ("fixed = { a = [true] }", "rooms.fixed: expected a table of rooms"),
        ("fixed = { a = [10] }", "fixed: room 'a': expected dashboards from 0 to 9, got 10"),
        ("fixed = { a = [1, 1] }", "fixed: room 'a': expected each dashboard once"),
        ("fixed = { a = [0] }\ncount = 2", "rooms.count: expected either fixed or this, not both, got 2"),
        ('fixed = { a = [1] }\nsenders = "members"', "a room for each member who sends, got none for dashboard 0"),
        ('fixed = { a = [1] }\n[[rooms.change]]\nat = "1s"\nleave = 1', "change: expected none"),
    ],
)
def test_fixed_lists_that_are_wrong(text: str, problem: str) -> None:
    assert any(problem in found for found in problems(SMALL.replace("widgets = 4", "widgets = 1") + text))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "rooms.count: expected a value, got none"),
        ("count = 0", "rooms.count: expected a whole number above 0, got 0"),
        ("count = 2\nmembers = 11", "rooms.members: expected at most 10, the number of dashboards, got 11"),
        ("count = 2\nmember = 3", "rooms.member: expected one of"),
        ("count = 2\nsenders = 'robots'", "rooms.senders: expected one of widgets, members, got robots"),
        ("count = 2\nchange = 3", "rooms.change: expected [[change]] tables, got 3"),
        ("count = 2\nchange = [3]", "rooms: change 1: expected a table, got 3"),
        (f"count = 2\n{CHANGE}", "rooms: change 1.join: expected a number of memberships that begin, or of those that"),
        ("count = 2\n[[rooms.change]]\njoin = 1", "rooms: change 1.at: expected a value, got none"),
        ("count = 2\n[[rooms.change]]\nat = '9s'\nleave = 1", "rooms: change 1.at: expected a moment before the end"),
        (
            f"count = 2\nmembers = 5\n{CHANGE}leave = 11",
            f"rooms: the change at 3s: expected at most 10 memberships to end {KEPT}, got 11",
        ),
        # Two rooms have 6 memberships; four members who send have one each.
        (
            f"count = 2\nmembers = 3\nsenders = 'members'\n{CHANGE}leave = 3",
            f"rooms: the change at 3s: expected at most 2 memberships to end {KEPT}, got 3",
        ),
        (
            f"count = 2\nmembers = 3\n{CHANGE}join = 14\n{CHANGE}join = 1",
            "rooms: the change at 3s: expected at most 0 memberships to begin, the free pairs of a room and a",
        ),
        (f"count = 2\n{CHANGE}join = 1", "rooms: the change at 3s: expected at most 0 memberships to begin"),
        (
            "count = 3\nmembers = 1\nsenders = 'members'",
            "rooms: expected at least 4 memberships (count × members), one for each sender, got 3",
        ),
    ],
)
def test_rooms_that_cannot_be_made_are_refused(text: str, problem: str) -> None:
    found = problems(SMALL + text)
    assert found[0].startswith(f"some.toml: {problem}")


def test_changes_that_can_just_be_met_are_accepted() -> None:
    text = f"{SMALL}count = 2\nmembers = 3\nsenders = 'members'\n{CHANGE}leave = 2\njoin = 14"
    scenario = read(text)
    assert scenario.rooms is not None
    of = memberships_of(scenario.rooms, scenario.dashboards, 1, scenario.widgets)
    assert (len(of), np.isfinite(of.stop).sum(), np.isfinite(of.start).sum()) == (20, 2, 14)


STAGES = "[[stage]]\nfor = '5s'\nrate = 1\ndashboards = 6\n[[stage]]\nfor = '5s'\nrate = 1\ndashboards = 3\n"


def test_with_stages_the_most_dashboards_count_for_members_and_the_fewest_for_members_who_send() -> None:
    rooms = "[rooms]\ncount = 2\nmembers = 6\n"
    assert read(f"swarm.widgets = 9\n{rooms}{STAGES}").rooms == Rooms(2, 6)
    (problem,) = problems(f"swarm.widgets = 4\n{rooms}senders = 'members'\n{STAGES}")
    assert problem == (
        "some.toml: rooms.senders: expected as many dashboards in every stage as members who send (swarm.widgets = 4), "
        "got 3"
    )
    assert "rooms.members: expected at most 6" in problems(f"[rooms]\ncount = 2\nmembers = 7\n{STAGES}")[0]


def test_flags_override_rooms_and_are_named_in_errors() -> None:
    scenario = read(f"{SMALL}count = 2", rooms=3, members=4)
    assert scenario.rooms == Rooms(3, 4)
    assert parse(tomllib.loads(scenario.toml()), "some", "x") == scenario
    assert read("", rooms=3).rooms == Rooms(3)
    assert problems(f"{SMALL}count = 2", members=11) == [
        "--members: expected at most 10, the number of dashboards, got 11"
    ]
    assert problems(f"{SMALL}count = 2", rooms=0) == ["--rooms: expected a whole number above 0, got 0"]
    assert problems("rooms = 5", rooms=3) == ["some.toml: rooms: expected a table, got 5"]
    assert problems("", members=3) == ["some.toml: rooms.count: expected a value, got none"]


# With a protocol.


class Chat:
    """As much of a protocol as a scenario asks about."""

    name = "mine"
    list_window: int | None = None

    def __init__(self, **promises: Any) -> None:
        self.promises = Promises(**promises)


def unfit(text: str, **promises: Any) -> list[str]:
    return read(text).unfit_for(Chat(**promises))  # type: ignore[arg-type]


def test_rooms_need_a_chat_with_rooms() -> None:
    (problem,) = unfit(f"{SMALL}count = 2")
    assert problem == (
        "some: rooms: expected none (or another --protocol), because the protocol mine has no rooms, got 2"
    )
    assert unfit(f"{SMALL}count = 2", has_rooms=True) == []


def test_a_part_of_the_dashboards_as_members_needs_a_chat_with_members() -> None:
    text = f"{SMALL}count = 2\nmembers = 3"
    (problem,) = unfit(text, has_rooms=True, joins_rooms=False)
    shows = "because the protocol mine shows every room to everybody"
    assert problem == f"some: rooms.members: expected 10, {shows}, got 3"
    assert unfit(text, has_rooms=True, joins_rooms=False, has_members=True) == []
    assert unfit(f"{SMALL}count = 2\nmembers = 10", has_rooms=True, joins_rooms=False) == []


def test_where_a_room_is_shown_to_those_who_join_any_number_may_join() -> None:
    assert unfit(f"{SMALL}count = 2\nmembers = 3", has_rooms=True) == []


def test_members_who_change_need_a_chat_with_members_who_change() -> None:
    text = f"{SMALL}count = 2\n{CHANGE}leave = 1"
    assert unfit(text, has_rooms=True, has_members=True) == []
    for promised in ({}, {"has_members": True, "members_change": False}):
        (problem,) = unfit(text, has_rooms=True, **promised)
        assert problem.startswith("some: rooms.change: expected none, because the members of a room do not change")


def test_where_a_connection_has_one_room_each_dashboard_has_one() -> None:
    one = {"has_rooms": True, "one_room": True}
    assert unfit(f"{SMALL}count = 2\nmembers = 5", **one) == []
    assert unfit(f"{SMALL}count = 1", **one) == []
    for rooms in ("count = 2", "count = 2\nmembers = 4", "count = 3\nmembers = 5"):
        (problem,) = unfit(f"{SMALL}{rooms}", **one)
        assert "rooms: expected each dashboard to be a member of one room" in problem


def test_more_rooms_than_the_chat_has_are_refused() -> None:
    assert unfit(f"{SMALL}count = 2", has_rooms=True, most_rooms=2) == []
    (problem,) = unfit(f"{SMALL}count = 3", has_rooms=True, most_rooms=2)
    assert problem.startswith("some: rooms.count: expected at most 2, as many as there are with the protocol mine, got")


def test_more_messages_than_a_user_may_send_are_refused() -> None:
    text = "swarm.widgets = 4\nswarm.rate = 8"
    assert unfit(text, sends_per_user=2.0) == []
    (problem,) = unfit(text, sends_per_user=1.9)
    assert problem == (
        "some: swarm.rate: expected at most 7.6 for 4 senders, because a user of the protocol mine may send 1.9 "
        "messages/s, got 8"
    )


def test_sends_over_the_socket_need_a_chat_that_takes_them() -> None:
    text = "swarm.send_over = 'socket'"
    assert unfit(text) == [
        "some: swarm.send_over: expected http, because that is how the protocol mine sends, got socket"
    ]
    assert unfit(text, sends_over=("http", "socket")) == []
    assert unfit("", sends_over=("socket",)) == [], "what the scenario does not say is as the chat does it"


def test_a_list_window_is_only_for_chats_with_a_list() -> None:
    (problem,) = unfit("swarm.list_window = 5", visible="frame")
    assert problem.startswith("some: swarm.list_window: expected none, because dashboards of the protocol mine")


SILENCE = """
[swarm]
duration = "20s"
drain = "5s"
[[fault]]
kind = "{}"
at = "4s"
for = "2s"
{}
"""


@pytest.mark.parametrize(
    ("kind", "more", "silent"),
    [
        ("timeout", "on = 'sockets'", True),
        ("timeout", "on = 'everything'\nstream = 'both'", True),
        ("timeout", "on = 'refetches'", False),
        ("timeout", "on = 'sockets'\nstream = 'upstream'", False),
        ("timeout", "on = 'sockets'\ntimeout = '1s'", False),
        ("pause", "", True),
        ("pause", "on = 'worker'", True),
        ("pause", "on = 'broker'", False),
        ("down", "on = 'sockets'", False),
    ],
)
def test_a_run_that_ends_before_a_silence_can_be_noticed_is_refused(kind: str, more: str, silent: bool) -> None:
    text = SILENCE.format(kind, more)
    assert unfit(text) == unfit(text, dead_after=20.9) == []
    found = unfit(text, dead_after=21.0)
    assert bool(found) == silent
    if silent:
        assert re.search(rf"fault {kind}: expected more than 21s from its start .* protocol mine .*, got 21s", found[0])


def test_the_last_occurrence_of_a_fault_must_leave_the_time_to_notice_it() -> None:
    text = SILENCE.format("pause", "every = '6s'")
    assert unfit(text, dead_after=8.9) == []
    assert "got 9s" in unfit(text, dead_after=9.0)[0]


def test_a_chat_with_rooms_has_one_for_everybody_if_the_scenario_has_none() -> None:
    rooms = Promises(has_rooms=True)
    assert read("").rooms_for(Promises()) is None
    assert read("").memberships_for(Promises(), 1) is None
    assert read("").rooms_for(rooms) == Rooms(1)
    assert read(f"{SMALL}count = 2").rooms_for(rooms) == Rooms(2)
    everybody = read("swarm.dashboards = 4").memberships_for(rooms, 1)
    assert everybody is not None
    assert rows(everybody) == [(0, dashboard, *ALWAYS) for dashboard in range(4)]


def test_without_a_target_the_scenario_says_which_protocol_is_spoken() -> None:
    assert read("").own_protocol == "reference"
    assert read("backend.push = true").own_protocol == "push"
    assert read("backend.push = false").own_protocol == "reference"
    assert {"reference", "push"} <= BUILT_IN.keys()
