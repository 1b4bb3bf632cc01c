"""What a row expects, and how a verdict differs from it; and the table of both."""

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from chatswarm.loadtests.judge.verdict import Counts, Deliveries
from tests.resilience.judged import Ended

from .catalogue import ROWS, Row
from .judged import Outcome, problems_of
from .report import table

CHAT = ROWS[0].chat
CLEAN = Row(CHAT, "clean", "pass")
GAP = Row(CHAT, "kill", "only gap")
DEFECT = Row(CHAT, "clean", "fail", "drops-every-tenth", ("lost",), each_tenth={"lost": 20})


def verdict(outcome: str, accepted: int = 100, **counts: int | None) -> dict[str, Any]:
    """A verdict with only these findings."""
    deliveries: dict[str, int | None] = dict.fromkeys(Deliveries.__struct_fields__, 0)
    others: dict[str, int | None] = dict.fromkeys(Counts.__struct_fields__, 0)
    for name, count in counts.items():
        (deliveries if name in deliveries else others)[name] = count
    return {
        "verdict": outcome, "reasons": [], "deliveries": deliveries, "counts": others,
        "rig": {"reasons": [], "sound": True},
        "findings": [{"check": name, "outcome": outcome, "count": count} for name, count in counts.items()],
        "slos": [], "recoveries": [], "messages": {"accepted": accepted},
    }  # fmt: skip


def problems(row: Row, judged: dict[str, Any]) -> list[str]:
    code = {"pass": 0, "fail": 1, "undecided": 3}[judged["verdict"]]
    return problems_of(row, Ended(code, judged, has_report=True, said=""))


def test_what_was_expected_is_no_problem() -> None:
    assert problems(CLEAN, verdict("pass")) == []
    assert problems(GAP, verdict("pass", lost=5, gap=5)) == []
    assert problems(DEFECT, verdict("fail", lost=200)) == []
    assert problems(replace(DEFECT, shows={"counts.recovered": "> 0"}), verdict("fail", lost=200) | {
        "counts": {"recovered": 1}}) == []  # fmt: skip


@pytest.mark.parametrize(
    ("row", "judged", "problem"),
    [
        (CLEAN, verdict("fail", lost=1), "pass expected, got fail"),
        (CLEAN, verdict("fail", lost=1), "lost: 1 (fail)"),
        (CLEAN, verdict("undecided"), "pass expected, got undecided"),
        (DEFECT, verdict("pass"), "fail expected, got pass"),
        (DEFECT, verdict("fail", lost=200, late=1), "expected the findings lost, got late, lost"),
        (DEFECT, verdict("fail", phantom=3), "expected the findings lost, got phantom"),
        (DEFECT, verdict("fail", lost=199), "expected lost = 20 for each of 10 tenth messages, got 199.0"),
        (replace(DEFECT, shows={"late": "> 0"}), verdict("fail", lost=200), "expected late > 0, got 0"),
    ],
)
def test_each_difference_is_a_problem(row: Row, judged: dict[str, Any], problem: str) -> None:
    assert any(found.startswith(problem) for found in problems(row, judged))


def test_a_run_without_a_verdict_is_a_problem() -> None:
    assert problems_of(CLEAN, Ended(2, {}, has_report=False, said="no")) == ["no verdict, exit code 2: no"]


def test_only_a_gap_may_be_lost_where_nothing_is_sent_again() -> None:
    assert {"lost == gap", "gap > 0"} <= set(GAP.expectations)
    assert "lost == 0" in CLEAN.expectations
    assert not {"lost == 0", "store_lost == 0"} & set(DEFECT.expectations)


def test_the_table_marks_what_differs_and_what_was_skipped() -> None:
    outcomes = [
        Outcome(CLEAN, "socket.io 4", verdict("pass"), seconds=9.8),
        Outcome(GAP, "socket.io 4", verdict("pass", lost=5, gap=5, store_lost=None)),
        Outcome(DEFECT, "socket.io 4", verdict("fail", lost=200, late=3), ["no"]),
        Outcome(GAP, skipped="no node"),
    ]
    console = Console(width=170)
    with console.capture() as captured:
        console.print(table(outcomes))
    lines = [" ".join(line.split()) for line in captured.get().splitlines()]
    assert "socket.io socket.io 4 clean pass pass · · · · · · 10" in lines
    assert "kill only gap only gap · 5 5 – · · 0" in lines
    assert "drops-every-tenth fail: lost fail: late, lost ! · 200 · · · · 0" in lines
    assert "kill only gap SKIPPED – – – – – – 0" in lines
