"""The rules of a verdict: what passes, what fails, what is undecided, and what is expected of a dashboard."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from chatswarm.loadtests.history.manifest import Clock
from chatswarm.loadtests.history.tables import TABLES, TIMES, ConnectionEvent
from chatswarm.loadtests.judge import checks
from chatswarm.loadtests.judge.checks import CheckResult
from chatswarm.loadtests.judge.judge import NoRunError, judge, write_verdict
from chatswarm.loadtests.judge.ledger import Ledger
from chatswarm.loadtests.judge.rig import UNREADABLE
from chatswarm.loadtests.judge.verdict import Verdict
from chatswarm.loadtests.scenario import slo

from .play import REJECTED, T0, UNKNOWN, Plant, Play, finding, found


def reasons(verdict: Verdict) -> str:
    return "\n".join(verdict.reasons)


def without(play: Play, *tables: str) -> Play:
    for process, rows in play.rows.items():
        play.rows[process] = [row for row in rows if row[0] not in tables]
    return play


# What is expected


def test_a_dashboard_with_a_planned_stop_is_excused_from_what_it_had_no_time_for(tmp_path: Path) -> None:
    stages: list[dict[str, object]] = [
        {"for": "6s", "rate": 2, "dashboards": 2},
        {"for": "4s", "rate": 2, "dashboards": 1},
    ]
    play = Play(tmp_path, stages=stages, seconds=10, swarm={"update_target": "2s"}).perform()
    verdict = play.judge()
    # The second one stays for 6 s: only what was intended up to 4 s must have reached it.
    assert verdict.messages.accepted == 20
    assert verdict.deliveries.expected == 20 + 8
    assert verdict.verdict == "pass"


def test_a_dashboard_of_a_later_stage_owes_nothing_before_it(tmp_path: Path) -> None:
    stages: list[dict[str, object]] = [
        {"for": "5s", "rate": 2, "dashboards": 1},
        {"for": "5s", "rate": 2, "dashboards": 2},
    ]
    verdict = Play(tmp_path, stages=stages, seconds=10).perform().judge()
    assert verdict.deliveries.expected == 20 + 10


def test_a_list_that_answers_500_shrinks_nothing(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.rows["worker0"] = [
        (table, (*values[:4], 500, -1, 0)) if table == "refetch" and values[1] != -1 else (table, values)
        for table, values in play.rows["worker0"]
    ]
    verdict = play.judge(["visible.p50 <= 2s", "refetch.p50 <= 1s"])
    assert found(verdict) == {"lost": 24}
    assert [result.outcome for result in verdict.slos] == ["fail", "fail"]
    assert verdict.latency.visible.p50 is None
    assert verdict.latency.visible.count == 24
    assert verdict.latency.refetch.p50 is None
    assert verdict.latency.refetch.count == 24


def _answered(play: Play, table: str, at: int, *put: int) -> Play:
    """All rows of that table with these values from that column on."""
    for process, rows in play.rows.items():
        play.rows[process] = [
            (name, (*values[:at], *put, *values[at + len(put) :])) if name == table else (name, values)
            for name, values in rows
        ]
    return play


@pytest.mark.parametrize(("table", "at"), [("refetch", 4), ("final", 1)])
def test_a_203_of_a_proxy_that_changes_what_it_passes_on_is_read_like_a_200(
    tmp_path: Path, table: str, at: int
) -> None:
    verdict = _answered(Play(tmp_path).perform(), table, at, 203).judge(["visible.p99 <= 2s", "refetch.p99 <= 1s"])
    assert (verdict.verdict, found(verdict), verdict.reasons) == ("pass", {}, [])


def test_a_login_page_in_place_of_the_list_is_a_refetch_that_failed(tmp_path: Path) -> None:
    verdict = _answered(Play(tmp_path).perform(), "refetch", 4, 200, -1).judge(["refetch.p50 <= 1s"])
    assert [result.outcome for result in verdict.slos] == ["fail"]
    assert verdict.latency.refetch.p50 is None
    assert verdict.latency.refetch.count == 24


def test_a_quantile_counts_the_lost_ones(tmp_path: Path) -> None:
    play = Play(tmp_path, dashboards=1, widgets=1, rate=2, seconds=10, plants={(0, 19): Plant(unseen_by={0})})
    verdict = play.perform().judge(["visible.p95 <= 2s", "visible.p99 <= 2s", "lost <= 1"])
    assert verdict.latency.visible.p95 is not None  # the 19th of 20
    assert verdict.latency.visible.p99 is None
    assert [result.outcome for result in verdict.slos] == ["pass", "fail", "pass"]
    assert [result.actual for result in verdict.slos][1] is None


def test_versions_that_go_back_and_forth_are_followed(tmp_path: Path) -> None:
    play = Play(tmp_path, dashboards=3, widgets=1, plants={(0, n): Plant(unseen_by={1}) for n in (4, 5, 6)})
    verdict = play.perform().judge()
    # Dashboards 0 and 2 see all, dashboard 1 in between always an older list.
    assert found(verdict) == {"lost": 3}


def test_a_text_counts_although_the_count_is_behind(tmp_path: Path) -> None:
    play = Play(tmp_path, tail=99).perform()
    play.rows["worker0"] = [
        (table, (*values[:2], 0, *values[3:])) if table == "version" else (table, values)
        for table, values in play.rows["worker0"]
    ]
    verdict = play.judge()
    assert verdict.deliveries.visible == verdict.deliveries.seen_as_text == 24
    assert verdict.verdict == "pass"


def test_seen_as_text_and_seen_as_count_are_distinguished(tmp_path: Path) -> None:
    assert Play(tmp_path / "a", tail=3).perform().judge().deliveries.seen_as_text == 24
    assert Play(tmp_path / "b", tail=0).perform().judge().deliveries.seen_as_text == 0


# Windows


def test_a_declared_window_excuses_what_was_pushed_out(tmp_path: Path) -> None:
    def play(folder: Path, window: int | None) -> Play:
        swarm: dict[str, object] = {} if window is None else {"list_window": window}
        made = Play(folder, widgets=3, rate=6, dashboards=1, swarm=swarm, plants={(0, 2): Plant(unseen_by={0})})
        made.perform()
        # No refetch until both other chats had a message after it.
        at = made.schedule()[6][0] + T0
        made.rows["worker0"] = [
            (table, values)
            for table, values in made.rows["worker0"]
            if not (table == "refetch" and at - 0.1 < float(str(values[2])) < at + 0.5)
        ]
        return made

    assert found(play(tmp_path / "none", None).judge()) == {"lost": 1}
    verdict = play(tmp_path / "two", 2).judge()
    assert found(verdict) == {}
    assert verdict.deliveries.excused == 1
    assert verdict.deliveries.expected == verdict.deliveries.visible + 1
    assert found(play(tmp_path / "three", 3).judge()) == {"lost": 1}


def test_a_window_excuses_nothing_that_a_read_in_time_should_have_shown(tmp_path: Path) -> None:
    play = Play(tmp_path, widgets=3, swarm={"list_window": 2}, plants={(0, 1): Plant(unseen_by={0})})
    assert found(play.perform().judge()) == {"lost": 1}


def test_the_protocols_window_holds_where_the_scenario_has_none(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.manifest.list_window = 100
    assert play.perform().judge().verdict == "pass"


# What is missing


def test_a_missing_history_is_undecided_and_its_dashboards_prove_nothing(tmp_path: Path) -> None:
    play = Play(tmp_path, processes=2).perform()
    play.write()
    (tmp_path / "history" / "worker1.cs1").unlink()
    verdict = judge(tmp_path)
    assert (verdict.verdict, verdict.exit_code) == ("undecided", 3)
    assert "worker1.cs1 is missing" in reasons(verdict)
    assert found(verdict) == {}
    assert verdict.deliveries.unproven == 12


def test_a_loss_on_a_whole_history_stays_a_fail_when_another_one_is_missing(tmp_path: Path) -> None:
    play = Play(tmp_path, processes=2, plants={(0, 2): Plant(unseen_by={0})}).perform()
    play.write()
    (tmp_path / "history" / "worker1.cs1").unlink()
    verdict = judge(tmp_path)
    assert (verdict.verdict, verdict.exit_code) == ("fail", 1)
    assert found(verdict) == {"lost": 1}


def test_the_widgets_history_is_missing(tmp_path: Path) -> None:
    Play(tmp_path, processes=2).perform().write()
    (tmp_path / "history" / "worker0.cs1").unlink()
    verdict = judge(tmp_path)
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert "12 of 12 messages of the schedule were never sent" in reasons(verdict)


def test_a_history_of_another_run(tmp_path: Path) -> None:
    Play(tmp_path / "a", processes=2).perform().write()
    other = Play(tmp_path / "b", processes=2)
    other.manifest.run = "otherrun22"
    other.perform().write()
    (tmp_path / "b/history/worker1.cs1").replace(tmp_path / "a/history/worker1.cs1")
    verdict = judge(tmp_path / "a")
    assert verdict.verdict == "undecided"
    assert "worker1.cs1 is of another run: expected testrun234, got otherrun22" in reasons(verdict)


def test_an_unknown_history_format(tmp_path: Path) -> None:
    Play(tmp_path).perform().write()
    (tmp_path / "history/worker7.cs1").write_bytes(b"")
    verdict = judge(tmp_path)
    assert verdict.verdict == "undecided"
    assert "worker7.cs1 belongs to no process" in reasons(verdict)


@pytest.mark.parametrize("content", [b"", b"not a history at all", b"CS\x05\x00\x00\x00aaaahello"])
def test_a_file_that_is_no_history(tmp_path: Path, content: bytes) -> None:
    Play(tmp_path).perform().write()
    (tmp_path / "history/worker0.cs1").write_bytes(content)
    verdict = judge(tmp_path)
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert "worker0.cs1 cannot be read" in reasons(verdict)


def test_a_wrong_checksum(tmp_path: Path) -> None:
    Play(tmp_path).perform().write()
    path = tmp_path / "history/worker0.cs1"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    verdict = judge(tmp_path)
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert "a checksum does not fit" in reasons(verdict)


def test_an_empty_history(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.rows["worker0"].clear()
    verdict = play.judge()
    assert verdict.messages.accepted == 0
    assert "no message was accepted" in reasons(verdict)
    assert "2 of 2 dashboards were never started" in reasons(verdict)
    assert (verdict.exit_code, verdict.findings) == (3, [])  # nobody tried, so nobody was turned away


def test_a_run_without_a_start(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.manifest.start = play.manifest.end = None
    verdict = play.judge(["visible.p99 <= 2s"])
    assert (verdict.verdict, verdict.exit_code) == ("undecided", 3)
    assert "never began" in reasons(verdict)
    assert verdict.slos[0].outcome == "undecided"


def test_a_run_that_did_not_end(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.manifest.ended = False
    assert play.judge().verdict == "undecided"


def test_a_run_that_was_cut_short(tmp_path: Path) -> None:
    play = Play(tmp_path, plants={(w, n): Plant(never_sent=True) for w in range(2) for n in range(3, 6)}).perform()
    play.manifest.end = T0 + 3
    play.manifest.cut_short = "Ctrl-C"
    verdict = play.judge()
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert "cut short: Ctrl-C" in reasons(verdict)
    assert verdict.messages.intended == 6
    assert verdict.seconds == 3


def test_messages_that_were_not_sent(tmp_path: Path) -> None:
    verdict = Play(tmp_path, plants={(0, 2): Plant(never_sent=True)}).perform().judge()
    assert verdict.verdict == "undecided"
    assert "1 of 12 messages of the schedule were never sent" in reasons(verdict)


def test_different_hosts(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.manifest.boot_id = "another"
    verdict = play.judge()
    assert verdict.verdict == "undecided"
    assert "their times cannot be compared" in reasons(verdict)


def far_away(play: Play, bound: float) -> None:
    """Has the second process be on a host whose clock is 1,000 s ahead, known to within `bound` seconds."""
    process = play.manifest.processes[1]
    for number, (table, values) in enumerate(play.rows[process]):
        shifted = [
            value + 1000.0 if (table, column) in TIMES and isinstance(value, float) else value
            for column, value in zip(TABLES[table].columns, values, strict=False)
        ]
        play.rows[process][number] = (table, tuple(shifted))
    play.manifest.clocks = {process: Clock(1000.0, bound)}


def test_hosts_whose_clocks_were_compared(tmp_path: Path) -> None:
    near = Play(tmp_path / "near", processes=2).perform().judge(["visible.max <= 2s"])
    play = Play(tmp_path / "far", processes=2).perform()
    far_away(play, 0.001)
    verdict = play.judge(["visible.max <= 2s"])
    assert (verdict.verdict, verdict.rig.clock_bound) == ("pass", 0.002)
    assert verdict.latency.visible.max == pytest.approx(near.latency.visible.max)
    assert verdict.deliveries == near.deliveries


def test_a_latency_that_the_clocks_cannot_tell_from_its_limit(tmp_path: Path) -> None:
    play = Play(tmp_path, processes=2).perform()
    far_away(play, 0.005)
    longest = play.judge().latency.visible.max
    assert longest is not None
    limits = {
        longest - 0.02: "fail",
        longest - 0.005: "undecided",
        longest + 0.005: "undecided",
        longest + 0.02: "pass",
    }
    for limit, outcome in limits.items():
        verdict = play.judge([f"visible.max <= {limit * 1000:.3f}ms"])
        assert verdict.slos[0].outcome == outcome, limit
        # What one process measured alone is as sure as ever.
        alone = verdict.latency.accepted.max
        assert alone is not None
        assert play.judge([f"accepted.max <= {alone * 1000 + 1:.3f}ms"]).slos[0].outcome == "pass"
    assert "the uncertainty of the hosts' clocks" in reasons(play.judge([f"visible.max <= {longest * 1000:.3f}ms"]))


def test_a_failed_final_read_proves_no_loss_and_passes_nothing(tmp_path: Path) -> None:
    play = Play(tmp_path, final_status={0: 500}, plants={(0, 2): Plant(unseen_by={1})})
    verdict = play.perform().judge(["visible.p99 <= 2s", "visible.p50 <= 2s"])
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert verdict.deliveries.unproven == 1
    assert verdict.deliveries.visible == 23
    assert "final read of 1 chats failed" in reasons(verdict)
    # Lost or not, the median holds; the 99th percentile depends on it.
    assert [result.outcome for result in verdict.slos] == ["undecided", "pass"]


def test_a_failed_final_read_of_a_list_without_texts(tmp_path: Path) -> None:
    verdict = Play(tmp_path, tail=0, final_status={0: 500}).perform().judge()
    assert (verdict.verdict, found(verdict)) == ("undecided", {})
    assert verdict.deliveries.unproven == 12


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(NoRunError, match=r"got no manifest\.json"):
        judge(tmp_path)
    Play(tmp_path).write()
    (tmp_path / "scenario.toml").unlink()
    with pytest.raises(NoRunError, match=r"got no scenario\.toml"):
        judge(tmp_path)
    (tmp_path / "scenario.toml").write_text("[swarm]\nwidgets = -1")
    with pytest.raises(NoRunError, match=r"swarm\.widgets"):
        judge(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(NoRunError, match=r"manifest\.json: expected a readable file"):
        judge(tmp_path)


# The rig


def lagging(play: Play, seconds: float, at: float = 2.0) -> Play:
    """The first process's loop stands still once, for so long."""
    rows = play.rows["worker0"]
    play.rows["worker0"] = [
        row for row in rows if not (row[0] == "lag" and T0 + at - seconds < float(str(row[1][0])) < T0 + at)
    ]
    play.row("worker0", "lag", T0 + at, seconds)
    return play


