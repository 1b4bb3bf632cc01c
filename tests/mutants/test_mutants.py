"""The comparison of verdicts with plants misses nothing, and every finding has a plant."""

import inspect
import math
from typing import Any

import pytest
from rich.console import Console

from chatswarm.loadtests.judge.verdict import FINDINGS, Counts, Deliveries
from tests.plants import losing, mangling, refusing, showing, stalling
from tests.plants.plant import Count, Plant, TracksConnections

from .__main__ import measure
from .catalogue import COMPANIONS, COUNTED, DELAYS, MEDIANS, PLANTINGS, Delay
from .judged import Outcome, found_in, is_off, outside_faults, problems_of, without_delay, wrong_shifts
from .report import delays, diagonal


def verdict(exit_code: int = 1, outcome: str = "fail", **counts: int | None) -> dict[str, Any]:
    """A verdict with these findings and no others."""
    deliveries: dict[str, int | None] = {"lost": 0, "gap": 0, "late": 0, "unnotified": 0}
    others: dict[str, int | None] = dict.fromkeys(Counts.__struct_fields__, 0)
    for name, count in counts.items():
        (deliveries if name in deliveries else others)[name] = count
    findings = [{"check": name, "outcome": outcome} for name in counts if name in FINDINGS]
    return {
        "verdict": "fail", "reasons": [], "exit_code": exit_code, "deliveries": deliveries, "counts": others,
        "findings": findings, "latency": {name: {"p50": 0.1} for name in MEDIANS},
    }  # fmt: skip


def test_every_finding_has_a_count_in_a_verdict() -> None:
    fields = {*Deliveries.__struct_fields__, *Counts.__struct_fields__}
    assert set(FINDINGS) <= fields
    assert found_in(verdict()) == {}


def test_every_finding_has_a_plant_and_every_plant_a_run() -> None:
    # Only a chat with rooms can leak: see `push_catalogue.py`.
    assert {planting.plant.finding for planting in PLANTINGS} == {*FINDINGS, ""} - {"leaked"}
    written = {
        plant
        for module in (losing, stalling, showing, mangling, refusing)
        for _, plant in inspect.getmembers(module, inspect.isclass)
        if issubclass(plant, Plant) and plant not in (Plant, TracksConnections, mangling.Rewrites)
    }
    assert {planting.plant for planting in PLANTINGS} == written


def test_a_verdict_as_planted_has_no_problem() -> None:
    assert problems_of("lost", {"lost": 8}, verdict(lost=8), 1) == []
    assert problems_of("store_lost", {"store_lost": 2, "lost": 8}, verdict(store_lost=2, lost=8), 1) == []
    assert problems_of("refused", {"refused": 1, "recovered": 1}, verdict(refused=1, recovered=1), 1) == []
    assert problems_of("", {}, verdict(exit_code=0), 0) == []


@pytest.mark.parametrize(
    ("finding", "truth", "judged", "problem"),
    [
        ("lost", {"lost": 8}, verdict(lost=7), "lost: 8 planted, 7 found"),
        ("lost", {"lost": 8}, verdict(late=8), "late: 0 planted, 8 found"),
        ("lost", {"lost": 8}, verdict(lost=8, duplicated=1), "duplicated failed beside lost"),
        ("lost", {"lost": 8}, verdict(lost=8, outcome="undecided"), "lost did not fail"),
        ("lost", {"lost": 8}, verdict(lost=8, exit_code=3), "expected exit code 1, got 3 (fail)"),
        ("lost", {"lost": 0}, verdict(), "the plant caused no lost"),
        ("phantom", {"phantom": 1}, verdict(phantom=None), "phantom: 1 planted, null found"),
        ("refused", {"refused": 1, "lost": 4}, verdict(refused=1, lost=4), "lost failed beside refused"),
        ("", {}, verdict(exit_code=0, refused=1), "refused: 0 planted, 1 found"),
        ("late", {"late": range(4, 9)}, verdict(late=9), "late: 4 to 8 planted, 9 found"),
        ("late", {"late": range(1)}, verdict(), "the plant caused no late"),
    ],
)  # fmt: skip
def test_differences_from_a_plant_are_reported(
    finding: str, truth: dict[str, Count], judged: Any, problem: str
) -> None:
    assert problem in problems_of(finding, truth, judged, 1 if finding else 0)


def test_a_count_may_be_one_of_a_range() -> None:
    assert problems_of("late", {"late": range(4, 9)}, verdict(late=8), 1) == []


