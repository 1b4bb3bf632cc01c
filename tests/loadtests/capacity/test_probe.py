"""What a probe's run shows: whether its load held, and the latency of each second."""

import math
import statistics
from pathlib import Path

import pytest

from chatswarm.loadtests.capacity.probe import fill_in, holds, medians_of
from chatswarm.loadtests.capacity.record import CapacityProbe
from chatswarm.loadtests.judge.judge import judged
from chatswarm.loadtests.judge.verdict import Finding, SloResult, Verdict
from tests.loadtests.judge.play import Plant, Play


@pytest.fixture
def verdict(tmp_path: Path) -> Verdict:
    Play(tmp_path).perform().write()
    found = judged(tmp_path).verdict
    assert found.verdict == "pass"
    return found


def test_it_holds_if_all_is_proven_and_no_backlog_grows(verdict: Verdict) -> None:
    assert holds(verdict, 0.02, 0.1) == (True, [])
    assert holds(verdict, 0.1, 0.1) == (True, [])
    assert holds(verdict, 0.11, 0.1) == (
        False, ["a backlog grew: each second added 0.11 s of latency (0.1 allowed)"],
    )  # fmt: skip
    assert holds(verdict, math.inf, 0.1)[0] is False


def test_a_backlog_that_was_not_measured_is_no_pass(verdict: Verdict) -> None:
    held, why = holds(verdict, None, 0.1)
    assert held is None
    assert "could not be excluded" in why[0]


def test_a_failure_names_slos_and_findings(verdict: Verdict) -> None:
    verdict.verdict = "fail"
    verdict.slos = [SloResult("lost == 0", 3, "fail"), SloResult("visible.p99 <= 2s", 1, "pass")]
    verdict.findings = [Finding("lost", "fail", 3), Finding("late", "fail", 1200)]
    assert holds(verdict, 0.0, 0.1) == (False, ["not lost == 0", "1,200 late"])


def test_a_rig_that_was_not_sound_holds_nothing(verdict: Verdict) -> None:
    verdict.verdict, verdict.rig.sound, verdict.rig.reasons = "undecided", False, ["it was late"]
    assert holds(verdict, 0.0, 0.1) == (False, ["it was late"])
    verdict.verdict, verdict.findings = "fail", [Finding("late", "fail", 5)]
    assert holds(verdict, 0.0, 0.1) == (False, ["it was late", "5 late"])
    verdict.verdict = "undecided"
    verdict.rig.sound, verdict.reasons = True, ["a history is missing"]
    assert holds(verdict, 0.0, 0.1) == (None, ["a history is missing"])
    verdict.exit_code = 70
    verdict.rig.sound = False
    assert holds(verdict, 0.0, 0.1)[0] is None


def test_a_rig_that_did_not_send_everything_holds_nothing(verdict: Verdict) -> None:
    verdict.verdict, verdict.reasons = "undecided", ["2 of 12 messages were never sent"]
    verdict.messages.sent = verdict.messages.intended - 2
    assert holds(verdict, 0.0, 0.1) == (False, ["the load generator did not send 2 of 12 messages in time"])


def test_the_figures_of_a_run(tmp_path: Path) -> None:
    # Three messages a second, and one of each three is slow.
    slow = {(2, n): Plant(slow=0.5) for n in range(6)}
    Play(tmp_path, widgets=3, rate=3, plants=slow).perform().write()
    run = judged(tmp_path)
    probe = CapacityProbe(20, 15, "search", 1, "01", 0.0, None)
    fill_in(probe, run, 0.1)
    assert (probe.p50, probe.p99) == (run.verdict.latency.visible.p50, run.verdict.latency.visible.p99)
    assert probe.deliveries == run.verdict.deliveries.expected
    assert probe.rig_sound is True
    assert run.ledger is not None
    seconds, medians = medians_of(run.ledger)
    assert len(seconds) == len(medians) == int(run.ledger.end - run.ledger.start)
    for second, median in zip(seconds, medians, strict=True):
        intended = run.ledger.messages.intended[run.ledger.deliveries.message] - run.ledger.start
        mine = run.ledger.expected & (intended >= second) & (intended < second + 1)
        of_it = run.ledger.latency[mine].tolist()
        assert (median == statistics.median_low(of_it)) if of_it else math.isnan(median)
    assert any(not math.isnan(median) for median in medians)