def test_a_loop_that_stood_still_turns_a_pass_into_undecided(tmp_path: Path) -> None:
    verdict = lagging(Play(tmp_path).perform(), 1.0).judge()
    assert (verdict.verdict, verdict.exit_code, verdict.rig.sound) == ("undecided", 3, False)
    assert verdict.rig.lag_p99 is not None
    assert verdict.rig.lag_p99 > 0.5
    assert "--processes 2" in reasons(verdict)


def test_a_short_stall_is_within_what_is_allowed(tmp_path: Path) -> None:
    assert lagging(Play(tmp_path).perform(), 0.15).judge().verdict == "pass"
    # But not against a tighter limit.
    assert judge(tmp_path, ["visible.p99 <= 400ms"]).verdict == "undecided"


def test_a_loss_stays_a_fail_on_an_unsound_rig(tmp_path: Path) -> None:
    verdict = lagging(Play(tmp_path, plants={(0, 2): Plant(unseen_by={1})}).perform(), 1.0).judge()
    assert (verdict.verdict, verdict.rig.sound) == ("fail", False)


def test_a_late_update_that_the_rig_may_have_caused_is_undecided(tmp_path: Path) -> None:
    plants = {(0, 5): Plant(slow=2.4)}
    play = lagging(Play(tmp_path, widgets=1, rate=1, dashboards=1, plants=plants).perform(), 1.5, at=6.0)
    verdict = play.judge(["visible.max <= 2s"])
    assert finding(verdict, "late").outcome == "undecided"
    assert verdict.slos[0].outcome == "undecided"
    assert verdict.verdict == "undecided"
    assert "would not without the load generator's own delays" in reasons(verdict)