def test_beside_a_fault_fewer_sends_may_be_refused() -> None:
    truth = outside_faults({"refused": 8, "recovered": 8})
    assert problems_of("refused", truth, verdict(refused=3, recovered=8), 1) == []
    for refused in (0, 9):
        assert problems_of("refused", truth, verdict(refused=refused, recovered=8), 1)


def test_what_cannot_be_measured_must_be_null() -> None:
    judged = verdict(lost=8, leaked=None)
    judged["findings"] = judged["findings"][:1]
    assert problems_of("lost", {"lost": 8}, judged, 1, {"leaked"}) == []
    assert problems_of("lost", {"lost": 8}, judged, 1, {"leaked", "gap"}) == ["gap: null planted, 0 found"]


def test_a_gap_fails_as_lost() -> None:
    truth = {"gap": 3, "lost": 3}
    assert problems_of("gap", truth, verdict(gap=3, lost=3), 1) == []
    assert problems_of("gap", truth, verdict(gap=2, lost=3), 1) == ["gap: 3 planted, 2 found"]
    assert "gap did not fail" in problems_of("gap", truth, verdict(outcome="undecided", gap=3, lost=3), 1)


def test_a_finding_that_is_counted_but_not_listed_is_reported() -> None:
    judged = verdict(lost=8)
    judged["findings"] = []
    assert any("but findings: []" in problem for problem in problems_of("lost", {"lost": 8}, judged, 1))


def test_companions_are_findings() -> None:
    assert set(COMPANIONS).union(*COMPANIONS.values()) <= set(COUNTED)


@pytest.mark.parametrize(
    ("planted", "measured", "off"),
    [
        (0.05, 0.0549, False),
        (0.05, 0.0551, True),  # 5 ms
        (1.5, 1.57, False),
        (1.5, 1.58, True),  # 5 %
        (0, -0.0051, True),
        (0, 0.0049, False),
        (0, math.nan, True),
        (1.5, math.inf, True),
    ],
)
def test_a_shift_may_differ_by_5_ms_or_5_percent(planted: float, measured: float, off: bool) -> None:
    assert is_off(planted, measured) is off


def test_delays_are_compared_with_runs_without_delay() -> None:
    still = dict.fromkeys(MEDIANS, 0.010)
    moved = still | {"notified": 0.062, "refetch": 0.020}
    delay = Delay(DELAYS[0].plant, 0.05, {"notified": 0.05})
    base = Delay(DELAYS[0].plant, 0, {})
    outcome = Outcome("slow", medians=moved)
    ((_, shift),) = measure([(base, Outcome("not slow", medians=still)), (delay, outcome)])
    assert shift["notified"] == pytest.approx(0.052)
    assert outcome.problems == ["refetch: +0 ms planted, +10.0 ms measured"]
    assert wrong_shifts({"notified": 0.05, "refetch": 0.01}, shift) == []
    assert without_delay([still, moved])["refetch"] == pytest.approx(0.015)


def test_without_a_run_to_compare_with_no_shift_is_measured() -> None:
    outcome = Outcome("slow", medians=dict.fromkeys(MEDIANS, 0.01))
    assert measure([(DELAYS[0], outcome)]) == []
    assert outcome.problems


def test_the_tables_mark_wrong_runs() -> None:
    good = Outcome("A", "lost", verdict=verdict(lost=8))
    more = Outcome("A", "lost", verdict=verdict(lost=9))
    bad = Outcome("B", "late", verdict=verdict(lost=3), problems=["late: 2 planted, 0 found"])
    none = Outcome("C", "absent", problems=["no verdict"])
    unmeasured = Outcome("D", "lost", verdict=verdict(lost=4, leaked=None))
    console = Console(width=150)
    with console.capture() as captured:
        console.print(diagonal([bad, good, none, more, unmeasured]))
        console.print(delays([(Delay(DELAYS[0].plant, 0.05, {"visible": 0.05}), dict.fromkeys(MEDIANS, 0.02))]))
    rows = {line.split()[0]: line.split() for line in captured.get().splitlines() if line.split()}
    assert rows["A"] == ["A", "2", "8–9", *["·"] * 14]
    assert rows["B"] == ["B", "0", "of", "1", "!", "(3)", "·", "·", "·", "0", "!", *["·"] * 10]
    assert rows["C"] == ["C", "0", "of", "1", "!", *["·"] * 15]
    assert rows["D"] == ["D", "1", "4", *["·"] * 13, "–"]
    assert "+20.0 ! for +50" in captured.get()
