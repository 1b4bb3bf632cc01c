"""Each finding on a chat with exactly that defect: found under its own name, with nothing but what may come along."""

from dataclasses import replace
from pathlib import Path

import pytest

from chatswarm.loadtests.history.tables import ConnectionEvent
from chatswarm.loadtests.judge.checks import CHECKS
from chatswarm.loadtests.judge.ledger import build, merge_histories
from chatswarm.loadtests.judge.verdict import FINDINGS
from chatswarm.loadtests.messages.damage import WORDS, Condition

from .play import DAMAGED, FOREIGN, REJECTED, T0, UNKNOWN, Plant, Play, Stored, finding, found

EVERYWHERE = [
    {},
    {"ids": False},
    {"tail": 0},
    {"tail": 99},
    {"processes": 2},
    {"ids": False, "tail": 99, "processes": 2, "dashboards": 5, "widgets": 3},
]
"""Targets of all kinds: with and without ids, with the texts of no, some and all messages in the list."""


def test_every_finding_has_its_check() -> None:
    assert set(CHECKS) == set(FINDINGS)


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_a_clean_run_passes_without_findings(tmp_path: Path, kind: dict[str, object]) -> None:
    verdict = Play(tmp_path, **kind, slos=["notified == expected", "visible.p99 <= 2s"]).perform().judge()  # type: ignore[arg-type]
    assert found(verdict) == {}
    assert (verdict.verdict, verdict.exit_code, verdict.reasons) == ("pass", 0, [])
    assert verdict.messages.accepted == verdict.messages.intended == 12
    deliveries = verdict.deliveries
    assert deliveries.expected == deliveries.visible == deliveries.notified == 12 * verdict.dashboards
    assert verdict.latency.visible.p50 == pytest.approx(0.05, abs=0.001)
    assert verdict.latency.notified.max == pytest.approx(0.02, abs=0.001)
    assert verdict.latency.accepted.max == pytest.approx(0.01, abs=0.001)
    assert verdict.latency.last_dashboard.count == 12
    assert verdict.latency.connect.p50 == pytest.approx(0.05, abs=0.001)
    assert verdict.latency.recovery.count == 0
    assert verdict.rig.sound


def test_a_message_missing_from_one_dashboards_lists_is_lost(tmp_path: Path) -> None:
    verdict = Play(tmp_path, plants={(0, 2): Plant(unseen_by={1})}).perform().judge()
    assert found(verdict) == {"lost": 1}
    example = finding(verdict, "lost").examples[0]
    assert (example.uid, example.chat, example.dashboard) == ("testrun234.0.2", "chat-0", 1)
    assert example.detail.startswith("middle")
    assert example.intended == pytest.approx(2.25)
    assert example.visible is None


@pytest.mark.parametrize(("n", "part"), [(0, "prefix"), (3, "middle"), (5, "postfix")])
def test_lost_says_where_in_its_senders_messages(tmp_path: Path, n: int, part: str) -> None:
    verdict = Play(tmp_path, plants={(1, n): Plant(unseen_by={0})}).perform().judge()
    assert found(verdict) == {"lost": 1}
    assert finding(verdict, "lost").examples[0].detail.startswith(part)


def test_without_texts_in_the_list_the_count_alone_proves_a_loss(tmp_path: Path) -> None:
    verdict = Play(tmp_path, tail=0, plants={(0, 5): Plant(unseen_by={1})}).perform().judge()
    assert found(verdict) == {"lost": 1}


def test_store_lost_comes_with_lost_on_every_dashboard(tmp_path: Path) -> None:
    verdict = Play(tmp_path, plants={(0, 2): Plant(stored=0)}).perform().judge()
    assert found(verdict) == {"lost": 2, "store_lost": 1}
    assert finding(verdict, "store_lost").examples[0].uid == "testrun234.0.2"


def test_unnotified_by_ids(tmp_path: Path) -> None:
    verdict = Play(tmp_path, plants={(0, 2): Plant(no_frame_on={1})}).perform().judge(["notified == expected"])
    assert found(verdict) == {"unnotified": 1}
    assert finding(verdict, "unnotified").examples[0].dashboard == 1
    assert verdict.deliveries.notified == 23
    assert verdict.slos[0].outcome == "fail"
    assert verdict.frames.due == 24
    assert verdict.frames.missed == 1