def test_a_late_update_that_the_rig_cannot_explain_stays_a_fail(tmp_path: Path) -> None:
    plants = {(0, 5): Plant(slow=2.4)}
    play = lagging(Play(tmp_path, widgets=1, rate=1, dashboards=1, plants=plants).perform(), 1.5, at=2.0)
    verdict = play.judge(["visible.max <= 2s"])
    assert not verdict.rig.sound
    assert finding(verdict, "late").outcome == "fail"
    assert verdict.slos[0].outcome == "fail"


def test_sends_that_left_too_late(tmp_path: Path) -> None:
    verdict = Play(tmp_path, plants={(0, 2): Plant(handed_late=0.5)}).perform().judge()
    assert verdict.rig.late_sends == 1
    assert (verdict.verdict, verdict.rig.sound) == ("undecided", False)
    assert "1 of 12 sends were more than" in reasons(verdict)
    # The lateness is part of what is measured.
    assert verdict.latency.visible.max == pytest.approx(0.55)


def test_waiting_for_the_target_is_no_lateness_of_the_rig(tmp_path: Path) -> None:
    verdict = Play(tmp_path, plants={(0, 2): Plant(slow=1.5)}).perform().judge()
    assert verdict.rig.late_sends == 0
    assert verdict.verdict == "pass"


