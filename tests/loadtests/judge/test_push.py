"""Chats whose frames carry the texts: what is planted is found, and found alone."""

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from chatswarm.loadtests.history.tables import ConnectionEvent, MembershipEvent
from chatswarm.loadtests.judge.judge import judge, judged
from chatswarm.loadtests.judge.ledger.arrays import key_of
from chatswarm.loadtests.judge.verdict import Evidence
from chatswarm.loadtests.report import wording
from chatswarm.loadtests.report.figures import cases_of
from chatswarm.loadtests.report.latency_parts import breakdowns_of

from .play import DAMAGED, FOREIGN, REJECTED, T0, UNKNOWN, Stored, finding, found
from .push_play import PUSH, READ, REPLAYED, PushPlant, PushPlay

# Widget 0 sends into room 0 at 0.25, 1.25, … s, and widget 1 into room 1 at 0.75, 1.75, … s.


def test_a_chat_that_works_passes(tmp_path: Path) -> None:
    verdict = PushPlay(tmp_path).perform().judge(["lost == 0", "gap == 0", "leaked == 0", "visible.max <= 21ms"])
    assert (verdict.verdict, verdict.reasons, found(verdict)) == ("pass", [], {})
    deliveries = verdict.deliveries
    assert (deliveries.expected, deliveries.visible, deliveries.notified, deliveries.seen_as_text) == (24, 24, 24, 24)
    assert (deliveries.unnotified, deliveries.gap, verdict.counts.leaked) == (None, 0, 0)
    assert (verdict.frames.due, verdict.frames.matched, verdict.frames.received) == (24, 24, 24)
    assert verdict.latency.notified.max == pytest.approx(0.02)


def test_the_verdict_says_how_strong_its_words_are(tmp_path: Path) -> None:
    assert PushPlay(tmp_path / "http").perform().judge().evidence == Evidence(
        "frame", "status", "confirmed", "read", "members", None
    )
    socket: dict[str, object] = {"send_over": "socket"}
    play = PushPlay(tmp_path, swarm=socket).perform()
    assert play.judge().evidence == Evidence("frame", "ack", "confirmed", "read", "members", None)
    play.event(0, 0, ConnectionEvent.OPENING, T0 - 2)
    process, values = play.rows["worker0"][-1][0], play.rows["worker0"][-1][1]
    play.rows["worker0"][-1] = process, (*values, -1, -1, 1)
    assert play.judge().evidence == Evidence("frame", "ack", "confirmed", "read", "members", 1)
    weak = structs.replace(
        PUSH, accepted_by="written", confirms_subscriptions=False, history="none", has_members=False, joins_rooms=False
    )
    told = PushPlay(tmp_path / "weak", swarm=socket, promises=weak, final_rooms=set()).perform().judge().evidence
    assert told == Evidence("frame", "written", "asked", "not read", "everybody", None)


# Lost


def test_a_message_that_one_member_never_saw_is_lost_there(tmp_path: Path) -> None:
    play = PushPlay(tmp_path)
    member = play.inside(0)[0]
    play.push_plants = {(0, 2): PushPlant(unseen_by={member})}
    verdict = play.perform().judge(["lost == 1", "gap == 0"])
    assert found(verdict) == {"lost": 1}
    assert [result.outcome for result in verdict.slos] == ["pass", "pass"]
    example = finding(verdict, "lost").examples[0]
    assert (example.uid, example.dashboard) == ("testrun234.0.2", member)
    assert "middle" in example.detail


def test_a_replay_or_a_read_shows_a_message_without_announcing_it(tmp_path: Path) -> None:
    play = PushPlay(tmp_path)
    first, second = play.inside(0)
    play.push_plants = {(0, 2): PushPlant(unseen_by={first, second})}
    play.perform()
    play.show(first, 0, 2, T0 + 2.5, how=REPLAYED)
    play.show(second, 0, 2, T0 + 3.25, how=READ)
    verdict = play.judge()
    assert (verdict.verdict, found(verdict)) == ("pass", {})
    assert (verdict.deliveries.visible, verdict.deliveries.notified) == (24, 22)
    assert verdict.latency.visible.max == pytest.approx(1.0)