def test_unnotified_by_counts(tmp_path: Path) -> None:
    verdict = (
        Play(tmp_path, ids=False, plants={(0, 2): Plant(no_frame_on={1})}).perform().judge(["notified == expected"])
    )
    assert found(verdict) == {"unnotified": 1}
    assert verdict.deliveries.notified is None  # nobody knows which one it was
    assert verdict.slos[0].outcome == "fail"  # but that it was one is proven


def test_a_frame_missed_while_reconnecting_is_not_due(tmp_path: Path) -> None:
    play = Play(tmp_path, plants={(0, 2): Plant(no_frame_on={1})}).perform()
    rows = play.rows["worker0"]
    subscribed = next(i for i, (t, v) in enumerate(rows) if t == "connection" and v[0] == 1 and v[2] == 1)
    # Its first connection breaks before the message, and the second one subscribes after it.
    stopped = next(i for i, (t, v) in enumerate(rows) if t == "connection" and v[0] == 1 and v[2] == 4)
    rows[stopped] = ("connection", (1, 1, ConnectionEvent.CLOSED, 1006, T0 + 2.2, ""))
    play.connect(5, 1, T0 + 2.3)
    play.event(5, 1, ConnectionEvent.STOPPED, play.last)
    for at, (table, values) in enumerate(rows):
        if table == "frame" and values[0] == 1 and at > subscribed and float(str(values[2])) > T0 + 2.3:
            rows[at] = (table, (5, *values[1:]))
    verdict = play.judge(["notified == expected"])
    assert found(verdict) == {}
    assert verdict.deliveries.notified == 23
    assert verdict.slos[0].outcome == "fail"


def test_late(tmp_path: Path) -> None:
    verdict = Play(tmp_path, dashboards=1, widgets=1, rate=1, plants={(0, 5): Plant(slow=2.5)}).perform().judge()
    assert found(verdict) == {"late": 1}
    assert verdict.deliveries.late == 1
    assert verdict.latency.visible.max == pytest.approx(2.55)
    assert "2.55 s" in finding(verdict, "late").examples[0].detail


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_duplicated_in_the_store(tmp_path: Path, kind: dict[str, object]) -> None:
    verdict = Play(tmp_path, **kind, plants={(0, 2): Plant(stored=2)}).perform().judge()  # type: ignore[arg-type]
    assert found(verdict) == {"duplicated": 1}


@pytest.mark.parametrize("ids", [True, False])
def test_duplicated_frames(tmp_path: Path, ids: bool) -> None:
    verdict = Play(tmp_path, ids=ids, plants={(0, 2): Plant(two_frames_on={0})}).perform().judge()
    assert found(verdict) == {"duplicated": 1}
    assert verdict.frames.extra == 1
    assert finding(verdict, "duplicated").examples[0].dashboard == 0


def test_duplicated_in_one_list_only(tmp_path: Path) -> None:
    def show_twice(play: Play) -> None:
        content = play.content(0)
        total, texts = content[0]
        play.refetch(0, play.last - 2, play.last - 1.9, content=content | {0: (total, [*texts, texts[-1]])})
        play.refetch(0, play.last - 1, play.last - 0.9)

    verdict = Play(tmp_path, before_final=show_twice).perform().judge()
    assert found(verdict) == {"duplicated": 1}


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_reordered_in_the_store(tmp_path: Path, kind: dict[str, object]) -> None:
    verdict = Play(tmp_path, **kind, plants={(0, 3): Plant(at=2)}).perform().judge()  # type: ignore[arg-type]
    assert found(verdict) == {"reordered": 1}
    assert finding(verdict, "reordered").examples[0].uid == "testrun234.0.3"


