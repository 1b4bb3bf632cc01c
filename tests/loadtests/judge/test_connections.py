"""Connections that dashboards lost: how many, with which code, and when; and what the faults say that they did."""

from pathlib import Path

import pytest

from chatswarm.loadtests.history.tables import ConnectionEvent
from chatswarm.loadtests.judge.verdict import SloResult, Verdict
from chatswarm.loadtests.scenario.metric_names import Outcome

from .play import T0, Play

CLOSED, FAILED, OPENING = ConnectionEvent.CLOSED, ConnectionEvent.FAILED, ConnectionEvent.OPENING


def cut_twice(folder: Path) -> Play:
    """4 dashboards. Two are closed with 1012 at 3 s, one just breaks off at 5 s; then it fails once to come back."""
    play = Play(folder, dashboards=4, rate=4, seconds=8).perform()
    play.rows["worker0"] = [
        (table, values)
        for table, values in play.rows["worker0"]
        if table != "connection" or values[2] != ConnectionEvent.STOPPED or values[1] == 3
    ]
    for dashboard, at, code in ((0, 3.0, 1012), (1, 3.0, 1012), (2, 5.0, 1006)):
        play.event(dashboard, dashboard, CLOSED, T0 + at, code)
        play.connect(10 + dashboard, dashboard, T0 + at + 1)
    play.event(20, 2, OPENING, T0 + 5.1)
    play.event(20, 2, FAILED, T0 + 5.2, 503)
    # One that the scenario does not have.
    play.event(30, 7, OPENING, T0 + 1)
    play.event(30, 7, ConnectionEvent.SUBSCRIBED, T0 + 1.1)
    play.event(30, 7, CLOSED, T0 + 3, 1012)
    play.fault("deploy", 2.5, 3.5, "terminate", {"pid": "7", "exit_seconds": 0.25, "killed": 0})
    return play


def outcomes(verdict: Verdict) -> list[Outcome]:
    return [result.outcome for result in verdict.slos]


def only(verdict: Verdict) -> SloResult:
    (result,) = verdict.slos
    return result


def test_they_are_in_the_verdict(tmp_path: Path) -> None:
    connections = cut_twice(tmp_path).judge().connections
    assert (connections.subscribed, connections.failed, connections.closed) == (7, 1, 3)
    assert connections.codes == {"1006": 1, "1012": 2}


def test_planned_stops_are_none(tmp_path: Path) -> None:
    verdict = Play(tmp_path).perform().judge(["closed == 0", "closed.1000 == 0"])
    assert (verdict.connections.closed, verdict.connections.codes) == (0, {})
    assert outcomes(verdict) == ["pass", "pass"]


@pytest.mark.parametrize(
    ("window", "closed", "with_1012"),
    [
        ("", 3, 2), (" before deploy", 0, 0), (" during deploy", 2, 2), (" after deploy", 1, 0),
    ],
)  # fmt: skip
def test_they_are_counted_by_code_and_window(tmp_path: Path, window: str, closed: int, with_1012: int) -> None:
    verdict = cut_twice(tmp_path).judge([f"closed == {closed}{window}", f"closed.1012 == {with_1012}{window}",
                                         f"closed.1013 > 0{window}", "lost == 0"])  # fmt: skip
    assert [result.actual for result in verdict.slos] == [closed, with_1012, 0, 0]
    assert outcomes(verdict) == ["pass", "pass", "fail", "pass"]


def test_evidence_can_be_asked_for(tmp_path: Path) -> None:
    verdict = cut_twice(tmp_path).judge(
        ["evidence.exit_seconds <= 1s during deploy", "evidence.killed > 0 during deploy"]
    )
    assert [result.actual for result in verdict.slos] == [0.25, 0]
    assert outcomes(verdict) == ["pass", "fail"]


@pytest.mark.parametrize("key", ["pid", "nothing"])
def test_what_a_fault_does_not_say_in_a_number_is_undecided(tmp_path: Path, key: str) -> None:
    verdict = cut_twice(tmp_path).judge([f"evidence.{key} > 0 during deploy"])
    assert (only(verdict).actual, only(verdict).outcome) == (None, "undecided")
    assert f"evidence.{key} was not measured during deploy" in "\n".join(verdict.reasons)


def test_all_occurrences_are_summed_up(tmp_path: Path) -> None:
    play = cut_twice(tmp_path)
    play.fault("slow", 1, 2, evidence={"bytes_delayed": 5, "first": 1})
    play.fault("slow", 4, 5, evidence={"bytes_delayed": 7})
    play.fault("other", 4, 5, evidence={"bytes_delayed": 100})
    verdict = play.judge(["evidence.bytes_delayed == 12 during slow", "evidence.first == 1 during slow"])
    assert verdict.slos[0].actual == 12
    # One of the two does not say.
    assert outcomes(verdict) == ["pass", "undecided"]


def test_evidence_of_a_fault_that_was_not_healed_is_undecided(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.fault("slow", 1, None, evidence={"pid": "7"})
    verdict = play.judge(["evidence.bytes_delayed > 0 during slow"])
    assert (verdict.verdict, only(verdict).outcome) == ("undecided", "undecided")
