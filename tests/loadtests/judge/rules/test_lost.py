"""Why deliveries were lost, on literal histories."""

from pathlib import Path

import msgspec
import pytest

from chatswarm.loadtests.history.tables import ConnectionEvent, MembershipEvent
from chatswarm.loadtests.judge import explanation
from tests.loadtests.judge.play import T0, Plant, Play
from tests.loadtests.judge.push_play import PUSH, PushPlant, PushPlay

from .reading import first, told, why


def test_what_was_never_stored(tmp_path: Path) -> None:
    cause = first(Play(tmp_path, plants={(0, 2): Plant(stored=0)}).perform(), "lost")
    assert (cause.id, cause.certainty, cause.deliveries) == ("never_stored", "proven", 2)


def test_what_was_shown_and_then_deleted_is_not_called_never_stored(tmp_path: Path) -> None:
    def deletes(play: Play) -> None:
        play.store[0] = [text for text in play.store[0] if text.n != 1]

    play = Play(tmp_path, plants={(0, 1): Plant(unseen_by={1})}, before_final=deletes).perform()
    assert ("lost", "deleted", 1) in told(play)
    assert ("vanished", "deleted", 1) in told(play)


def test_nothing_is_claimed_of_a_clean_run(tmp_path: Path) -> None:
    found = why(Play(tmp_path).perform())
    assert (found.causes, found.unexplained.count) == ([], 0)


def test_a_list_that_always_fails(tmp_path: Path) -> None:
    play = Play(tmp_path, dashboards=1).perform()
    for at, (table, values) in enumerate(play.rows["worker0"]):
        if table == "refetch" and values[2] >= T0 and values[1] == 0:  # type: ignore[operator]
            play.rows["worker0"][at] = (table, (*values[:4], 500, -1, *values[6:]))
    cause = first(play, "lost")
    assert (cause.id, cause.coverage) == ("list_fails", 1.0)
    assert "status 500" in cause.sentence


def test_one_refetch_that_works_is_no_failing_list(tmp_path: Path) -> None:
    play = Play(tmp_path, dashboards=1, plants={(0, 1): Plant(unseen_by={0})}).perform()
    assert [cause.id for cause in why(play).causes] != ["list_fails"]


def test_a_dashboard_that_does_not_come_back(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None, offline={2: (2.0, 90.0)}).perform()
    later = ("connection", "membership")
    play.rows["worker0"] = [row for row in play.rows["worker0"] if not (row[0] in later and row[1][0] == 102)]
    found = told(play)
    assert [(finding, cause) for finding, cause, _ in found if finding == "lost"] == [("lost", "never_reconnected")]
    assert "dashboard 2 lost the connection" in first(play, "lost").sentence


def test_what_was_accepted_while_a_dashboard_was_away(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None, offline={2: (2.0, 4.0)}).perform()
    cause = first(play, "lost")
    assert (cause.id, cause.certainty, cause.coverage) == ("no_replay", "proven", 1.0)
    assert cause.sentence == "accepted while dashboard 2 was away; no replay"
    assert "its dashboard's connection ended at 2.000 s" in cause.witness
    assert "subscribed at 4.000 s" in cause.witness


def test_a_target_that_said_that_nothing_was_missing(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None, offline={2: (2.0, 4.0)}).perform()
    rows = play.rows["worker0"]
    for at, (table, values) in enumerate(rows):
        if table == "membership" and values[0] == 102 and values[3] == MembershipEvent.JOINED:
            rows[at] = (table, (*values[:5], "recovered"))
    assert first(play, "lost").id == "not_recovered"


def test_a_room_that_was_not_joined_again(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=2, members=None, offline={2: (2.0, 2.1)}).perform()
    rows = play.rows["worker0"]
    kept = [row for row in rows if not (row[0] == "membership" and row[1][0] == 102 and row[1][2] == 0)]
    # What room 0 would have been sent did not come either.
    play.rows["worker0"] = [
        row for row in kept if not (row[0] == "frame" and row[1][0] == 102 and _of_room(kept, row) == 0)
    ]
    cause = first(play, "lost")
    assert (cause.id, cause.certainty) == ("rejoin_not_sent", "proven")


def _of_room(rows: list[tuple[str, tuple[object, ...]]], frame: tuple[str, tuple[object, ...]]) -> object:
    return next(values[1] for table, values in rows if table == "announcement" and values[0] == frame[1][1])


def test_a_dashboard_that_is_no_member_any_more(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None)
    play.push_plants = {(widget, n): PushPlant(unseen_by={1}) for widget in range(2) for n in range(3, 12)}
    play.perform()
    play.membership(1, 1, 0, MembershipEvent.LEFT, T0 + 2.5, "kicked")
    cause = first(play, "lost")
    assert cause.id == "not_a_member"
    assert "kicked" in cause.witness