def test_troubles_of_the_rig(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.row("worker0", "trouble", T0 + 1, "pool", "all 500 connections were in use")
    play.manifest.troubles = ["worker3 died"]
    verdict = play.judge()
    assert verdict.verdict == "undecided"
    assert verdict.rig.reasons == ["worker0: all 500 connections were in use", "worker3 died"]


def test_an_answer_that_cannot_be_read_is_not_the_rigs_fault(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.row("worker0", "trouble", T0 + 1, "unreadable", "the list: expected JSON, got <html>")
    verdict = play.judge()
    assert verdict.rig.sound
    assert verdict.verdict == "undecided"
    assert "expected JSON, got <html>" in reasons(verdict)


def test_a_process_without_lag_samples(tmp_path: Path) -> None:
    verdict = without(Play(tmp_path).perform(), "lag").judge()
    assert verdict.verdict == "undecided"
    assert "lag was not measured" in reasons(verdict)
    assert verdict.rig.lag_p99 is None


# SLOs and findings


def test_a_finding_that_an_slo_names_is_decided_by_it(tmp_path: Path) -> None:
    plants = {(0, 2): Plant(outcome=REJECTED, stored=0)}
    verdict = Play(tmp_path, plants=plants, slos=["refused <= 10% * intended"]).perform().judge()
    assert verdict.verdict == "pass"
    assert finding(verdict, "refused").outcome == "pass"
    verdict = judge(tmp_path, ["refused <= 1% * intended"])
    assert finding(verdict, "refused").outcome == "fail"
    assert verdict.verdict == "fail"
    assert judge(tmp_path, []).verdict == "fail"


def test_an_slo_over_what_was_not_measured_is_undecided(tmp_path: Path) -> None:
    verdict = Play(tmp_path).perform().judge(["recovery.p99 <= 5s"])
    assert verdict.slos[0].outcome == "undecided"
    assert verdict.verdict == "undecided"
    assert "recovery.p99 was not measured" in reasons(verdict)


def test_slos_that_cannot_be_asked(tmp_path: Path) -> None:
    folder = Play(tmp_path).perform().write()
    with pytest.raises(slo.SloError, match="nearest"):
        judge(folder, ["visble.p99 <= 2s"])
    with pytest.raises(slo.SloError, match="the name of a fault"):
        judge(folder, ["visible.p99 <= 2s during outage"])


def test_counting_slos(tmp_path: Path) -> None:
    plants = {(0, 2): Plant(outcome=UNKNOWN, stored=0)}
    verdict = (
        Play(tmp_path, plants=plants)
        .perform()
        .judge(["notified == expected", "accepted == 11", "visible == dashboards * accepted", "refused <= 1"])
    )
    assert [result.outcome for result in verdict.slos] == ["pass"] * 4
    assert verdict.slos[0].actual == 22


def test_notified_without_ids_is_undecided_where_counts_prove_nothing(tmp_path: Path) -> None:
    # An unknown send may have been announced; one more frame than stored messages could be its own or a second one.
    play = Play(tmp_path, ids=False, plants={(0, 2): Plant(outcome=UNKNOWN, stored=0)}).perform()
    play.frame(0, 0, -1, T0 + 2.3)
    verdict = play.judge(["notified == expected", "refused <= 1", "notified.p99 <= 2s"])
    assert verdict.deliveries.notified is None
    assert [result.outcome for result in verdict.slos] == ["undecided", "pass", "undecided"]
    assert verdict.verdict == "undecided"


def test_a_check_that_crashes_is_undecided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Ledger) -> CheckResult:
        raise KeyError("oh")

    monkeypatch.setitem(checks.CHECKS, "phantom", broken)
    verdict = Play(tmp_path).perform().judge(["phantom == 0"])
    assert verdict.verdict == "undecided"
    assert verdict.counts.phantom is None
    assert "the check phantom crashed: KeyError: 'oh'" in reasons(verdict)
    assert verdict.slos[0].outcome == "undecided"


def test_a_balance_that_does_not_add_up_is_an_internal_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "delivered", property(lambda ledger: ledger.expected & (ledger.visible < 0)))
    verdict = Play(tmp_path).perform().judge()
    assert verdict.exit_code == 70
    assert "internal error: InternalError: deliveries: 24 expected" in reasons(verdict)


