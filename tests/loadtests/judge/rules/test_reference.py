"""The rules' relations of times and sets against slow loops that are obviously right, on generated runs."""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.history.tables import ConnectionEvent
from chatswarm.loadtests.judge.checks import CHECKS
from chatswarm.loadtests.judge.judge import judged
from chatswarm.loadtests.judge.ledger.due import GRACE
from chatswarm.loadtests.judge.rules import connections, lists, store
from chatswarm.loadtests.judge.rules.cases import Cases, cases_of
from chatswarm.loadtests.judge.rules.claims import Claim
from chatswarm.loadtests.judge.rules.facts import Facts
from chatswarm.loadtests.judge.rules.patterns import every, one_dashboard
from tests.loadtests.judge.play import T0, Plant, Play
from tests.loadtests.judge.test_ledger_reference import EXAMPLES

Identity = tuple[int, int]


@dataclass(frozen=True)
class World:
    """What was generated: what went wrong with messages, and when connections were lost and refetches failed."""

    plants: dict[Identity, Plant]
    lost: dict[int, tuple[float, float | None]]  # by dashboard: lost when, and back when
    failing: dict[int, tuple[float, float]]  # by dashboard: from when until when its refetches get a 500


PLANTS = st.builds(
    Plant,
    stored=st.sampled_from([1, 1, 1, 0]),
    unseen_by=st.sets(st.integers(0, 2)),
    no_frame_on=st.sets(st.integers(0, 2)),
)
MOMENTS = st.sampled_from([0.6, 1.1, 2.02, 2.3, 3.55, 4.4])
WORLDS = st.builds(
    World,
    plants=st.dictionaries(st.tuples(st.integers(0, 1), st.integers(0, 5)), PLANTS, max_size=6),
    lost=st.dictionaries(st.integers(0, 2), st.tuples(MOMENTS, st.sampled_from([None, 0.1, 1.0]))),
    failing=st.dictionaries(st.integers(0, 2), st.tuples(MOMENTS, st.sampled_from([0.5, 20.0]))),
)


def acted(world: World, folder: Path) -> Play:
    """The run. A dashboard that is gone gets no frames and does not refetch until it is back."""
    play = Play(folder, dashboards=3, plants=world.plants).perform()
    rows = play.rows["worker0"]
    for dashboard, (gone, after) in world.lost.items():
        back = math.inf if after is None else gone + after

        def away(at: Any, gone: float = gone, back: float = back) -> bool:
            return bool(T0 + gone <= at < T0 + back)

        rows[:] = [
            row for row in rows
            if not (row[0] == "frame" and row[1][0] == dashboard and away(row[1][2]))
            and not (row[0] == "refetch" and row[1][1] == dashboard and away(row[1][2]))
            and not (row[0] == "connection" and row[1][1] == dashboard and row[1][2] == ConnectionEvent.STOPPED)
        ]  # fmt: skip
        play.event(dashboard, dashboard, ConnectionEvent.CLOSED, T0 + gone, 1006)
        if after is not None:
            play.connect(dashboard + 10, dashboard, T0 + back - 0.05)
            play.event(dashboard + 10, dashboard, ConnectionEvent.STOPPED, play.last, 1000)
            for at, (table, values) in enumerate(rows):
                if table == "frame" and values[0] == dashboard and values[2] >= T0 + back:  # type: ignore[operator]
                    rows[at] = (table, (dashboard + 10, *values[1:]))
    for dashboard, (begin, length) in world.failing.items():
        for at, (table, values) in enumerate(rows):
            inside = table == "refetch" and values[1] == dashboard and T0 + begin <= values[2] < T0 + begin + length  # type: ignore[operator]
            if inside:
                rows[at] = (table, (*values[:4], 500, -1, *values[6:]))
    return play


@dataclass(frozen=True)
class Slow:
    """The same run, row by row."""

    play: Play
    done: dict[Identity, float]
    sent: dict[Identity, float]

    @staticmethod
    def of(play: Play) -> "Slow":
        sends = [values for table, values in play.rows["worker0"] if table == "send"]
        return Slow(
            play,
            {(values[0], values[1]): values[6] for values in sends},  # type: ignore[misc]
            {(values[0], values[1]): values[5] for values in sends},  # type: ignore[misc]
        )

    def refetches(self, dashboard: int, since: float) -> list[int]:
        """The statuses of the refetches that began from a moment on."""
        return [
            values[4]  # type: ignore[misc]
            for table, values in self.play.rows["worker0"]
            if table == "refetch" and values[1] == dashboard and values[2] >= since  # type: ignore[operator]
        ]

    def spans(self, dashboard: int) -> list[tuple[float, float, bool]]:
        """From when until when each connection was subscribed, and whether the target lost it."""
        spans: dict[int, list[float]] = {}
        ends: dict[int, tuple[float, bool]] = {}
        for table, values in self.play.rows["worker0"]:
            if table != "connection" or values[1] != dashboard:
                continue
            number, event, at = values[0], values[2], values[4]
            if event == ConnectionEvent.SUBSCRIBED:
                spans[number] = [at]  # type: ignore[index,list-item]
            if event in (ConnectionEvent.CLOSED, ConnectionEvent.STOPPED):
                ends[number] = (at, event == ConnectionEvent.CLOSED)  # type: ignore[index,assignment]
        return sorted((start[0], *ends.get(number, (math.inf, False))) for number, start in spans.items())

    def stored(self, message: Identity) -> bool:
        return any((text.widget, text.n) == message for texts in self.play.store.values() for text in texts)