def test_a_loss_needs_no_final_read(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, promises=structs.replace(PUSH, history="none"), final_rooms=set())
    play.push_plants = {(0, 2): PushPlant(stored=0)}
    verdict = play.perform().judge(["store_lost == 0", "lost <= 2"])
    assert (verdict.verdict, found(verdict)) == ("undecided", {"lost": 2})
    assert [result.outcome for result in verdict.slos] == ["undecided", "pass"]
    assert (verdict.counts.store_lost, verdict.counts.vanished, verdict.counts.recovered) == (None, None, None)


@pytest.mark.parametrize("history", ["none", "pages"])
def test_a_chat_whose_store_nobody_asked_passes(tmp_path: Path, history: str) -> None:
    promises = structs.replace(PUSH, history=history)
    verdict = PushPlay(tmp_path, promises=promises, final_rooms=set()).perform().judge([])
    assert (verdict.verdict, verdict.reasons, verdict.counts.store_lost) == ("pass", [], None)
    assert verdict.evidence is not None
    assert verdict.evidence.store == "not read"


def test_a_store_is_not_read_if_a_room_with_messages_was_left_out(tmp_path: Path) -> None:
    verdict = PushPlay(tmp_path, final_rooms={1}).perform().judge([])
    assert verdict.counts.store_lost is None
    assert verdict.evidence is not None
    assert verdict.evidence.store == "not read"


def test_a_final_read_that_failed_leaves_the_run_undecided(tmp_path: Path) -> None:
    verdict = PushPlay(tmp_path, final_status={1: 500}).perform().judge([])
    assert verdict.verdict == "undecided"
    assert "what they stored is not known" in verdict.reasons[0]
    assert verdict.evidence is not None
    assert verdict.evidence.store == "failed"


def test_what_is_accepted_and_not_stored_is_lost_in_the_store_too(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, push_plants={(1, 3): PushPlant(stored=0)})
    assert found(play.perform().judge()) == {"lost": 2, "store_lost": 1}


def test_a_cut_history_proves_no_loss(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, processes=2)
    member = play.inside(0)[0]
    play.push_plants = {(0, 2): PushPlant(unseen_by={member})}
    play.perform().write()
    path = tmp_path / "history" / f"{play.home(member)}.cs1"
    path.write_bytes(path.read_bytes()[:-20])
    verdict = judge(tmp_path)
    assert (verdict.verdict, verdict.deliveries.lost, verdict.deliveries.unproven) == ("undecided", 0, 1)


# Away


def test_what_was_accepted_while_a_dashboard_was_away_is_its_gap(tmp_path: Path) -> None:
    play = PushPlay(tmp_path)
    member = play.inside(0)[0]
    # Its messages at 2.25 and 3.25 come while it is away, and the one at 4.25 is simply lost.
    play.offline = {member: (2.0, 3.5)}
    play.push_plants = {(0, 4): PushPlant(unseen_by={member})}
    verdict = play.perform().judge(["gap == 2", "lost - gap == 1"])
    gone = sum(2.0 < at < 3.5 for at, widget, _ in play.schedule() if member in play.inside(widget))
    assert (verdict.deliveries.gap, verdict.deliveries.lost) == (gone, gone + 1)
    assert found(verdict) == {"lost": gone + 1}


def test_a_gap_that_is_replayed_is_none(tmp_path: Path) -> None:
    play = PushPlay(tmp_path)
    member = play.inside(0)[0]
    play.offline = {member: (2.0, 3.5)}
    play.perform()
    for at, widget, n in play.schedule():
        if 2.0 < at < 3.5 and member in play.inside(widget):
            play.show(member, widget, n, T0 + 3.6, how=REPLAYED, connection=member + 100)
    verdict = play.judge()
    assert (found(verdict), verdict.deliveries.gap) == ({}, 0)


def test_a_dashboard_that_never_came_has_no_gap(tmp_path: Path) -> None:
    play = PushPlay(tmp_path)
    member = play.inside(0)[0]
    play.never_connected = {member}
    verdict = play.perform().judge()
    assert set(found(verdict)) == {"absent", "lost"}
    assert verdict.deliveries.gap == 0


# Wrong contents


def test_a_damaged_text_is_visible_and_corrupted(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, push_plants={(0, 2): PushPlant(announced=DAMAGED)})
    verdict = play.perform().judge()
    assert found(verdict) == {"corrupted": 1}
    assert verdict.deliveries.visible == 24
    assert "announced damaged" in finding(verdict, "corrupted").examples[0].detail


