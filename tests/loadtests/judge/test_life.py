"""One message's whole life, looked up in histories that are written by hand, and in generated ones."""

import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from chatswarm.loadtests.history.manifest import PROXY
from chatswarm.loadtests.history.tables import ConnectionEvent, MembershipEvent
from chatswarm.loadtests.judge.ledger import Ledger
from chatswarm.loadtests.judge.life import NotInThisRunError, find_message, life_json, life_of
from chatswarm.loadtests.judge.message_life import (
    LifeConnection,
    LifeFault,
    LifeFrame,
    LifeRefetch,
    LifeSilence,
    LifeStall,
    MessageLife,
    StoredMessage,
)

from .play import DAMAGED, REJECTED, RUN, T0, UNKNOWN, Plant, Play
from .push_play import READ, REPLAYED, PushPlant, PushPlay
from .test_ledger_reference import EXAMPLES, World, acted, ledger_of, worlds
from .test_push_reference import PushWorld, push_worlds
from .test_push_reference import acted as push_acted

# Message n of widget w of the plays is intended at 0.25 + w / 2 + n s. Messages come every 0.5 s.


def life_in(ledger: Ledger, name: str, dashboard: int | None = None, rows: int = 200) -> MessageLife:
    """The life of the message `widget.n`."""
    return life_of(ledger, find_message(ledger, f"{RUN}.{name}"), dashboard, rows)


def near(time: float | None) -> object:
    return pytest.approx(time, abs=1e-5)