def test_reordered_in_a_list(tmp_path: Path) -> None:
    def turn_round(play: Play) -> None:
        content = play.content(0)
        total, texts = content[0]
        play.refetch(0, play.last - 2, play.last - 1.9, content=content | {0: (total, [texts[0], texts[2], texts[1]])})
        play.refetch(0, play.last - 1, play.last - 0.9)

    verdict = Play(tmp_path, before_final=turn_round).perform().judge()
    assert found(verdict) == {"reordered": 1}


def test_concurrent_sends_may_be_stored_either_way(tmp_path: Path) -> None:
    play = Play(tmp_path, widgets=1, plants={(0, 3): Plant(at=2)}).perform()
    rows = play.rows["worker0"]
    # Message 2 was only answered after message 3 had been sent.
    at = next(i for i, (t, v) in enumerate(rows) if t == "send" and v[:2] == (0, 2))
    values = list(rows[at][1])
    values[6] = float(str(values[6])) + 1
    rows[at] = ("send", tuple(values))
    assert found(play.judge()) == {}


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_phantom_that_was_rejected(tmp_path: Path, kind: dict[str, object]) -> None:
    verdict = Play(tmp_path, **kind, plants={(0, 2): Plant(outcome=REJECTED)}).perform().judge(["refused <= 1"])  # type: ignore[arg-type]
    assert found(verdict) == {"phantom": 1, "refused": 1}
    assert finding(verdict, "refused").outcome == "pass"
    assert finding(verdict, "phantom").outcome == "fail"


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_a_message_that_was_not_sent_is_a_phantom(tmp_path: Path, kind: dict[str, object]) -> None:
    def make_up(play: Play) -> None:
        play.store[0].append(Stored(0, 77, id=777 if play.ids else -1))
        play.refetch(0, play.last - 1, play.last - 0.9)

    verdict = Play(tmp_path, **kind, before_final=make_up).perform().judge()  # type: ignore[arg-type]
    assert found(verdict) == {"phantom": 1}
    assert finding(verdict, "phantom").examples[0].uid == "testrun234.0.77"


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_phantom_of_a_stranger(tmp_path: Path, kind: dict[str, object]) -> None:
    def make_up(play: Play) -> None:
        play.store[1].insert(0, Stored(-1, -1, FOREIGN, id=777 if play.ids else -1))

    verdict = Play(tmp_path, **kind, before_final=make_up).perform().judge()  # type: ignore[arg-type]
    assert found(verdict)["phantom"] == 1


