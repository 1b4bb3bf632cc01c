"""The rig's own limits and its operator's hand, on literal histories: never the target's fault, nor its excuse."""

import errno
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from chatswarm.loadtests.history.manifest import Asked
from chatswarm.loadtests.history.tables import UNREADABLE_HERE, ConnectionEvent, Role, UserEvent
from chatswarm.loadtests.judge.verdict import Verdict
from chatswarm.loadtests.report.terminal import print_verdict

from .play import REJECTED, T0, UNKNOWN, Plant, Play, finding, found

EMFILE = -errno.EMFILE


def reasons(verdict: Verdict) -> str:
    return "\n".join(verdict.reasons)


def outcome(verdict: Verdict, expect: str) -> str:
    return next(result.outcome for result in verdict.slos if result.expect == expect)


class Limited(Play):
    """A play in which the sends of `limited` failed on the given rig limit."""

    limited: dict[tuple[int, int], int]

    def write(self) -> Path:
        for number, (table, values) in enumerate(self.rows["worker0"]):
            if table == "send" and values[:2] in self.limited:
                key = (values[0], values[1])
                self.rows["worker0"][number] = (table, (*values[:8], self.limited[key], -1))  # type: ignore[index]
        return super().write()


def limited(tmp_path: Path, sends: dict[tuple[int, int], int], plant: Plant, **fields: int) -> Limited:
    play = Limited(tmp_path, plants=dict.fromkeys(sends, plant), **fields)  # type: ignore[arg-type]
    play.limited = sends
    return play


# Sends


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EMFILE, "own limit, open files (EMFILE): 2 sends failed on it: raise `ulimit -n`"),
        (errno.ENFILE, "open files of the whole machine (ENFILE)"),
        (errno.EADDRNOTAVAIL, "local ports (EADDRNOTAVAIL)"),
        (errno.ENOBUFS, "network buffers (ENOBUFS)"),
        (errno.ENETUNREACH, "no route to the network (ENETUNREACH)"),
        (errno.EXDEV, "own limit, EXDEV: 2 sends failed on it"),  # one that nobody thought of
    ],
)
def test_sends_that_the_rig_could_not_make_are_not_refused(tmp_path: Path, code: int, words: str) -> None:
    play = limited(tmp_path, {(0, 1): -code, (1, 2): -code}, Plant(outcome=REJECTED, stored=0))
    verdict = play.perform().judge(["refused == 0", "rejected == 0", "rig_failed == 2"])
    assert verdict.verdict == "undecided"
    assert not verdict.findings
    assert not verdict.rig.sound
    assert words in reasons(verdict)
    assert [result.outcome for result in verdict.slos] == ["pass"] * 3
    messages = verdict.messages
    assert (messages.rig_failed, messages.rejected, messages.unknown) == (2, 0, 0)
    assert messages.sent == messages.accepted + messages.rejected + messages.unknown + messages.rig_failed


def test_one_that_was_cut_off_by_a_limit_may_be_stored(tmp_path: Path) -> None:
    play = limited(tmp_path, {(0, 1): -errno.ENOBUFS}, Plant(outcome=UNKNOWN))
    verdict = play.perform().judge()
    assert (verdict.verdict, found(verdict)) == ("undecided", {})


def test_a_send_that_did_not_leave_the_rig_but_is_shown_is_a_phantom(tmp_path: Path) -> None:
    play = limited(tmp_path, {(0, 1): EMFILE}, Plant(outcome=REJECTED))
    verdict = play.perform().judge()
    assert (verdict.verdict, found(verdict)) == ("fail", {"phantom": 1})


def test_what_the_target_itself_refused_still_fails(tmp_path: Path) -> None:
    play = limited(tmp_path, {(0, 1): EMFILE}, Plant(outcome=REJECTED, stored=0))
    play.plants[1, 1] = Plant(outcome=REJECTED, stored=0)
    verdict = play.perform().judge()
    assert (verdict.verdict, found(verdict)) == ("fail", {"refused": 1})