class TestWhereListsAreRefetched:
    def test_a_message_that_everybody_sees(self, tmp_path: Path) -> None:
        life = life_in(ledger_of(Play(tmp_path).perform()), "0.2")
        assert (life.uid, life.widget, life.chat, life.process) == ("testrun234.0.2", 0, "chat-0", "worker0")
        assert (life.intended, life.handed, life.sent, life.answered) == (2.25, 2.25, near(2.251), near(2.26))
        assert (life.outcome, life.status, life.accepted, life.served_by) == ("accepted", 200, near(2.26), None)
        assert life.stored == StoredMessage("stored", "chat-0", 3, 1)
        assert (life.visible_by, life.fates, life.left_out) == ("refetch", {"visible": 2}, 0)
        assert (life.faults, life.stalls, life.ends) == ((), (), near(2.3))
        first = life.dashboards[0]
        assert (first.dashboard, first.fate, first.why, first.process) == (0, "visible", "", "worker0")
        assert (first.notified, first.visible) == (near(2.27), near(2.3))
        assert first.frames == (LifeFrame(near(2.27), "live", True, "", ""),)  # type: ignore[arg-type]
        assert first.refetches == (LifeRefetch(near(2.28), near(2.3), 200, True, None),)  # type: ignore[arg-type]
        assert first.connections == (
            LifeConnection(-2.0, -1.95, None, None, None, "", near(11), "stopped", 1000, "", None),  # type: ignore[arg-type]
        )

    def test_what_one_dashboard_never_shows_comes_first_with_the_refetches_that_lack_it(self, tmp_path: Path) -> None:
        life = life_in(ledger_of(Play(tmp_path, plants={(0, 2): Plant(unseen_by={1})}).perform()), "0.2")
        assert (life.fates, [one.dashboard for one in life.dashboards]) == ({"lost": 1, "visible": 1}, [1, 0])
        lost = life.dashboards[0]
        assert (lost.fate, lost.visible, lost.notified) == ("lost", None, near(2.27))
        # One refetch for this message and each of the seven after it: the first ones and the last.
        assert [refetch.shows for refetch in lost.refetches] == [False] * 5
        assert [refetch.started for refetch in lost.refetches] == [near(at) for at in (2.28, 2.78, 3.28, 3.78, 5.78)]
        assert lost.refetches_left_out == 3
        assert life.ends == near(5.8)
        assert life.watched == near(11)

    def test_a_late_message_says_what_was_shown_until_then(self, tmp_path: Path) -> None:
        play = Play(tmp_path, plants={(1, 5): Plant(slow=2.5)}).perform()
        play.refetch(0, T0 + 6.9, T0 + 6.95, status=500)
        play.refetch(0, T0 + 7.0, T0 + 7.1, content={1: (5, [])})
        life = life_in(ledger_of(play), "1.5")
        assert life.fates == {"late": 2}
        late = next(one for one in life.dashboards if one.dashboard == 0)
        assert late.visible == near(8.3)
        assert [(one.status, one.shows) for one in late.refetches] == [(500, None), (200, False), (200, True)]
        assert (life.ends, life.deadline) == (near(8.3), 7.75)

    @pytest.mark.parametrize(
        ("outcome", "status", "why"),
        [(REJECTED, 400, "the send was rejected"), (UNKNOWN, 500, "the send got no clear response")],
    )
    def test_a_message_that_was_not_accepted_need_not_be_shown(
        self, tmp_path: Path, outcome: int, status: int, why: str
    ) -> None:
        plant = Plant(outcome=outcome, stored=0)  # type: ignore[arg-type]
        life = life_in(ledger_of(Play(tmp_path, plants={(0, 2): plant}).perform()), "0.2")
        assert (life.outcome, life.status, life.accepted) == (["", "rejected", "unknown"][outcome], status, None)
        assert life.stored == StoredMessage("not stored")
        assert life.fates == {"not expected": 2}
        assert life.dashboards[0].why.startswith(why)
        assert life.dashboards[0].frames == ()
        # Nothing after the deadline, which is at 4.25 s.
        assert max(refetch.started for refetch in life.dashboards[0].refetches) == near(3.78)

    def test_a_send_that_met_a_limit_of_the_rig(self, tmp_path: Path) -> None:
        play = Play(tmp_path, plants={(0, 2): Plant(never_sent=True)}).perform()
        nan = float("nan")
        play.row("worker0", "send", 0, 2, 0, T0 + 2.25, T0 + 2.25, nan, T0 + 2.3, REJECTED, -24, -1)
        life = life_in(ledger_of(play), "0.2")
        assert (life.outcome, life.status, life.sent, life.answered) == ("rig failed", -24, None, near(2.3))
        assert "load generator" in life.dashboards[0].why

    def test_frames_without_ids_are_certain_only_as_far_as_counts_are(self, tmp_path: Path) -> None:
        sure = life_in(ledger_of(Play(tmp_path / "sure", ids=False).perform()), "0.2")
        assert sure.dashboards[0].frames == (LifeFrame(near(2.27), "live", True, "", ""),)  # type: ignore[arg-type]
        plants = {(0, 1): Plant(no_frame_on={0}), (0, 2): Plant(unseen_by={0})}
        unsure = life_in(ledger_of(Play(tmp_path / "unsure", ids=False, plants=plants).perform()), "0.2", 0)
        assert [(frame.time, frame.certain) for frame in unsure.dashboards[0].frames] == [
            (near(at), False) for at in (2.27, 3.27, 4.27, 5.27)
        ]

    def test_a_message_that_is_stored_damaged_or_twice(self, tmp_path: Path) -> None:
        plants = {(0, 2): Plant(condition=DAMAGED), (1, 2): Plant(stored=2), (0, 3): Plant(chat=1)}
        ledger = ledger_of(Play(tmp_path, plants=plants).perform())
        assert life_in(ledger, "0.2").stored.detail == "differs from the text that was sent"
        assert life_in(ledger, "1.2").stored == StoredMessage("stored", "chat-1", 3, 2, "more than once")
        elsewhere = life_in(ledger, "0.3").stored
        assert (elsewhere.chat, elsewhere.detail) == ("chat-1", "in another chat than it was sent to")

    def test_nobody_knows_whether_it_was_stored_if_the_final_read_failed(self, tmp_path: Path) -> None:
        play = Play(tmp_path, plants={(0, 2): Plant(unseen_by={1})}, final_status={0: 503}, tail=0)
        life = life_in(ledger_of(play.perform()), "0.2")
        assert life.stored == StoredMessage("not known", detail="the final read of its chat failed: status 503")
        assert life.fates == {"unproven": 2}
        assert "final read" in life.dashboards[0].why

    def test_a_dashboard_that_was_away_says_since_when(self, tmp_path: Path) -> None:
        play = Play(tmp_path, dashboards=1, plants={(0, 2): Plant(no_frame_on={0})}).perform()
        rows = play.rows["worker0"]
        rows.remove(("connection", (0, 0, ConnectionEvent.STOPPED, 1000, play.last, "")))
        play.event(0, 0, ConnectionEvent.CLOSED, T0 + 1.9, 1006)
        play.event(1, 0, ConnectionEvent.OPENING, T0 + 2.0)
        play.event(1, 0, ConnectionEvent.FAILED, T0 + 2.1, 503)
        play.connect(2, 0, T0 + 2.2)
        play.event(2, 0, ConnectionEvent.STOPPED, play.last, 1000)
        found = life_in(ledger_of(play), "0.2").dashboards[0].connections
        # It became subscribed at 2.25 s, with the message.
        assert [(one.subscribed, one.ended, one.end, one.code) for one in found] == [(2.25, near(11), "stopped", 1000)]
        before = life_in(ledger_of(play), "1.1").dashboards[0].connections
        assert [(one.subscribed, one.end) for one in before] == [(-1.95, "closed")]
        play.rows["worker0"] = [
            (name, (*values[:4], T0 + 2.26, *values[5:]))
            if (name, *values[:3]) == ("connection", 2, 0, 1)
            else (name, values)
            for name, values in rows
        ]
        away = life_in(ledger_of(play), "0.2").dashboards[0].connections
        assert [(one.end, one.code, one.subscribed) for one in away] == [
            ("closed", 1006, -1.95), ("failed", 503, None), ("stopped", 1000, near(2.26)),
        ]  # fmt: skip

    def test_who_served_it(self, tmp_path: Path) -> None:
        play = Play(tmp_path, dashboards=1).perform()
        play.row("worker0", "server", 0, "127.0.0.1:8000", "worker-a")
        play.row("worker0", "server", 1, "127.0.0.1:8001", "worker-b")
        play.rows["worker0"] = [
            (name, (*values, 0, -1))
            if name == "send"
            else (name, (*values, 1))
            if name == "refetch"
            else (name, values)
            for name, values in play.rows["worker0"]
        ]
        life = life_in(ledger_of(play), "0.2")
        assert msgspec.to_builtins(life.served_by) == {"name": "worker-a", "address": "127.0.0.1:8000"}
        assert msgspec.to_builtins(life.dashboards[0].refetches[0].served_by)["name"] == "worker-b"

    def test_a_connection_that_was_open_at_the_end_has_no_end(self, tmp_path: Path) -> None:
        play = Play(tmp_path, dashboards=1).perform()
        play.rows["worker0"].remove(("connection", (0, 0, ConnectionEvent.STOPPED, 1000, play.last, "")))
        connection = life_in(ledger_of(play), "0.2").dashboards[0].connections[0]
        assert (connection.ended, connection.end, connection.code) == (None, "", 0)

    def test_what_the_rig_held_up_is_not_late(self, tmp_path: Path) -> None:
        play = Play(tmp_path, plants={(1, 5): Plant(slow=2.5)}).perform()
        play.refetch(0, T0 + 6.0, T0 + 6.1, status=-24)
        life = life_in(ledger_of(play), "1.5")
        assert life.fates == {"late": 1, "visible": 1}
        assert [(one.dashboard, one.why[:11]) for one in life.dashboards] == [(1, ""), (0, "not in time")]

    def test_of_two_refetches_that_show_it_at_once_one_is_given(self, tmp_path: Path) -> None:
        play = Play(tmp_path, dashboards=1).perform()
        for _ in range(6):
            play.refetch(0, T0 + 2.28, T0 + 2.3, content={0: (3, [])})
        assert [one.shows for one in life_in(ledger_of(play), "0.2").dashboards[0].refetches] == [True]

    def test_the_slowest_dashboards_come_first(self, tmp_path: Path) -> None:
        play = Play(tmp_path, dashboards=3, plants={(0, 2): Plant(unseen_by={0, 1, 2})}).perform()
        for dashboard, at in ((0, 2.4), (1, 2.6), (2, 2.5)):
            play.refetch(dashboard, T0 + at, T0 + at, content={0: (3, [])})
        life = life_in(ledger_of(play), "0.2")
        assert [one.dashboard for one in life.dashboards] == [1, 2, 0]

    def test_what_went_on_around_it(self, tmp_path: Path) -> None:
        play = Play(tmp_path, processes=2, plants={(0, 2): Plant(unseen_by={1})}).perform()
        play.fault("before", 0.5, 1.0)
        play.fault("during", 2.0, 3.0, "down")
        play.fault("never-healed", 4.0, None)
        for process, woke, lag in (
            ("worker0", 1.0, 0.5), ("worker0", 2.3, 0.1), ("worker1", 2.4, 0.049), ("worker1", 2.6, 0.06),
        ):  # fmt: skip
            play.row(process, "lag", T0 + woke, lag)
        play.manifest.processes.append(PROXY)
        play.rows[PROXY] = [("lag", (T0 + 3.0, 0.2)), ("lag", (T0 + 9.0, 0.2))]
        life = life_in(ledger_of(play), "0.2")
        assert life.faults == (LifeFault("during", "down", 2.0, 3.0), LifeFault("never-healed", "latency", 4.0, None))
        assert life.stalls == (
            LifeStall("worker0", near(2.2), 2.3),  # type: ignore[arg-type]
            LifeStall("worker1", near(2.54), 2.6),  # type: ignore[arg-type]
            LifeStall(PROXY, near(2.8), 3.0),  # type: ignore[arg-type]
        )
        # The other dashboard's process is not on the way to this one.
        play.row("worker1", "lag", T0 + 2.29, 0.06)
        assert [stall.process for stall in life_in(ledger_of(play), "0.2", 1).stalls[:2]] == ["worker0", "worker1"]
        assert [stall.process for stall in life_in(ledger_of(play), "0.2", 0).stalls] == ["worker0"]

    def test_a_silent_socket(self, tmp_path: Path) -> None:
        plants = {(widget, n): Plant(no_frame_on={0}) for widget in (0, 1) for n in range(1, 6)}
        life = life_in(ledger_of(Play(tmp_path, plants=plants).perform()), "0.2", 0)
        assert life.dashboards[0].silences == (LifeSilence(near(0.77), near(11), 10),)  # type: ignore[arg-type]
        assert life.dashboards[0].frames == ()

    def test_a_dashboard_that_the_scenario_stops_is_not_expected(self, tmp_path: Path) -> None:
        stages: list[dict[str, object]] = [
            {"for": "4s", "rate": 2, "dashboards": 2}, {"for": "2s", "rate": 2, "dashboards": 1},
        ]  # fmt: skip
        life = life_in(ledger_of(Play(tmp_path, stages=stages).perform()), "0.4")
        assert life.fates == {"visible": 1, "not expected": 1}
        assert life.dashboards[1].why == "it was not planned to be online, or not for long enough"