def test_a_text_in_another_room_is_misplaced_there(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, members=None)
    play.push_plants = {(0, 2): PushPlant(unseen_by={1})}
    play.perform().show(1, 0, 2, T0 + 2.3, room=1)
    verdict = play.judge()
    assert found(verdict) == {"misplaced": 1}
    assert finding(verdict, "misplaced").examples[0].detail == "announced in another chat: room-1"


@pytest.mark.parametrize(("outcome", "others"), [(REJECTED, {"refused": 1}), (UNKNOWN, {"refused": 1})])
def test_a_rejected_message_that_is_announced_is_a_phantom(
    tmp_path: Path, outcome: int, others: dict[str, int]
) -> None:
    play = PushPlay(tmp_path, push_plants={(0, 2): PushPlant(outcome=outcome)})
    verdict = play.perform().judge()
    assert found(verdict) == others | ({"phantom": 1} if outcome == REJECTED else {})
    assert verdict.counts.recovered == (1 if outcome == UNKNOWN else 0)


def test_texts_that_nobody_sent_are_phantoms(tmp_path: Path) -> None:
    play = PushPlay(tmp_path).perform()
    member = play.inside(0)[0]
    play.show(member, 0, 99, T0 + 2.3)
    play.show(member, -1, -1, T0 + 2.3, room=0, condition=FOREIGN)
    verdict = play.judge()
    assert found(verdict) == {"phantom": 2}


def test_texts_of_others_in_rooms_that_existed_before_are_ignored(tmp_path: Path) -> None:
    """Those of a former run, and of people."""
    play = PushPlay(tmp_path, fixed={"room-0": [0, 1], "room-1": [1, 2]})
    play.store[0].append(Stored(-1, -1, FOREIGN, 1))
    play.perform()
    play.show(0, -1, -1, T0 + 2.3, room=0, condition=FOREIGN)
    verdict = play.judge(["phantom == 0"])
    assert (verdict.verdict, found(verdict)) == ("pass", {})
    play.show(2, 0, 99, T0 + 2.3, room=1)
    assert found(play.judge()) == {"phantom": 1}


def test_two_frames_on_one_connection_are_duplicated(tmp_path: Path) -> None:
    play = PushPlay(tmp_path).perform()
    play.show(play.inside(0)[0], 0, 2, T0 + 2.4)
    verdict = play.judge()
    assert found(verdict) == {"duplicated": 1}
    assert (verdict.frames.received, verdict.frames.matched, verdict.frames.extra) == (25, 24, 1)


@pytest.mark.parametrize("replays_once", [True, False])
def test_a_replay_that_overlaps_with_live_frames_breaks_a_promise(tmp_path: Path, replays_once: bool) -> None:
    play = PushPlay(tmp_path, promises=structs.replace(PUSH, replays_once=replays_once)).perform()
    play.show(play.inside(0)[0], 0, 2, T0 + 2.4, how=REPLAYED)
    play.show(play.inside(0)[1], 0, 2, T0 + 2.4, how=READ)
    assert found(play.judge()) == ({"duplicated": 1} if replays_once else {})


def test_a_frame_after_that_of_a_later_message_is_reordered(tmp_path: Path) -> None:
    play = PushPlay(tmp_path)
    member = play.inside(0)[0]
    play.push_plants = {(0, 2): PushPlant(unseen_by={member})}
    play.perform().show(member, 0, 2, T0 + 3.3)
    verdict = play.judge()
    assert found(verdict) == {"reordered": 1}
    assert finding(verdict, "reordered").examples[0].uid == "testrun234.0.2"