def test_how_fast_sends_were_accepted_is_open_where_the_rig_could_not_make_them(tmp_path: Path) -> None:
    play = limited(tmp_path, {(0, 1): EMFILE}, Plant(outcome=REJECTED, stored=0))
    verdict = play.perform().judge(["accepted.p50 <= 1s", "accepted.max <= 1s"])
    assert [result.outcome for result in verdict.slos] == ["pass", "undecided"]


# Dashboards


def failing_reads(play: Play, dashboard: int, since: float, until: float, status: int) -> None:
    """That dashboard's refetches of those seconds fail with that status, and so show nothing."""
    process = play.home(dashboard)
    for number, (table, values) in enumerate(play.rows[process]):
        if table == "refetch" and values[1] == dashboard and T0 + since <= values[2] < T0 + until:  # type: ignore[operator]
            play.rows[process][number] = (table, (*values[:4], status, -1, 0))


def test_a_dashboard_without_files_loses_nothing(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    failing_reads(play, 1, 2, 100, EMFILE)
    verdict = play.judge(["lost == 0", "visible.p99 <= 2s", "refetch.max <= 1s", "notified == expected"])
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert verdict.deliveries.unproven > 0
    assert "refetches failed on it" in reasons(verdict)
    assert [result.outcome for result in verdict.slos] == ["pass", "undecided", "undecided", "pass"]


def test_what_no_later_list_shows_is_lost_however_the_reads_before_ended(tmp_path: Path) -> None:
    play = Play(tmp_path, plants={(0, 2): Plant(unseen_by={1})}, tail=0).perform()
    failing_reads(play, 1, 2, 3, EMFILE)
    verdict = play.judge()
    assert (verdict.verdict, found(verdict)) == ("fail", {"lost": 1})
    assert verdict.deliveries.unproven == 0


def test_a_delivery_that_was_late_because_a_read_failed_in_the_rig_is_not_late(tmp_path: Path) -> None:
    play = Play(tmp_path, widgets=1, rate=0.2, seconds=20).perform()  # one message each 5 s
    failing_reads(play, 1, 2, 5, EMFILE)
    verdict = play.judge(["late == 0", "visible.max <= 2s"])
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert [result.outcome for result in verdict.slos] == ["pass", "undecided"]
    # The same from the target is late.
    play = Play(tmp_path / "again", widgets=1, rate=0.2, seconds=20).perform()
    failing_reads(play, 1, 2, 5, 503)
    verdict = play.judge()
    assert (verdict.verdict, found(verdict)) == ("fail", {"late": 1})


def test_a_list_that_only_this_rig_cannot_read_is_reported_and_loses_nothing(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    failing_reads(play, 1, -100, 100, UNREADABLE_HERE)
    verdict = play.judge()
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert "could not read what it received" in reasons(verdict)


def test_a_dashboard_that_the_rig_could_not_connect_is_not_absent(tmp_path: Path) -> None:
    play = Play(tmp_path, never_connected={1}).perform()
    for number, (table, values) in enumerate(play.rows["worker0"]):
        if table == "connection" and values[2] == ConnectionEvent.FAILED:
            play.rows["worker0"][number] = (table, (*values[:3], EMFILE, *values[4:]))
    verdict = play.judge(["absent == 0", "connect.max <= 10s"])
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert "1 connection failed on it" in reasons(verdict)
    assert verdict.connections.failed == 0
    assert [result.outcome for result in verdict.slos] == ["pass", "undecided"]


def test_a_dashboard_that_was_not_started_is_not_absent(tmp_path: Path) -> None:
    play = Play(tmp_path, never_connected={1}).perform()
    play.rows["worker0"] = [row for row in play.rows["worker0"] if row[0] != "connection" or row[1][1] != 1]
    verdict = play.judge()
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert "1 of 2 dashboards were never started" in reasons(verdict)


def test_a_final_read_that_failed_here_proves_nothing(tmp_path: Path) -> None:
    play = Play(tmp_path, plants={(0, 1): Plant(stored=0)}, final_status={0: EMFILE, 1: EMFILE}).perform()
    verdict = play.judge()
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert "2 final reads failed on it" in reasons(verdict)


# The operator's hand


def withdraw(play: Play, role: Role, number: int, at: float) -> None:
    play.row(play.home(number), "user", role, number, UserEvent.WITHDRAWN, T0 + at)


def cut_off(play: Play, dashboard: int, at: float) -> None:
    """The dashboard does nothing any more from then on."""
    process = play.home(dashboard)
    moment = {"refetch": 2, "connection": 4, "frame": 2}
    owner = {"refetch": 1, "connection": 1, "frame": 0}
    play.rows[process] = [
        (table, values)
        for table, values in play.rows[process]
        if table not in moment or values[owner[table]] != dashboard or values[moment[table]] < T0 + at  # type: ignore[operator]
    ]
    play.event(dashboard, dashboard, ConnectionEvent.STOPPED, T0 + at, 1000)


def test_dashboards_that_were_taken_away_lost_nothing(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    cut_off(play, 1, 3)
    withdraw(play, Role.DASHBOARD, 1, 3)
    verdict = play.judge(["lost == 0", "notified == expected", "absent == 0"])
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert "1 dashboard was removed (from 3.0 s after the start on)" in reasons(verdict)
    assert verdict.rig.sound
    assert [result.outcome for result in verdict.slos] == ["pass", "undecided", "pass"]


def test_what_those_lost_who_were_left_alone_still_fails(tmp_path: Path) -> None:
    play = Play(tmp_path, dashboards=3, plants={(0, 1): Plant(unseen_by={0})}, tail=0).perform()
    cut_off(play, 1, 3)
    withdraw(play, Role.DASHBOARD, 1, 3)
    verdict = play.judge()
    assert (verdict.verdict, found(verdict)) == ("fail", {"lost": 1})
    assert [example.dashboard for example in finding(verdict, "lost").examples] == [0]


def test_withdrawn_widgets_are_reported_as_withdrawn(tmp_path: Path) -> None:
    play = Play(tmp_path, plants={(1, n): Plant(never_sent=True) for n in range(3, 6)}).perform()
    withdraw(play, Role.WIDGET, 1, 3)
    verdict = play.judge()
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert "1 widget was removed" in reasons(verdict)
    assert "did not keep up" not in reasons(verdict)


def test_users_beyond_the_scenario_are_reported(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    for number in (2, 3):
        play.row("worker0", "user", Role.DASHBOARD, number, UserEvent.ADDED, T0 + 3)
    verdict = play.judge()
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert "2 dashboards were started in excess of the scenario" in reasons(verdict)


# What was asked


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked(2, 2, 6.0, 1), None),
        (Asked(7, 2, 6.0, 1), "dashboards: 7 requested, but the run had 2"),
        (Asked(2, 1, 6.0, 1), "widgets: 1 requested, but the run had 2"),
        (Asked(2, 2, 30.0, 1), "seconds: 30 requested, but the run was planned for 6"),
        (Asked(2, 2, 6.0, 4), "processes: 4 requested, but the run had 1"),
    ],
)
def test_a_run_is_the_one_that_was_asked_for(tmp_path: Path, asked: Asked, words: str | None) -> None:
    play = Play(tmp_path)
    play.manifest.asked = asked
    verdict = play.perform().judge()
    assert verdict.verdict == ("pass" if words is None else "undecided")
    assert (words or "") in reasons(verdict)
    # What was found all the same was found.
    play = Play(tmp_path / "failing", plants={(0, 1): Plant(outcome=REJECTED, stored=0)})
    play.manifest.asked = asked
    assert play.perform().judge().verdict == "fail"


# Notes


def test_notes_have_no_part_in_the_verdict(tmp_path: Path) -> None:
    play = Play(tmp_path, processes=2).perform()
    for process in play.manifest.processes:
        play.row(process, "note", T0, "passed_over", "127.0.0.3:8000 refused a connection, another address took it")
    verdict = play.judge()
    assert verdict.verdict == "pass"
    assert verdict.notes == ["127.0.0.3:8000 refused a connection, another address took it"]
    console = Console(file=StringIO(), width=100)
    print_verdict(console, verdict)
    assert "note: 127.0.0.3:8000 refused a connection" in console.file.getvalue()  # type: ignore[attr-defined]