def claimed(claim: Claim | None, pairs: list[tuple[Identity, int]]) -> set[tuple[Identity, int]]:
    return set() if claim is None else {pairs[row] for row in claim.rows.tolist()}


def lost_in(play: Play) -> tuple[Facts, Cases, list[tuple[Identity, int]]]:
    """The lost deliveries: as cases, and in plain words."""
    run = judged(play.write())
    assert run.ledger is not None, run.verdict.reasons
    cases = cases_of(run.ledger, "lost", CHECKS["lost"](run.ledger))
    messages = run.ledger.messages
    pairs = [
        ((int(messages.widget[row]), int(messages.n[row])), int(dashboard))
        for row, dashboard in zip(cases.message, cases.dashboard, strict=True)
    ]
    return Facts(run.ledger, []), cases, pairs


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(WORLDS)
def test_relations_of_lost_deliveries(world: World) -> None:
    with tempfile.TemporaryDirectory() as folder:
        play = acted(world, Path(folder))
        facts, cases, pairs = lost_in(play)
        slow = Slow.of(play)
        good = {pair: slow.refetches(pair[1], slow.done[pair[0]]).count(200) for pair in pairs}
        tried = {pair: len(slow.refetches(pair[1], slow.done[pair[0]])) for pair in pairs}
        assert lists.reads_since(facts, cases, facts.ledger.messages.done[cases.message]).tolist() == list(
            good.values()
        )
        shown = facts.ever_shown
        rows = {pair: int(row) for pair, row in zip(pairs, cases.message, strict=True)}
        assert claimed(store.never_stored(facts, cases), pairs) == {
            pair for pair in pairs if not slow.stored(pair[0]) and not shown[rows[pair]]
        }
        assert claimed(lists.nobody_asked(facts, cases), pairs) == {
            pair for pair in pairs if not tried[pair] and slow.stored(pair[0])
        }
        assert claimed(lists.list_fails(facts, cases), pairs) == {
            pair for pair in pairs if tried[pair] and not good[pair]
        }
        last = {dashboard: slow.spans(dashboard)[-1] for dashboard in range(3)}
        assert claimed(connections.never_reconnected(facts, cases), pairs) == {
            pair
            for pair in pairs
            if last[pair[1]][2] and last[pair[1]][1] <= slow.done[pair[0]] + GRACE and not good[pair]
        }
        assert connections.open_throughout(facts, cases).tolist() == [
            any(start <= slow.sent[message] and end > slow.done[message] for start, end, _ in slow.spans(dashboard))
            for message, dashboard in pairs
        ]


@given(st.integers(2, 9), st.integers(0, 8), st.integers(25, 60), st.booleans())
def test_every_kth_has_no_exception(k: int, first: int, count: int, exception: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        hit = set(range(first % k, count, k))
        if exception and len(hit) > 2:
            hit.remove(sorted(hit)[1])
        plants = {(0, n): Plant(unseen_by={0}) for n in hit}
        play = Play(
            Path(folder), dashboards=1, widgets=1, rate=10, seconds=count / 10, plants=plants, ids=False
        ).perform()
        facts, cases, pairs = lost_in(play)
        assert {message[1] for message, _ in pairs} == hit
        places = np.array(sorted(hit))
        regular = len(hit) >= 5 and len(set(np.diff(places).tolist())) == 1 and places[0] < k <= places[0] + k
        # By three ways to count, as there are no ids.
        regular &= 3 * k / math.comb(count, len(hit)) <= 1e-6
        found = every(facts, cases)
        assert (found is not None) == (regular and not (exception and len(hit) > 2))
        if found is not None:
            assert found.k == k


def test_one_dashboard_needs_more_than_chance(tmp_path: Path) -> None:
    """Twelve losses on one of four dashboards are hardly chance; six may be."""
    for count, certain in ((14, True), (6, False)):
        plants = {(widget, n): Plant(unseen_by={2}) for widget in range(2) for n in range(1, 1 + count // 2)}
        play = Play(tmp_path / str(count), dashboards=4, rate=8, seconds=10, plants=plants)
        facts, cases, _ = lost_in(play.perform())
        assert (one_dashboard(facts, cases) is not None) == certain