class TestWhereFramesCarryTexts:
    def test_a_message_of_a_room_and_the_frames_that_carried_it(self, tmp_path: Path) -> None:
        play = PushPlay(tmp_path).perform()
        member = play.inside(0)[0]
        play.show(member, 0, 2, T0 + 2.5, how=REPLAYED, condition=DAMAGED)
        play.show(member, 0, 2, T0 + 2.6, how=READ, room=1)
        life = life_in(play.ledger(), "0.2")
        assert (life.visible_by, life.chat, life.fates) == ("frame", "room-0", {"visible": 2})
        assert sorted(one.dashboard for one in life.dashboards) == play.inside(0)
        mine = next(one for one in life.dashboards if one.dashboard == member)
        assert (mine.visible, mine.notified, mine.refetches) == (near(2.27), near(2.27), ())
        assert [(frame.time, frame.how, frame.chat, bool(frame.damage)) for frame in mine.frames] == [
            (near(2.27), "live", "", False), (2.5, "replayed", "", True), (2.6, "read", "room-1", False),
        ]  # fmt: skip
        assert (mine.connections[0].joined, mine.connections[0].subscribed) == (-1.95, -1.95)

    def test_a_loss_in_a_gap_shows_both_connections(self, tmp_path: Path) -> None:
        play = PushPlay(tmp_path, members=None, offline={1: (2.2, 3.0)}).perform()
        life = life_in(play.ledger(), "0.2")
        assert life.fates == {"gap": 1, "visible": 3}
        gone, back = life.dashboards[0].connections
        assert (life.dashboards[0].dashboard, life.dashboards[0].fate) == (1, "gap")
        assert (gone.subscribed, gone.ended, gone.end, gone.code) == (-1.95, 2.2, "closed", 1001)
        assert (back.opening, back.subscribed, back.joined, back.ended) == (2.95, 3.0, 3.0, near(11))

    def test_a_room_that_was_refused_or_left(self, tmp_path: Path) -> None:
        play = PushPlay(tmp_path, members=None, push_plants={(0, 2): PushPlant(unseen_by={1})}).perform()
        play.membership(1, 1, 0, MembershipEvent.LEFT, T0 + 2.0)
        play.membership(1, 1, 0, MembershipEvent.REFUSED, T0 + 2.1, "no room for you")
        connection = life_in(play.ledger(), "0.2").dashboards[0].connections[0]
        assert (connection.joined, connection.left, connection.join_refused) == (-1.95, 2.0, 2.1)
        assert connection.join_detail == "no room for you"

    def test_what_came_to_a_stranger_is_shown_and_not_expected(self, tmp_path: Path) -> None:
        play = PushPlay(tmp_path).perform()
        stranger = play.stranger(0)
        quiet = next(one for one in range(4) if one != stranger and one not in play.inside(0))
        play.show(stranger, 0, 2, T0 + 2.4)
        life = life_in(play.ledger(), "0.2")
        assert life.fates == {"visible": 2, "not expected": 1}
        other = life.dashboards[-1]
        assert (other.dashboard, other.visible, len(other.frames)) == (stranger, near(2.4), 1)
        assert other.why == "it is never a member of the room, and yet the message came"
        asked = life_in(play.ledger(), "0.2", quiet).dashboards[0]
        assert (asked.fate, asked.why, asked.visible) == ("not expected", "it is never a member of the room", None)

    def test_memberships_that_change_say_why(self, tmp_path: Path) -> None:
        changes = [{"at": "3s", "leave": 1, "join": 1}]
        play = PushPlay(tmp_path, changes=changes, seconds=12).perform()
        ledger = play.ledger()
        found = {
            (one.why, one.fate)
            for message in range(len(ledger.messages))
            for one in life_of(ledger, message).dashboards
            if one.fate == "not expected"
        }
        assert {why for why, _ in found} == {
            "its membership begins at 3.0 s", "its membership begins at 3.0 s, too close to tell",
            "its membership ends at 3.0 s", "its membership ends at 3.0 s, too close to tell",
        }  # fmt: skip


