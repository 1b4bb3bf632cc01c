"""What frames with texts made visible: the first frame of a message on each dashboard that must show it."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.history.tables import Sighting
from chatswarm.loadtests.protocols.promises import Promises
from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.scenario.rooms import Memberships, of_rows
from chatswarm.loadtests.swarm.live.buckets import DeliveryCounts
from chatswarm.loadtests.swarm.live.frames_by_text import FramesByText
from chatswarm.loadtests.swarm.live.live_audience import LiveAudience

T0 = 1000.0
ALWAYS = (-np.inf, np.inf)
LIVE, REPLAYED, READ = Sighting


class Seen(NamedTuple):
    """A frame of an announcement on a dashboard, `time` seconds after T0."""

    announcement: int
    dashboard: int
    time: float


def intended(widget: int, n: int) -> float | None:
    """Two widgets, each with three messages, a second apart."""
    return T0 + n + widget / 2 if widget < 2 and n < 3 else None


def frames(memberships: Memberships | None = None, senders: str = "widgets", *, echoes: bool = True) -> FramesByText:
    table = {"swarm": {"dashboards": 4, "widgets": 2, "update_target": "1s"}}
    if memberships is not None:
        table["rooms"] = {"count": memberships.rooms, "senders": senders}
    plan = scenario.parse(table, "some", "some")
    promised = Promises(visible="frame", has_rooms=memberships is not None, echoes=echoes)
    return FramesByText(LiveAudience(plan, promised, memberships), 4, 1.0, intended)


def take(of: FramesByText, *seen: Seen, keep: bool = True) -> list[float]:
    announcement, dashboard, time = (np.array(column) for column in zip(*seen, strict=True))
    return list(map(float, of.take(announcement, dashboard, T0 + time, T0, keep=keep).round(6)))


def summary(rows: list[DeliveryCounts]) -> list[tuple[int, int, int, float]]:
    return [(row.widget, row.n, sum(row.counts), round(row.seconds, 6)) for row in rows]


def test_only_the_first_frame_of_a_message_on_a_dashboard_makes_it_visible() -> None:
    of = frames()
    of.announce(0, 1, LIVE)
    of.announce(0, 1, REPLAYED)
    assert take(of, Seen(0, 0, 1.1), Seen(0, 2, 1.2), Seen(0, 0, 1.3)) == [0.1, 0.2]
    assert take(of, Seen(1, 0, 1.4), Seen(1, 3, 1.5)) == [0.5]
    visible, notified = of.deliveries()
    assert summary(visible) == summary(notified) == [(0, 1, 3, 0.8)]
    assert of.deliveries() == ([], [])


def test_frames_that_are_nobodys_or_on_no_dashboard_make_nothing_visible() -> None:
    of = frames()
    for widget, n in ((-1, -1), (2, 0), (0, 3), (0, 0)):
        of.announce(widget, n, LIVE)
    assert take(of, Seen(0, 0, 1), Seen(1, 0, 1), Seen(2, 0, 1), Seen(3, -1, 1), Seen(3, 4, 1)) == []
    assert take(of, Seen(3, 1, 1)) == [1.0]


@pytest.mark.parametrize("members", [None, of_rows(1, [(0, 0, *ALWAYS)])])
def test_frames_that_are_nobodys_may_come_before_all_others(members: Memberships | None) -> None:
    of = frames(members)
    of.announce(-1, -1, LIVE)
    assert take(of, Seen(0, 0, 1)) == []
    of.announce(0, 0, LIVE)
    assert take(of, Seen(0, 0, 1), Seen(1, 0, 1)) == [1.0]


def test_a_frame_to_a_stranger_makes_nothing_visible() -> None:
    of = frames(of_rows(2, [(0, 0, *ALWAYS), (0, 1, *ALWAYS), (1, 1, *ALWAYS), (1, 3, *ALWAYS)]))
    of.announce(0, 0, LIVE)
    of.announce(1, 0, LIVE)
    every = [Seen(announcement, dashboard, 1.0) for announcement in (0, 1) for dashboard in range(4)]
    assert take(of, *every) == [1.0, 1.0, 0.5, 0.5]
    assert take(of, *every[::-1], Seen(0, 0, 2.0)) == []
    assert summary(of.deliveries()[0]) == [(0, 0, 2, 2.0), (1, 0, 2, 1.0)]


def test_a_member_that_leaves_or_has_just_come_need_not_show_a_message() -> None:
    of = frames(of_rows(1, [(0, 0, *ALWAYS), (0, 1, -np.inf, 4.0), (0, 2, 0.0, np.inf)]))
    for n in range(3):
        of.announce(0, n, LIVE)
    every = [Seen(n, dashboard, 3.0) for n in range(3) for dashboard in range(3)]
    assert take(of, *every) == [3.0, 3.0, 2.0, 2.0, 1.0, 1.0]
    assert [row[2] for row in summary(of.deliveries()[0])] == [2, 2, 2]


def test_a_sender_s_own_message_counts_only_if_it_is_echoed() -> None:
    for echoes, expected in ((True, [0.5, 0.5]), (False, [0.5])):
        of = frames(of_rows(1, [(0, 0, *ALWAYS), (0, 1, *ALWAYS)]), "members", echoes=echoes)
        of.announce(1, 0, LIVE)
        assert take(of, Seen(0, 0, 1.0), Seen(0, 1, 1.0)) == expected


def test_what_a_read_showed_is_visible_but_not_notified() -> None:
    of = frames()
    of.announce(0, 0, READ)
    of.announce(0, 0, LIVE)
    take(of, Seen(0, 0, 0.5), Seen(1, 1, 0.25), Seen(1, 0, 0.75))
    visible, notified = of.deliveries()
    assert (summary(visible), summary(notified)) == ([(0, 0, 2, 0.75)], [(0, 0, 1, 0.25)])


def test_nothing_is_kept_if_nobody_watches() -> None:
    of = frames()
    of.announce(0, 0, LIVE)
    assert take(of, Seen(0, 0, 0.5), keep=False) == [0.5]
    assert of.deliveries() == ([], [])


def test_before_the_start_is_known_no_message_is_visible() -> None:
    table = {"swarm": {"dashboards": 4, "widgets": 2}}
    of = FramesByText(LiveAudience(scenario.parse(table, "some", "some")), 4, 1.0, lambda *_: math.inf)
    of.announce(0, 0, LIVE)
    assert take(of, Seen(0, 0, 0.5)) == []


@pytest.mark.parametrize("members", [None, of_rows(2, [(0, 0, *ALWAYS), (0, 2, *ALWAYS), (1, 2, *ALWAYS)])])
@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2), st.sampled_from(Sighting)), min_size=1, max_size=8),
    st.lists(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3)), min_size=1), max_size=4),
)
def test_deliveries_are_those_of_a_naive_count(
    members: Memberships | None, announced: list[tuple[int, int, Sighting]], batches: list[list[tuple[int, int]]]
) -> None:
    of = frames(members)
    for widget, n, how in announced:
        of.announce(widget, n, how)
    seen: set[tuple[int, int, int]] = set()
    clock = 10
    for batch in batches:
        made = [Seen(number % len(announced), dashboard, clock + at) for at, (number, dashboard) in enumerate(batch)]
        clock += len(batch)
        expected = []
        for frame in made:
            widget, n, _ = announced[frame.announcement]
            audience = range(4) if members is None else members.audience(widget, 0.0, 1.0).tolist()
            if frame.dashboard in audience and (widget, n, frame.dashboard) not in seen:
                seen.add((widget, n, frame.dashboard))
                expected.append(frame.time - n - widget / 2)
        assert take(of, *made) == expected
