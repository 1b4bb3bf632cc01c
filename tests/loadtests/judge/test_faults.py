"""Faults in the history: how starts and stops pair, what evidence is worth, and what a fault excuses."""

import math
from pathlib import Path

import pytest

from chatswarm.loadtests.history.faults import FaultWriter
from chatswarm.loadtests.history.files import read
from chatswarm.loadtests.history.manifest import NEMESIS, Clock, boot_id, history_file
from chatswarm.loadtests.history.tables import FaultEvent
from chatswarm.loadtests.judge.judge import judge
from chatswarm.loadtests.judge.ledger.faults import FaultRow, FaultSpan, faults_of
from chatswarm.loadtests.scenario.slo import SloError

from .play import REJECTED, T0, UNKNOWN, Plant, Play, finding, found

START, STOP = FaultEvent.START, FaultEvent.STOP
DID = '{"bytes": 1}'


@pytest.mark.parametrize(
    ("rows", "spans"),
    [
        ([], []),
        ([("a", "k", START, 1, ""), ("a", "k", STOP, 2, DID)], [("a", 1, 2)]),
        # Rows of several writers need not be in order.
        ([("a", "k", STOP, 2, DID), ("a", "k", START, 1, "")], [("a", 1, 2)]),
        # Two that overlap.
        (
            [("a", "k", START, 1, ""), ("b", "k", START, 2, ""), ("a", "k", STOP, 3, DID), ("b", "k", STOP, 4, DID)],
            [("a", 1, 3), ("b", 2, 4)],
        ),
        # One name twice, one after the other.
        (
            [("a", "k", START, 1, ""), ("a", "k", STOP, 2, DID), ("a", "k", START, 3, ""), ("a", "k", STOP, 4, DID)],
            [("a", 1, 2), ("a", 3, 4)],
        ),
        # One name twice at once: the oldest is healed first.
        (
            [("a", "k", START, 1, ""), ("a", "k", START, 2, ""), ("a", "k", STOP, 3, DID), ("a", "k", STOP, 4, DID)],
            [("a", 1, 3), ("a", 2, 4)],
        ),
        # The same name for two kinds.
        (
            [("a", "k", START, 1, ""), ("a", "l", START, 2, ""), ("a", "l", STOP, 3, DID), ("a", "k", STOP, 4, DID)],
            [("a", 1, 4), ("a", 2, 3)],
        ),
    ],
)
def test_starts_and_stops_pair(rows: list[tuple[str, str, int, float, str]], spans: list[object]) -> None:
    found, problems = faults_of([FaultRow(*row) for row in rows], 0.0)
    assert [(span.name, span.start, span.stop) for span in found] == spans
    assert problems == []


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([("a", "k", START, 3.5, DID)], "the fault a (from 2.5 s on) was never healed"),
        ([("a", "k", START, 3, ""), ("a", "k", STOP, 4, "")], "the fault a (from 2.0 s on) left no evidence"),
        ([("a", "k", START, 3, ""), ("a", "k", STOP, 4, '{"cut": 0, "of": ""}')], "left no evidence"),
        ([("a", "k", STOP, 4, DID)], "the fault a was healed at 3.0 s, but nothing says that it began"),
        ([("a", "k", START, 3, "[1]"), ("a", "k", STOP, 4, DID)], "expected a JSON object, got '[1]'"),
        ([("a", "k", START, 3, "{"), ("a", "k", STOP, 4, DID)], "the evidence of the fault a cannot be read"),
    ],
)
def test_what_is_wrong_with_a_fault(rows: list[tuple[str, str, int, float, str]], problem: str) -> None:
    assert problem in "\n".join(faults_of([FaultRow(*row) for row in rows], 1.0)[1])


def test_evidence_of_start_and_stop_are_one() -> None:
    rows = [
        FaultRow("a", "k", START, 1.0, '{"pid": 7, "state": "running"}'),
        FaultRow("a", "k", STOP, 2.0, '{"state": "killed"}'),
    ]
    assert faults_of(rows, 0.0)[0] == [FaultSpan("a", "k", 1, 2, {"pid": 7, "state": "killed"})]
    assert faults_of(rows[:1], 0.0)[0][0].stop == math.inf