@pytest.mark.parametrize("order", [(2, 3), (3, 2)])
def test_frames_that_arrive_together_are_in_the_order_in_which_they_came(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    play = PushPlay(tmp_path)
    member = play.inside(0)[0]
    play.push_plants = {(0, n): PushPlant(unseen_by={member}) for n in order}
    play.perform()
    for n in order:
        play.show(member, 0, n, T0 + 3.3)
    assert found(play.judge()) == ({"reordered": 1} if order == (3, 2) else {})


def test_a_slow_frame_is_in_order_if_nothing_overtook_it(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, push_plants={(0, 2): PushPlant(slow=0.9), (0, 3): PushPlant(slow=1.9)})
    play.push_plants[(0, 4)] = PushPlant(slow=1.0)
    assert found(play.perform().judge()) == {}


def test_what_was_shown_and_is_not_stored_has_vanished(tmp_path: Path) -> None:
    play = PushPlay(tmp_path).perform()
    play.rows["worker0"] = [
        row for row in play.rows["worker0"] if not (row[0] == "final_text" and row[1][2:4] == (0, 2))
    ]
    assert found(play.judge()) == {"store_lost": 1, "vanished": 1}


# Frames


def test_a_member_that_hears_nothing_has_a_silent_socket(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, rate=8)
    member = play.inside(0)[0]
    play.push_plants = {(widget, n): PushPlant(unseen_by={member}) for at, widget, n in play.schedule() if at > 1}
    verdict = play.perform().judge()
    assert set(found(verdict)) == {"lost", "silent_socket"}
    assert verdict.counts.silent_socket == 1


def test_a_rig_that_does_not_look_is_no_silence(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, rate=8, processes=2).perform()
    rows = play.rows["worker1"]
    # The second process stands still for 5 s, and then reads all frames at once.
    times = {"frame": 2, "lag": 0}
    still = [name in times and T0 + 2 < float(str(row[times[name]])) < T0 + 7 for name, row in rows]
    play.rows["worker1"] = [
        (name, (*row[:2], T0 + 7)) if held and name == "frame" else (name, row)
        for held, (name, row) in zip(still, rows, strict=True)
    ]
    assert set(found(play.judge())) == {"late", "silent_socket"}
    play.rows["worker1"] = [
        (name, row)
        for held, (name, row) in zip(still, play.rows["worker1"], strict=True)
        if not (held and name == "lag")
    ]
    play.row("worker1", "lag", T0 + 7, 5.0)
    verdict = play.judge()
    assert (verdict.verdict, verdict.counts.silent_socket) == ("undecided", 0)


def test_nothing_is_due_in_a_room_that_was_left(tmp_path: Path) -> None:
    play = PushPlay(tmp_path).perform()
    for room in range(2):
        for member in play.inside(room):
            play.membership(member, member, room, MembershipEvent.LEFT, T0 + 3)
    frames = play.judge().frames
    assert (frames.due, frames.missed, frames.matched) == (24, 0, 24)
    play.rows["worker0"] = [row for row in play.rows["worker0"] if row[0] != "frame" or row[1][2] < T0 + 1]  # type: ignore[operator]
    # Only what was sent, accepted and given 2 s to come before 3 s.
    assert play.judge().frames.missed == 2 * sum(at <= 0.99 for at, _, _ in play.schedule()) - 4


# Leaks


def test_a_text_shown_to_a_stranger_is_leaked(tmp_path: Path) -> None:
    play = PushPlay(tmp_path).perform()
    stranger = play.stranger(0)
    play.show(stranger, 0, 2, T0 + 2.3)
    play.show(stranger, 0, 2, T0 + 2.4, how=READ)
    verdict = play.judge(["leaked == 1"])
    assert (found(verdict), verdict.slos[0].outcome) == ({"leaked": 1}, "pass")
    example = finding(verdict, "leaked").examples[0]
    assert (example.uid, example.dashboard) == ("testrun234.0.2", stranger)
    assert "never a member" in example.detail


def test_where_everybody_is_a_member_leaks_are_not_measured(tmp_path: Path) -> None:
    verdict = PushPlay(tmp_path, members=None).perform().judge(["leaked == 0"])
    assert (verdict.counts.leaked, verdict.slos[0].outcome, verdict.verdict) == (None, "undecided", "undecided")
    assert PushPlay(tmp_path / "no-slo", members=None).perform().judge([]).verdict == "pass"


def changing(folder: Path) -> PushPlay:
    """In a run of 14 s, one member leaves room 0 or 1 at 5 s, and another one joins one."""
    return PushPlay(folder, seconds=14, changes=[{"at": "5s", "leave": 1, "join": 1}])


def moved(play: PushPlay) -> tuple[tuple[int, int], tuple[int, int]]:
    """The room and the dashboard that left, and those that joined."""
    spans = [(room, dashboard, *span) for room in range(2) for dashboard, span in play.spans(room).items()]
    left = next((room, dashboard) for room, dashboard, _, stop in spans if stop == 5)
    return left, next((room, dashboard) for room, dashboard, start, _ in spans if start == 5)


def test_around_a_change_of_membership_nothing_counts(tmp_path: Path) -> None:
    play = changing(tmp_path)
    (left, leaver), (joined, joiner) = moved(play)
    play.perform()
    # The target keeps showing texts for 2 s, and begins 2 s early.
    for at, widget, n in play.schedule():
        if widget == left and 5 < at < 6.9:
            play.show(leaver, widget, n, T0 + at + 0.02)
        if widget == joined and 3.1 < at < 5:
            play.show(joiner, widget, n, T0 + at + 0.02)
    verdict = play.judge()
    assert found(verdict) == {}
    throughout = sum(len(play.inside(widget)) for _, widget, _ in play.schedule())
    before = sum(widget == left and at <= 1.0 for at, widget, _ in play.schedule())
    after = sum(widget == joined and at >= 7.0 for at, widget, _ in play.schedule())
    assert verdict.deliveries.expected == throughout + before + after


def test_where_nobody_is_to_show_anything_there_is_nothing_to_judge(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, dashboards=2, members=1, changes=[{"at": "10ms", "leave": 2}])
    verdict = play.perform().judge(["leaked == 0"])
    assert verdict.messages.accepted > 0
    assert (verdict.deliveries.expected, verdict.verdict) == (0, "undecided")
    assert verdict.reasons[0].startswith("no delivery was expected")


def test_a_former_member_and_one_to_be_are_strangers(tmp_path: Path) -> None:
    play = changing(tmp_path)
    (left, leaver), (joined, joiner) = moved(play)
    play.perform()
    late = next((n, at) for at, widget, n in play.schedule() if widget == left and at > 7.1)
    early = next((n, at) for at, widget, n in play.schedule() if widget == joined and at > 1)
    play.show(leaver, left, late[0], T0 + late[1] + 0.02)
    play.show(joiner, joined, early[0], T0 + early[1] + 0.02)
    verdict = play.judge()
    assert found(verdict) == {"leaked": 2}
    details = " ".join(example.detail for example in finding(verdict, "leaked").examples)
    assert "had ended" in details
    assert "had not begun" in details
    # It left later than planned, and the target says when.
    play.membership(-1, leaver, left, MembershipEvent.REMOVED, T0 + late[1] - 1.9)
    assert found(play.judge()) == {"leaked": 1}


def test_a_change_that_the_target_refused_is_a_reason_and_nobodys_loss(tmp_path: Path) -> None:
    play = changing(tmp_path)
    play.answered = False
    (left, leaver), (joined, joiner) = moved(play)
    play.perform()
    for at, widget, n in play.schedule():
        if widget == left and at > 5:
            play.show(leaver, left, n, T0 + at + 0.02)
    play.rows["worker0"] = [
        row
        for row in play.rows["worker0"]
        if not (row[0] == "frame" and row[1][0] == joiner and row[1][2] > T0 + 5)  # type: ignore[operator]
    ]
    play.membership(-1, leaver, left, MembershipEvent.REFUSED, T0 + 5, "status 500")
    play.membership(-1, joiner, joined, MembershipEvent.REFUSED, T0 + 5, "status 500")
    verdict = play.judge([])
    assert verdict.reasons[0] == "the target refused 2 changes of memberships: status 500"
    others = sum(joiner in play.inside(widget) and widget != joined for at, widget, _ in play.schedule() if at > 5)
    assert (verdict.deliveries.lost, verdict.counts.leaked) == (others, 0)


def test_a_change_that_was_never_answered_is_a_reason_and_nobodys_loss_or_leak(tmp_path: Path) -> None:
    play = changing(tmp_path)
    play.answered = False
    (left, leaver), (joined, joiner) = moved(play)
    play.perform()
    for at, widget, n in play.schedule():
        if widget == left and at > 5:
            play.show(leaver, left, n, T0 + at + 0.02)
    unsee(play, joiner, joined, T0 + 5, T0 + 99)
    verdict = play.judge()
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert verdict.reasons[0] == "2 changes of memberships were never answered"


def test_a_new_member_is_sent_nothing_before_the_target_says_that_it_is_one(tmp_path: Path) -> None:
    play = changing(tmp_path)
    play.answered = False
    (left, leaver), (joined, joiner) = moved(play)
    play.perform()
    play.membership(-1, leaver, left, MembershipEvent.REMOVED, T0 + 5)
    play.membership(-1, joiner, joined, MembershipEvent.ADDED, T0 + 9)
    unsee(play, joiner, joined, T0 + 5, T0 + 10.9)
    verdict = play.judge()
    assert (verdict.verdict, found(verdict)) == ("pass", {})
    unsee(play, joiner, joined, T0 + 11.1, T0 + 13)
    assert found(play.judge())["lost"] > 0


def unsee(play: PushPlay, dashboard: int, room: int, since: float, until: float) -> None:
    """Frames of a room to a dashboard in this span never came."""
    rows = play.rows[play.home(dashboard)]
    here = {row[1][0] for row in rows if row[0] == "announcement" and row[1][1] == room}
    play.rows[play.home(dashboard)] = [
        row
        for row in rows
        if not (row[0] == "frame" and row[1][0] == dashboard and row[1][1] in here and since < row[1][2] < until)  # type: ignore[operator]
    ]


def test_strangers_that_a_fault_got_in_are_leaks(tmp_path: Path) -> None:
    play = PushPlay(tmp_path).perform()
    play.fault("strangers", 1, 3, kind="intruders", evidence={"joins": 4, "let_in": 2, "shown": 3})
    verdict = play.judge(["leaked == 5"])
    assert (found(verdict), verdict.slos[0].outcome) == ({"leaked": 5}, "pass")
    assert finding(verdict, "leaked").examples[0].fault == "strangers"


def test_a_text_that_a_stranger_is_shown_under_another_rooms_name_is_leaked(tmp_path: Path) -> None:
    play = PushPlay(tmp_path)
    stranger = play.stranger(0)
    play.perform()
    play.show(stranger, 0, 1, T0 + 3, room=1)
    assert found(play.judge()) == {"leaked": 1, "misplaced": 1}


def test_a_text_that_comes_to_its_members_under_another_rooms_name_is_not_leaked(tmp_path: Path) -> None:
    play = PushPlay(tmp_path)
    member = next(dashboard for dashboard in play.inside(0) if dashboard not in play.inside(1))
    play.perform()
    play.show(member, 0, 1, T0 + 3, room=1)
    assert found(play.judge()) == {"misplaced": 1}


@pytest.mark.parametrize("once", [True, False])
def test_a_chat_that_replays_what_had_come_before_breaks_its_promise_if_it_made_one(tmp_path: Path, once: bool) -> None:
    promises = structs.replace(PUSH, replays_once=once)
    play = PushPlay(tmp_path, promises=promises)
    member = play.inside(0)[0]
    play.offline = {member: (4.0, 4.5)}
    play.perform()
    play.show(member, 0, 0, T0 + 4.55, how=REPLAYED, connection=member + 100)
    verdict = play.judge()
    assert found(verdict).get("duplicated", 0) == once
    if once:
        assert "announced 2 times to one dashboard" in finding(verdict, "duplicated").examples[0].detail


def test_messages_of_one_sender_in_different_rooms_have_no_order(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, members=None, in_turn=True, rate=4.0)
    play.rooms["senders"] = "members"
    assert found(play.perform().judge()) == {}
    wrong = PushPlay(tmp_path / "wrong", members=None, in_turn=True, rate=4.0)
    wrong.perform()
    rows = enumerate(wrong.rows["worker0"])
    texts = [at for at, (table, values) in rows if table == "final_text" and values[0] == values[2] == 0]
    first, second = (wrong.rows["worker0"][at][1] for at in texts[:2])
    wrong.rows["worker0"][texts[0]] = ("final_text", (*first[:2], *second[2:]))
    wrong.rows["worker0"][texts[1]] = ("final_text", (*second[:2], *first[2:]))
    assert found(wrong.judge()) == {"reordered": 1}


def test_senders_who_are_members_see_their_own_messages_only_if_the_chat_echoes(tmp_path: Path) -> None:
    for echoes in (True, False):
        play = PushPlay(
            tmp_path / str(echoes), members=None, room_count=1, dashboards=3,
            promises=structs.replace(PUSH, echoes=echoes),
        )  # fmt: skip
        play.rooms["senders"] = "members"
        if not echoes:
            play.push_plants = {(widget, n): PushPlant(unseen_by={widget}) for _, widget, n in play.schedule()}
        verdict = play.perform().judge()
        assert (found(verdict), verdict.deliveries.expected) == ({}, 36 if echoes else 24)


def test_a_stored_copy_too_many_is_duplicated_without_a_frame(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, push_plants={(0, 2): PushPlant(stored=2)})
    assert found(play.perform().judge()) == {"duplicated": 1}
    assert isinstance(play.store[0][0], Stored)


# Windows, the rig, reports


def test_gap_and_leaked_belong_to_the_windows_of_their_messages(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, seconds=12)
    member, stranger = play.inside(0)[0], play.stranger(0)
    play.offline = {member: (3.0, 4.5)}
    play.perform().fault("cut", 3, 5)
    play.show(stranger, 0, 1, T0 + 1.3)
    play.show(stranger, 0, 9, T0 + 9.3)
    gone = play.judge().deliveries.gap
    slos = [f"gap == {gone} during cut", "gap == 0 before cut", "gap == 0 after cut"]
    slos += ["leaked == 1 before cut", "leaked == 0 during cut", "leaked == 1 after cut"]
    assert [(result.outcome, result.expect) for result in play.judge(slos).slos] == [("pass", slo) for slo in slos]


def test_the_rigs_own_lag_is_not_the_chats_latency(tmp_path: Path) -> None:
    slow = PushPlay(tmp_path / "rig", lag=0.3).perform().judge(["visible.p99 <= 15ms"])
    assert (slow.slos[0].outcome, slow.rig.sound) == ("undecided", False)
    assert PushPlay(tmp_path / "chat").perform().judge(["visible.p99 <= 15ms"]).slos[0].outcome == "fail"


def test_what_came_while_the_rig_was_short_of_files_is_unproven(tmp_path: Path) -> None:
    play = PushPlay(tmp_path)
    member = play.inside(0)[0]
    play.offline = {member: (2.0, 3.5)}
    play.perform()
    play.event(member + 50, member, ConnectionEvent.OPENING, T0 + 2.1)
    play.event(member + 50, member, ConnectionEvent.FAILED, T0 + 3.4, -24)
    verdict = play.judge([])
    missed = sum(2.0 < at < 3.5 and member in play.inside(widget) for at, widget, _ in play.schedule())
    assert (verdict.deliveries.lost, verdict.deliveries.unproven, verdict.verdict) == (0, missed, "undecided")


def test_a_refetch_that_shows_a_text_earlier_than_its_frame_counts(tmp_path: Path) -> None:
    play = PushPlay(tmp_path)
    play.push_plants = {(0, 2): PushPlant(slow=1.0)}
    play.perform()
    first, second = play.inside(0)
    play.refetch(first, T0 + 2.4, T0 + 2.5, content={0: (3, [Stored(0, n) for n in range(3)])})
    ledger = play.ledger()
    row = int(ledger.messages.find(key_of(np.array([0]), np.array([2])))[0])
    seen = [ledger.visible[ledger.deliveries.find_one(row, dashboard)] - T0 for dashboard in (first, second)]
    assert seen == pytest.approx([2.5, 3.27])
    assert found(play.judge()) == {}


def test_the_report_says_what_is_known_and_how_well(tmp_path: Path) -> None:
    play = PushPlay(tmp_path)
    member = play.inside(0)[0]
    play.offline = {member: (2.0, 3.5)}
    verdict = play.perform().judge(["lost <= 9"])
    assert f"lost ({verdict.deliveries.gap} of them while reconnecting)" in wording.account(verdict)
    assert wording.strength(verdict) == (
        "visible: a frame with the text; accepted: a response that says so; subscribed: confirmed; store: read; "
        "audience: members of rooms"
    )
    cases = {case.name: case for case in cases_of(judged(tmp_path))}
    assert (cases["unnotified"].actual, bool(cases["unnotified"].skipped)) == ("not measured", True)
    assert (cases["leaked"].actual, bool(cases["leaked"].skipped)) == ("0", False)


def test_the_parts_of_a_frames_latency_add_up(tmp_path: Path) -> None:
    play = PushPlay(tmp_path)
    member = play.inside(0)[0]
    play.push_plants = {(0, 2): PushPlant(unseen_by={member})}
    play.perform().show(member, 0, 2, T0 + 3.0, how=REPLAYED)
    run = judged(play.write())
    assert run.ledger is not None
    (parts, *_) = breakdowns_of(run.ledger)
    assert parts.seconds == pytest.approx({
        "sending": 24 * 0.001, "announcing": 23 * 0.019, "unannounced": 0, "waiting": 0, "refetching": 0,
        "replaying": 0.749,
    })  # fmt: skip