def test_phantom_that_is_only_announced(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    for dashboard in range(2):
        play.frame(dashboard, 0, 4242, T0 + 3)
    verdict = play.judge()
    assert found(verdict) == {"phantom": 1}
    assert verdict.frames.extra == 2


def test_an_unknown_send_that_was_stored_is_recovered_and_one_that_was_only_announced_no_phantom(
    tmp_path: Path,
) -> None:
    plants = {(0, 2): Plant(outcome=UNKNOWN), (0, 3): Plant(outcome=UNKNOWN, stored=0)}
    play = Play(tmp_path, plants=plants).perform()
    play.frame(0, 0, 4242, T0 + 3.3)
    verdict = play.judge(["refused <= 2"])
    assert found(verdict) == {"refused": 2}
    assert verdict.counts.recovered == 1
    assert verdict.messages.unknown == 2
    assert verdict.deliveries.expected == 20
    assert verdict.verdict == "pass"


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_corrupted(tmp_path: Path, kind: dict[str, object]) -> None:
    verdict = Play(tmp_path, **kind, plants={(0, 2): Plant(condition=DAMAGED)}).perform().judge()  # type: ignore[arg-type]
    assert found(verdict) == {"corrupted": 1}
    assert finding(verdict, "corrupted").examples[0].detail == "stored damaged"


@pytest.mark.parametrize("kind", EVERYWHERE)
@pytest.mark.parametrize("condition", WORDS)
def test_corrupted_in_a_way_that_is_known(tmp_path: Path, kind: dict[str, object], condition: Condition) -> None:
    verdict = Play(tmp_path, **kind, plants={(0, 2): Plant(condition=condition)}).perform().judge()  # type: ignore[arg-type]
    assert found(verdict) == {"corrupted": 1}
    assert finding(verdict, "corrupted").examples[0].detail == f"stored damaged: {WORDS[condition]}"


def test_a_frequent_damage_hides_no_rare_one(tmp_path: Path) -> None:
    plants = {(0, n): Plant(condition=Condition.NFC) for n in range(40)} | {(0, 40): Plant(condition=Condition.CUT)}
    verdict = Play(tmp_path, rate=10, seconds=9, plants=plants).perform().judge()
    assert found(verdict) == {"corrupted": 41}
    details = [example.detail for example in finding(verdict, "corrupted").examples]
    assert details[:2] == ["stored damaged: Unicode normalisation (NFC) changed it", "stored damaged: cut short"]
    assert len(details) == 32


def test_a_list_that_shows_it_damaged_says_how(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    shown = {0: (1, [Stored(0, 0, Condition.HTML_ESCAPED)])}
    play.refetch(0, T0 + 0.4, T0 + 0.5, content=shown)
    verdict = play.judge()
    assert found(verdict)["corrupted"] == 1
    assert finding(verdict, "corrupted").examples[0].detail == "shown damaged in a list: HTML-escaped"


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_misplaced(tmp_path: Path, kind: dict[str, object]) -> None:
    verdict = Play(tmp_path, **kind, plants={(0, 2): Plant(chat=1)}).perform().judge()  # type: ignore[arg-type]
    assert found(verdict) == {"misplaced": 1}
    assert "chat-1" in finding(verdict, "misplaced").examples[0].detail


def test_misplaced_into_a_chat_that_is_not_of_this_run(tmp_path: Path) -> None:
    def wander(play: Play) -> None:
        text = play.store[0].pop(2)
        play.row("worker0", "chat", 9, -1, "somebody-else")
        play.refetch(0, play.last - 2, play.last - 1.9, content=play.content(0) | {9: (1, [text])})
        play.refetch(0, play.last - 1, play.last - 0.9)

    verdict = Play(tmp_path, tail=0, plants={(0, 2): Plant(unseen_by={0, 1})}, before_final=wander).perform().judge()
    assert "store_lost" not in found(verdict)
    assert found(verdict)["misplaced"] == 1


def test_vanished_from_the_store(tmp_path: Path) -> None:
    def forget(play: Play) -> None:
        del play.store[0][2]

    verdict = Play(tmp_path, before_final=forget).perform().judge()
    assert found(verdict) == {"vanished": 1, "store_lost": 1}


def test_vanished_from_a_later_list_and_back(tmp_path: Path) -> None:
    def blink(play: Play) -> None:
        content = play.content(0)
        total, texts = content[0]
        play.refetch(0, play.last - 2, play.last - 1.9, content=content | {0: (total, [texts[0], texts[2]])})
        play.refetch(0, play.last - 1, play.last - 0.9)

    verdict = Play(tmp_path, before_final=blink).perform().judge()
    assert found(verdict) == {"vanished": 1}


def test_a_count_shows_nothing_before_it_was_sent(tmp_path: Path) -> None:
    """The third message is gone in the end, and all after it moved up to where older lists had counted before."""

    def forget(play: Play) -> None:
        del play.store[0][2]

    play = Play(tmp_path, tail=0, before_final=forget).perform()
    ledger = build(merge_histories(play.write(), play.manifest), play.manifest, play.scenario, T0, T0 + play.seconds)
    assert ledger.deliveries.less(ledger.visible, ledger.messages.sent).min() > 0


def test_an_older_list_is_vanishing_only_if_it_was_read_later(tmp_path: Path) -> None:
    for starts, expected in ((1.0, {"vanished": 3}), (-1.4, {})):
        play = Play(tmp_path / str(starts), dashboards=1, widgets=1)
        old: dict[int, tuple[int, list[Stored]]] = {}

        def answer_late(
            play: Play = play, starts: float = starts, old: dict[int, tuple[int, list[Stored]]] = old
        ) -> None:
            play.refetch(0, T0 + 5.9 + starts, T0 + 5.9 + max(0.1, starts + 0.1), content=old)

        play.later(T0 + 4.5, lambda play=play, old=old: old.update(play.content(0)))  # type: ignore[misc]
        play.later(T0 + 5.95, answer_late)
        assert found(play.perform().judge()) == expected


@pytest.mark.parametrize(("window", "expected"), [(1, {}), (2, {"vanished": 6}), (None, {"vanished": 6})])
def test_out_of_the_window_is_not_vanished(tmp_path: Path, window: int | None, expected: dict[str, int]) -> None:
    def push_out(play: Play) -> None:
        content = play.content(0)
        del content[0]
        play.refetch(0, play.last - 2, play.last - 1.9, content=content)
        play.refetch(0, play.last - 1, play.last - 0.9)

    swarm: dict[str, object] = {} if window is None else {"list_window": window}
    assert found(Play(tmp_path, swarm=swarm, before_final=push_out).perform().judge()) == expected


def test_a_chat_that_the_final_list_lacks_has_vanished(tmp_path: Path) -> None:
    def final_list_lacks_it(play: Play) -> None:
        play.refetch(-1, play.last + 0.21, play.last + 0.22, content={1: (6, play.store[1][-3:])})

    assert found(Play(tmp_path, before_final=final_list_lacks_it).perform().judge()) == {"vanished": 6}


@pytest.mark.parametrize("dashboard", [-1, 0])
def test_a_version_that_is_given_out_again_when_it_is_old_is_an_older_list(tmp_path: Path, dashboard: int) -> None:
    """The process's lists never went back in time: only what this read was given did."""
    play = Play(tmp_path).perform()
    process = play.home(0)
    reads = [values for table, values in play.rows[process] if table == "refetch" and values[1] == 0]
    play.row(process, "refetch", 0, dashboard, play.last + 0.5, play.last + 0.6, 200, reads[4][5], 100)
    shown_by_then = 4
    assert found(play.judge()) == {"vanished": 12 - shown_by_then}


def test_silent_socket_explains_its_missing_frames(tmp_path: Path) -> None:
    plants = {(w, n): Plant(no_frame_on={1}) for w in range(2) for n in range(4, 12)}
    verdict = Play(tmp_path, rate=4, plants=plants).perform().judge()
    assert found(verdict) == {"silent_socket": 1}
    assert finding(verdict, "silent_socket").examples[0].dashboard == 1


def test_few_missing_frames_are_no_silent_socket(tmp_path: Path) -> None:
    plants = {(0, n): Plant(no_frame_on={1}) for n in range(2, 6)}
    verdict = Play(tmp_path, widgets=1, rate=1, plants=plants).perform().judge()
    assert found(verdict) == {"unnotified": 4}


@pytest.mark.parametrize("outcome", [REJECTED, UNKNOWN])
def test_refused(tmp_path: Path, outcome: int) -> None:
    plant = Plant(outcome=outcome, stored=0)  # type: ignore[arg-type]
    verdict = Play(tmp_path, plants={(0, 2): plant}).perform().judge()
    assert found(verdict) == {"refused": 1}
    assert verdict.deliveries.expected == 22
    assert verdict.latency.accepted.max is None
    assert verdict.latency.accepted.count == 12


def test_refused_without_a_chat(tmp_path: Path) -> None:
    play = Play(tmp_path, plants={(0, n): Plant(outcome=REJECTED, stored=0) for n in range(6)}).perform()
    play.rows["worker0"] = [
        (table, (*values[:2], -1, *values[3:])) if table == "send" and values[0] == 0 else (table, values)
        for table, values in play.rows["worker0"]
        if not (table in ("chat", "final") and values[0] == 0)
    ]
    verdict = play.judge()
    assert found(verdict) == {"refused": 6}
    assert "never got a chat" in finding(verdict, "refused").examples[0].detail


def test_absent_dashboards_count_in_what_is_expected(tmp_path: Path) -> None:
    verdict = Play(tmp_path, never_connected={1}).perform().judge()
    assert found(verdict) == {"lost": 12, "absent": 1}
    assert verdict.deliveries.expected == 24
    assert verdict.latency.visible.p50 is not None
    assert verdict.latency.visible.p95 is None  # it falls among the lost


def test_absent_at_the_end(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.rows["worker0"] = [
        (table, (*values[:2], ConnectionEvent.CLOSED, 1011, *values[4:]))
        if table == "connection" and values[0] == 1 and values[2] == ConnectionEvent.STOPPED
        else (table, values)
        for table, values in play.rows["worker0"]
    ]
    verdict = play.judge()
    assert found(verdict) == {"absent": 1}
    assert "1011" in finding(verdict, "absent").examples[0].detail


def test_a_closed_dashboard_that_comes_back_is_not_absent(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.connect(2, 1, play.last + 0.1)
    assert found(play.judge()) == {}


def test_a_count_that_the_target_loses_for_good_is_no_loss(tmp_path: Path) -> None:
    # Two concurrent sends wrote the same total; the texts are all there.
    play = Play(tmp_path, tail=99).perform()
    play.rows["worker0"] = [
        (table, (*values[:2], int(str(values[2])) - 1, *values[3:]))
        if table in ("version", "final")
        else (table, values)
        for table, values in play.rows["worker0"]
    ]
    verdict = play.judge()
    assert "lost" not in found(verdict)
    assert verdict.deliveries.seen_as_text > 0


def test_examples_are_at_most_32(tmp_path: Path) -> None:
    verdict = Play(tmp_path, dashboards=12, never_connected=set(range(11))).perform().judge()
    assert finding(verdict, "lost").count == 11 * 12
    assert len(finding(verdict, "lost").examples) == 32


def test_plants_are_independent_of_each_other(tmp_path: Path) -> None:
    plants = {
        (0, 1): Plant(stored=2),
        (0, 3): Plant(condition=DAMAGED),
        (1, 2): Plant(no_frame_on={0}),
        (1, 4): replace(Plant(), stored=0),
    }
    verdict = Play(tmp_path, plants=plants).perform().judge()
    assert found(verdict) == {"duplicated": 1, "corrupted": 1, "unnotified": 1, "lost": 2, "store_lost": 1}


def test_what_was_neither_announced_nor_seen_is_only_lost(tmp_path: Path) -> None:
    plants = {(0, 5): Plant(no_frame_on={1}, unseen_by={1})}
    for ids in (True, False):
        verdict = Play(tmp_path / str(ids), ids=ids, plants=plants).perform().judge()
        assert found(verdict) == {"lost": 1}


def test_a_text_that_one_process_saw_is_not_seen_in_another(tmp_path: Path) -> None:
    play = Play(tmp_path, processes=2, tail=99, plants={(0, 5): Plant(unseen_by={1}), (1, 5): Plant(unseen_by={1})})
    play.perform()
    for process, rows in play.rows.items():
        # Without counts, so that only texts tell.
        play.rows[process] = [
            (table, (*values[:2], 0, *values[3:])) if table == "version" else (table, values) for table, values in rows
        ]
    assert found(play.judge()) == {"lost": 2}


def test_a_chat_that_left_the_list_took_its_texts_along(tmp_path: Path) -> None:
    def leave(play: Play) -> None:
        content = play.content(0)
        del content[0]
        play.refetch(0, play.last - 2, play.last - 1.9, content=content)
        play.refetch(0, play.last - 1, play.last - 0.9)

    play = Play(tmp_path, swarm={"list_window": 1}, before_final=leave).perform()
    play.rows["worker0"] = [
        (table, (*values[:3], 0, 0)) if table == "version" and values[2] == -1 else (table, values)
        for table, values in play.rows["worker0"]
    ]
    assert found(play.judge()) == {}


def test_the_intact_copy_is_a_messages_place(tmp_path: Path) -> None:
    # The damaged copy comes first in the chat, and counting to it shows nothing.
    def damage(play: Play) -> None:
        play.store[0].insert(0, Stored(0, 5, DAMAGED))

    play = Play(tmp_path, tail=0, ids=False, before_final=damage)
    verdict = play.perform().judge()
    assert found(verdict)["corrupted"] == 1
    # Every message of the chat has moved on by one, so the last one is beyond every count that was shown.
    assert finding(verdict, "lost").count == 2