def test_a_silence_of_one_socket(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None, seconds=12)
    play.push_plants = {(widget, n): PushPlant(unseen_by={3}) for widget in range(2) for n in range(4, 20)}
    cause = first(play.perform(), "lost")
    assert cause.id == "silent_socket"
    assert cause.coverage == 1.0


def test_a_message_that_was_written_and_never_seen(tmp_path: Path) -> None:
    promises = msgspec.structs.replace(PUSH, accepted_by="written", sends_over=("http", "socket"))
    play = PushPlay(tmp_path, room_count=1, members=None, promises=promises, swarm={"send_over": "socket"})
    play.push_plants = {(0, 3): PushPlant(stored=0)}
    assert first(play.perform(), "lost").id == "unacknowledged"


def test_a_loss_on_one_open_connection_is_a_frame_that_was_never_sent(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None, push_plants={(0, 3): PushPlant(unseen_by={1})}).perform()
    cause = first(play, "lost")
    assert (cause.id, cause.sentence) == ("frame_never_sent", "dashboard 1 was subscribed, and no frame came")
    assert cause.evidence == [
        "of 1: all accepted, all stored, all shown on another dashboard", "other dashboards got frames for 1 of them",
    ]  # fmt: skip


def test_a_chat_whose_messages_a_list_lacks_is_not_blamed_on_its_window(tmp_path: Path) -> None:
    plants = {(0, n): Plant(unseen_by={0, 1}) for n in range(20)}
    play = Play(tmp_path, widgets=4, rate=8, seconds=8, plants=plants).perform()
    cause = first(play, "lost")
    assert cause.id == "one_chat"
    assert cause.sentence.startswith("all in the chat chat-0")


def test_losses_on_dashboards_that_never_connected(tmp_path: Path) -> None:
    play = Play(tmp_path, never_connected={1}).perform()
    assert ("lost", "never_subscribed", 12) in told(play)
    assert ("absent", "never_subscribed", 1) in told(play)


def test_five_scattered_losses_are_unexplained(tmp_path: Path) -> None:
    plants = {(0, 1): Plant(unseen_by={1}), (1, 4): Plant(unseen_by={0}), (2, 2): Plant(unseen_by={2})}
    found = why(Play(tmp_path, dashboards=3, widgets=3, rate=6, seconds=8, plants=plants).perform())
    assert (found.causes, found.unexplained.by_finding) == ([], {"lost": 3})
    known = "lost: of 3: all accepted, all stored, all announced, all shown on another dashboard"
    assert found.unexplained.known[0] == known
    assert [example.uid for example in found.unexplained.examples] == [
        "testrun234.0.1", "testrun234.1.4", "testrun234.2.2",
    ]  # fmt: skip


def test_unreadable_frames(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None)
    play.push_plants = {(0, n): PushPlant(unseen_by={1}) for n in (1, 3)}
    play.perform()
    for _, n in play.push_plants:
        sent = T0 + 0.25 + n
        play.row("worker0", "unreadable", 1, sent + 0.02, "expected JSON, got '\\x1f\\x8b'")
    cause = first(play, "lost")
    assert (cause.id, cause.certainty, cause.deliveries) == ("unreadable_frames", "proven", 2)


def test_a_closed_connection_with_a_later_one_is_not_the_last(tmp_path: Path) -> None:
    play = Play(tmp_path, dashboards=2).perform()
    play.event(0, 0, ConnectionEvent.CLOSED, T0 + 2, 1006)
    play.connect(7, 0, T0 + 2.1)
    assert "never_reconnected" not in {cause for _, cause, _ in told(play)}


def test_a_connection_that_ended_before_the_frame(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None, push_plants={(0, 3): PushPlant(unseen_by={1})}).perform()
    rows = play.rows["worker0"]
    # Its last frame came before the message; then the connection breaks off, and is back at once.
    accepted = next(values[6] for table, values in rows if table == "send" and values[:2] == (0, 3))
    ended = float(accepted) + 0.005  # type: ignore[arg-type]
    rows[:] = [
        (table, (11, *values[1:])) if table == "frame" and values[0] == 1 and values[2] > ended else (table, values)  # type: ignore[operator]
        for table, values in rows
        if not (table == "connection" and values[0] == 1 and values[2] == ConnectionEvent.STOPPED)
    ]
    play.show(1, 1, 2, ended - 0.001, connection=1)  # what it heard last
    play.event(1, 1, ConnectionEvent.CLOSED, ended, 1006)
    play.come(11, 1, ended)
    play.event(11, 1, ConnectionEvent.STOPPED, play.last, 1000)
    assert ("lost", "connection_lost", 1) in told(play) or ("lost", "no_replay", 1) in told(play)


def test_a_rule_that_crashes_leaves_its_finding_unexplained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crashes(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setitem(explanation.RULES, "lost", (crashes,))
    found = why(Play(tmp_path, plants={(0, 2): Plant(stored=0)}).perform())
    assert found.unexplained.by_finding == {"lost": 2}
    assert "boom" in found.unexplained.known[0]
    assert {cause.finding for cause in found.causes} == {"store_lost"}