def test_the_verdict_as_a_file(tmp_path: Path) -> None:
    verdict = Play(tmp_path, plants={(0, 2): Plant(unseen_by={1})}).perform().judge()
    path = write_verdict(tmp_path, verdict)
    assert msgspec.json.decode(path.read_bytes(), type=Verdict) == verdict
    table = msgspec.json.decode(path.read_bytes())
    assert table["latency"]["recovery"]["p99"] is None
    assert table["findings"][0]["check"] == "lost"


def test_judging_does_not_import_locust_or_gevent(tmp_path: Path) -> None:
    folder = Play(tmp_path).perform().write()
    code = (
        "import sys, pathlib; from chatswarm.loadtests.judge.judge import judge, write_verdict;"
        "v = judge(pathlib.Path(sys.argv[1])); write_verdict(pathlib.Path(sys.argv[1]), v);"
        "bad = {'locust', 'gevent'} & set(sys.modules); assert not bad, bad; sys.exit(v.exit_code)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode == 0


def test_a_dashboard_that_was_stopped_before_it_subscribed_is_no_slow_connect(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.event(9, 1, ConnectionEvent.OPENING, T0 + 1)
    play.event(9, 1, ConnectionEvent.STOPPED, T0 + 1.1)
    play.event(8, 0, ConnectionEvent.OPENING, T0 - 5)
    play.event(8, 0, ConnectionEvent.FAILED, T0 - 4.9)
    verdict = play.judge()
    assert verdict.latency.connect.count == 3
    assert verdict.latency.connect.max is None


def test_lateness_of_a_send_is_the_rigs_own_delay(tmp_path: Path) -> None:
    plants = {(0, 5): Plant(handed_late=1.0, slow=1.2)}
    verdict = Play(tmp_path, widgets=1, rate=1, dashboards=1, plants=plants).perform().judge(["visible.max <= 2s"])
    assert finding(verdict, "late").outcome == "undecided"
    assert verdict.slos[0].outcome == "undecided"


@pytest.mark.parametrize(("dashboard", "outcome"), [(1, "undecided"), (0, "fail")])
def test_only_the_loops_on_a_messages_way_count(tmp_path: Path, dashboard: int, outcome: str) -> None:
    play = Play(tmp_path, widgets=1, rate=1, processes=2, never_connected={1 - dashboard}).perform()
    play.rows["worker0"], play.rows["worker1"] = (
        [row for row in play.rows[name] if row[0] != "lag" or name == "worker0"] for name in ("worker0", "worker1")
    )
    for step in range(1100):
        play.row("worker1", "lag", T0 + step / 100, 0.5 if step > 500 else 0.0)
    for process, rows in play.rows.items():
        # Everything after the last send comes 2.2 s later.
        play.rows[process] = [
            (table, (*values[:2], *(float(str(v)) + 2.2 for v in values[2:4]), *values[4:]))
            if table == "refetch" and float(str(values[2])) > T0 + 5.5 and values[1] != -1
            else (table, values)
            for table, values in rows
        ]
    verdict = play.judge()
    assert not verdict.rig.sound
    assert finding(verdict, "late").outcome == outcome


def test_bounds_that_leave_an_equality_open_are_undecided(tmp_path: Path) -> None:
    play = Play(tmp_path, ids=False, plants={(0, 2): Plant(outcome=UNKNOWN, stored=0)}).perform()
    play.frame(0, 0, -1, T0 + 2.3)
    verdict = play.judge(["notified == 20", "notified == 16", "notified >= 17", "notified >= 18", "refused <= 1"])
    # 5 frames of the chat are indistinguishable on one dashboard: 17 were notified, and up to 5 more.
    assert [result.outcome for result in verdict.slos][:4] == ["undecided", "fail", "pass", "undecided"]


def test_thousands_of_unreadable_answers_are_a_few_reasons(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    for number in range(1000):
        play.row("worker0", "trouble", T0, UNREADABLE, f"id {number}")
    verdict = play.judge()
    unreadable = [reason for reason in verdict.reasons if "could not be read" in reason]
    assert unreadable[0] == "a response could not be read: id 0"
    assert unreadable[5:] == ["995 more responses could not be read, each for a different reason"]


OBSERVED = ["chat", "announcement", "send", "connection", "frame", "refetch", "version", "text", "final", "final_text"]


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("kept", [{"connection"}, {"connection", "chat"}, {"chat", "send"}, {"refetch"}, {"frame"}])
def test_a_history_with_hardly_anything_in_it_proves_nothing(tmp_path: Path, kept: set[str], ids: bool) -> None:
    play = Play(tmp_path, ids=ids).perform()
    play.rows["worker0"] = [row for row in play.rows["worker0"] if row[0] in kept]
    verdict = play.judge()
    assert verdict.verdict != "pass"
    assert "internal error" not in reasons(verdict)


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("missing", OBSERVED)
def test_a_history_without_one_table_does_not_pass(tmp_path: Path, missing: str, ids: bool) -> None:
    play = Play(tmp_path, ids=ids, slos=["notified == expected"]).perform()
    play.rows["worker0"] = [row for row in play.rows["worker0"] if row[0] != missing]
    assert play.judge().verdict != "pass"