class TestHowMuchIsShown:
    def test_as_many_dashboards_as_fit_into_the_rows(self, tmp_path: Path) -> None:
        ledger = ledger_of(Play(tmp_path, dashboards=30, plants={(0, 2): Plant(unseen_by={29})}).perform())
        life = life_in(ledger, "0.2", rows=25)
        assert sum(one.rows for one in life.dashboards) <= 25
        assert life.dashboards[0].fate == "lost"
        assert (len(life.dashboards), life.left_out) == (5, 25)
        assert sum(life.fates.values()) == 30
        exactly = sum(one.rows for one in life.dashboards)
        assert len(life_in(ledger, "0.2", rows=exactly).dashboards) == 5
        assert len(life_in(ledger, "0.2", rows=exactly - 1).dashboards) == 4
        assert len(life_in(ledger, "0.2", rows=1).dashboards) == 1
        assert len(life_in(ledger, "0.2").dashboards) == 30

    def test_one_dashboard_alone(self, tmp_path: Path) -> None:
        ledger = ledger_of(Play(tmp_path).perform())
        life = life_in(ledger, "0.2", 1)
        assert ([one.dashboard for one in life.dashboards], life.fates) == ([1], {"visible": 1})
        with pytest.raises(NotInThisRunError, match="expected a dashboard from 0 to 1, got 2"):
            life_in(ledger, "0.2", 2)

    def test_of_many_events_the_first_ones_and_the_last(self, tmp_path: Path) -> None:
        play = PushPlay(tmp_path).perform()
        member = play.inside(0)[0]
        for number in range(10):
            play.show(member, 0, 2, T0 + 3 + number)
        mine = life_in(play.ledger(), "0.2", member).dashboards[0]
        assert [frame.time for frame in mine.frames] == [near(2.27), 3, 4, 5, 12]
        assert mine.frames_left_out == 6


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        ("testrun234.0", r"expected a message as run\.widget\.n, such as testrun234\.0\.0, got 'testrun234\.0'"),
        ("testrun234.0.x", r"such as testrun234\.0\.0, got"),
        ("testrun234.-1.0", r"such as testrun234\.0\.0, got"),
        ("testrun234.0.٣", r"such as testrun234\.0\.0, got"),
        ("", r"such as testrun234\.0\.0, got ''"),
        ("otherrun.1.3", r"expected a message of the run testrun234, such as testrun234\.1\.3, got 'otherrun\.1\.3'"),
        ("testrun234.0.77", r"that this run sent, such as testrun234\.0\.5, got: 'testrun234\.0\.77'"),
        ("testrun234.9.1", r"such as testrun234\.1\.5, got: "),
        ("testrun234.1.4", r"such as testrun234\.1\.[35], got one that was planned, but never sent: "),
    ],
)
def test_an_unknown_message_is_refused_with_an_example(tmp_path: Path, uid: str, expected: str) -> None:
    ledger = ledger_of(Play(tmp_path, plants={(1, 4): Plant(never_sent=True)}).perform())
    with pytest.raises(NotInThisRunError, match=expected):
        find_message(ledger, uid)