def test_faults_are_in_the_verdict(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.fault("slow-net", 1, 2.5, evidence={"bytes_delayed": 51200, "where": "dashboards"})
    play.fault("kill", 2, 3, kind="kill", evidence={"pid": 7})
    verdict = play.judge()
    assert (verdict.verdict, verdict.reasons, found(verdict)) == ("pass", [], {})
    assert [(fault.name, fault.kind, fault.start, fault.stop) for fault in verdict.faults] == [
        ("slow-net", "latency", 1.0, 2.5),
        ("kill", "kill", 2.0, 3.0),
    ]
    assert verdict.faults[0].evidence == {"bytes_delayed": 51200, "where": "dashboards"}
    assert [recovery.name for recovery in verdict.recoveries] == ["slow-net", "kill"]


@pytest.mark.parametrize(("stop", "evidence"), [(None, {"a": 1.0}), (2.0, {}), (2.0, {"a": 0.0})])
def test_a_fault_that_proves_nothing_makes_the_rig_unsound(
    tmp_path: Path, stop: float | None, evidence: dict[str, float | str]
) -> None:
    play = Play(tmp_path).perform()
    play.fault("slow-net", 1, stop, evidence=evidence)
    verdict = play.judge()
    assert (verdict.verdict, verdict.exit_code, verdict.rig.sound) == ("undecided", 3, False)
    assert "the fault slow-net (from 1.0 s on)" in "\n".join(verdict.reasons)
    assert verdict.faults[0].stop == stop


def test_a_proven_loss_stays_a_fail_beside_a_fault_that_proves_nothing(tmp_path: Path) -> None:
    play = Play(tmp_path, plants={(0, 2): Plant(unseen_by={1})}).perform()
    play.fault("slow-net", 1, None)
    verdict = play.judge()
    assert (verdict.verdict, found(verdict)) == ("fail", {"lost": 1})


def test_no_lag_and_no_cpu_are_expected_of_the_nemesis(tmp_path: Path) -> None:
    play = Play(tmp_path, processes=2).perform()
    play.fault("slow-net", 1, 2)
    verdict = play.judge()
    assert verdict.rig.sound
    assert verdict.verdict == "pass"


def test_a_missing_nemesis_is_undecided_and_takes_nothing_from_the_dashboards(tmp_path: Path) -> None:
    play = Play(tmp_path, plants={(0, 2): Plant(unseen_by={1}), (1, 2): Plant(outcome=UNKNOWN)}, never_connected={1})
    play.perform()
    play.fault("slow-net", 1, 2)
    play.write()
    history_file(tmp_path, NEMESIS).unlink()
    verdict = judge(tmp_path)
    assert "history/nemesis.cs1 is missing" in "\n".join(verdict.reasons)
    # Dashboard 1 never connected: all of it is lost, and provably so.
    assert (verdict.verdict, verdict.deliveries.lost, verdict.deliveries.unproven) == ("fail", 11, 0)
    # But whether the refused send fell into a fault, nobody knows.
    assert verdict.counts.refused is None
    assert finding(verdict, "refused").outcome == "undecided"


def test_phantoms_are_found_without_the_nemesis(tmp_path: Path) -> None:
    play = Play(tmp_path, plants={(0, 2): Plant(outcome=REJECTED)}).perform()
    play.frame(0, 1, 4242, T0 + 3)
    play.fault("slow-net", 1, 2)
    play.write()
    history_file(tmp_path, NEMESIS).unlink()
    assert finding(judge(tmp_path), "phantom").count == 2


@pytest.mark.parametrize(
    ("start", "stop", "refused"),
    [
        (2.0, 3.0, 0),  # the send at 2.25 s, answered at 2.26 s, lies within
        (2.26, 3.0, 0),  # its answer came as the fault began
        (1.0, 2.25, 0),  # it was intended as the fault ended
        (2.27, 3.0, 1),
        (1.0, 2.2, 1),
    ],
)
def test_sends_that_a_fault_refuses_are_no_finding(tmp_path: Path, start: float, stop: float, refused: int) -> None:
    play = Play(tmp_path, plants={(0, 2): Plant(outcome=REJECTED, stored=0)}).perform()
    play.fault("slow-net", start, stop)
    verdict = play.judge()
    assert verdict.counts.refused == refused
    assert verdict.messages.rejected == 1
    assert found(verdict) == ({"refused": 1} if refused else {})


def test_examples_name_the_faults_that_were_active(tmp_path: Path) -> None:
    plants = {(0, 2): Plant(unseen_by={1}), (0, 5): Plant(unseen_by={1})}
    play = Play(tmp_path, plants=plants, seconds=8).perform()
    play.fault("slow-net", 1, 3)
    play.fault("kill", 2, 2.5)
    play.fault("slow-net", 2.5, 2.6)
    verdict = play.judge()
    by_uid = {example.uid: example.fault for example in finding(verdict, "lost").examples}
    assert by_uid == {"testrun234.0.2": "slow-net, kill", "testrun234.0.5": ""}


def test_a_silent_sockets_example_names_the_fault(tmp_path: Path) -> None:
    plants = {(w, n): Plant(no_frame_on={1}) for w in range(2) for n in range(4, 12)}
    play = Play(tmp_path, rate=4, plants=plants).perform()
    play.fault("black-hole", 3, 4)
    assert finding(play.judge(), "silent_socket").examples[0].fault == "black-hole"


def test_unknown_fault_names_are_usage_errors_with_the_nearest(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.fault("slow-net", 1, 2)
    folder = play.write()
    with pytest.raises(SloError, match=r"nearest: slow-net\) after during, got 'slownet'"):
        judge(folder, ["lost == 0 during slownet"])
    with pytest.raises(SloError, match=r"known: slow-net\) after after, got 'zzz'"):
        judge(folder, ["lost == 0", "lost == 0 after zzz"])
    assert judge(folder, ["lost == 0 after slow-net"]).verdict == "pass"


def test_an_unknown_fault_is_undecided_where_the_nemesis_left_no_whole_history(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.fault("slow-net", 1, 2)
    folder = play.write()
    history_file(tmp_path, NEMESIS).unlink()
    verdict = judge(folder, ["lost == 0 during slow-net"])
    assert verdict.slos[0].outcome == "undecided"
    assert "there was no fault slow-net in this run" in "\n".join(verdict.reasons)


def test_a_fault_of_the_scenario_that_did_not_begin(tmp_path: Path) -> None:
    play = Play(tmp_path, slos=["lost == 0 during kill"]).perform()
    folder = play.write()
    path = folder / "scenario.toml"
    path.write_text(path.read_text() + '\n[[fault]]\nname = "kill"\nkind = "kill"\nat = "1s"\n')
    verdict = judge(folder)
    assert verdict.verdict == "undecided"
    assert "the fault kill of the scenario never began" in verdict.reasons
    assert judge(folder, ["lost == 0 during kill"]).slos[0].outcome == "undecided"


def test_a_fault_that_could_not_begin_or_be_healed_is_undecided(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.fault("slow-net", 1, 2)
    detail = "the fault slow-net could not begin: expected a proxy, got none"
    play.row(NEMESIS, "trouble", T0 + 1, NEMESIS, detail)
    verdict = play.judge(["lost == 0"])
    assert (verdict.verdict, verdict.exit_code) == ("undecided", 3)
    assert detail in "\n".join(verdict.reasons)


def test_what_the_writer_writes_is_what_is_judged(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.manifest.processes.append(NEMESIS)
    play.manifest.boot_id = boot_id()
    folder = play.write()
    for path in (folder / "history").iterdir():
        path.unlink()
    play.manifest.processes.remove(NEMESIS)
    play.rows = {"worker0": play.rows["worker0"]}
    writer = FaultWriter(folder, play.manifest.run)
    writer.start("slow-net", "latency", T0 + 1)
    # A nemesis that is killed now has left the start of its fault.
    assert list(read(history_file(folder, NEMESIS)).tables["fault"]["name"]) == ["slow-net"]
    writer.start("kill", "kill", T0 + 2, {"pid": 7})
    writer.stop("slow-net", "latency", T0 + 3, {"bytes_delayed": 5})
    writer.stop("kill", "kill", T0 + 4, {"state": "back"})
    assert writer.close() is None
    history = read(history_file(folder, NEMESIS))
    assert history.cut is None
    assert list(history.tables["fault"]["event"]) == [START, START, STOP, STOP]
    assert list(history.tables["fault"]["evidence"])[2:] == ['{"bytes_delayed":5}', '{"state":"back"}']


def test_a_killed_nemesis_leaves_a_fault_that_was_not_healed(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.fault("slow-net", 1, None)
    folder = play.write()
    path = history_file(folder, NEMESIS)
    path.write_bytes(path.read_bytes()[:-20])
    verdict = judge(folder)
    assert verdict.verdict == "undecided"
    text = "\n".join(verdict.reasons)
    assert "nemesis.cs1 is not whole" in text
    assert "was never healed" in text


@pytest.mark.parametrize(("bound", "refused"), [(0.0, 1), (0.04, 1), (0.06, 0)])
def test_a_send_that_another_hosts_clock_may_have_put_outside_a_fault_is_no_finding(
    tmp_path: Path, bound: float, refused: int
) -> None:
    """The send at 2.25 s is 50 ms after the fault, by clocks that agree to within `bound`."""
    play = Play(tmp_path, plants={(0, 2): Plant(outcome=REJECTED, stored=0)}).perform()
    play.fault("slow-net", 1.0, 2.2)
    play.manifest.clocks = {play.manifest.processes[0]: Clock(0.0, bound)}
    verdict = play.judge()
    assert verdict.counts.refused == refused
    assert verdict.faults[0].clock_bound == bound


@pytest.mark.parametrize(
    ("bound", "window", "outcome"),
    [
        (0.04, "after", "fail"),
        (0.06, "after", "undecided"),
        (0.04, "during", "pass"),
        (0.06, "during", "undecided"),
        (0.06, "before", "pass"),
    ],
)
def test_what_the_clocks_cannot_tell_from_a_faults_edge_decides_no_slo(
    tmp_path: Path, bound: float, window: str, outcome: str
) -> None:
    play = Play(tmp_path, plants={(0, 2): Plant(outcome=REJECTED, stored=0)}).perform()
    play.fault("slow-net", 1.0, 2.2)
    play.manifest.clocks = {play.manifest.processes[0]: Clock(0.0, bound)}
    verdict = play.judge([f"rejected <= 0 {window} slow-net"])
    assert verdict.slos[0].outcome == outcome
    if outcome == "undecided":
        assert any("of the fault's edge, the uncertainty of the hosts' clocks" in reason for reason in verdict.reasons)