def test_a_run_without_messages(tmp_path: Path) -> None:
    plants = {(widget, n): Plant(never_sent=True) for widget in (0, 1) for n in range(6)}
    with pytest.raises(NotInThisRunError, match="this run sent no message"):
        find_message(ledger_of(Play(tmp_path, plants=plants).perform()), "testrun234.0.0")


def test_json_holds_everything(tmp_path: Path) -> None:
    play = Play(tmp_path, plants={(0, 2): Plant(unseen_by={1})}).perform()
    play.fault("net", 2.0, 3.0)
    life = life_in(ledger_of(play), "0.2")
    assert msgspec.json.decode(life_json(life), type=MessageLife) == life


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds())
def test_a_life_agrees_with_the_ledger(world: World) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = ledger_of(acted(world, Path(folder)))
    check_lives(ledger)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(push_worlds())
def test_a_life_agrees_with_the_ledger_where_frames_carry_texts(world: PushWorld) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = push_acted(world, Path(folder)).ledger()
    check_lives(ledger)


def check_lives(ledger: Ledger) -> None:
    """What a life shows is what made each delivery visible, or did not."""
    for message in range(len(ledger.messages)):
        life = life_of(ledger, message, rows=10_000)
        assert find_message(ledger, life.uid) == message
        deliveries = ledger.deliveries.of(np.array([message]))
        counted = {"lost": 0, "late": 0, "excused": 0, "unproven": 0}
        for name in counted:
            counted[name] = int(getattr(ledger, name)[deliveries].sum())
        found = {name: life.fates.get(name, 0) for name in counted}  # type: ignore[call-overload]
        assert found | {"lost": found["lost"] + life.fates.get("gap", 0)} == counted
        if ledger.gap is not None:
            assert life.fates.get("gap", 0) == ledger.gap[deliveries].sum()
        for one in life.dashboards:
            delivery = ledger.deliveries.find_one(message, one.dashboard)
            if delivery < 0:
                continue
            assert one.visible == ledger.after_start(ledger.visible[delivery])
            assert one.notified == ledger.after_start(ledger.announcements.notified[delivery])
            shown = [refetch.done for refetch in one.refetches if refetch.shows and refetch.done is not None]
            if life.visible_by == "frame":
                shown += [frame.time for frame in one.frames]
            assert min(shown, default=None) == one.visible
