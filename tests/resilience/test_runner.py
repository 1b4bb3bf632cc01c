"""The comparison of verdicts, and the catalogue: every scenario with a fault has a row."""

import tomllib
from typing import Any

import pytest
from rich.console import Console

from chatswarm.loadtests.judge.verdict import Counts, Deliveries, Recovery
from chatswarm.loadtests.scenario.scenario import parse, shipped

from .__main__ import plan
from .catalogue import ROWS, Row
from .chats.names import CHATS, CLEAN, PUSH_CHATS, PUSH_CLEAN
from .judged import STARTS, Ended, Outcome, problems_of, problems_of_end
from .report import table
from .runs import adapted, in_rooms, run, table_of, unharmed


def verdict(outcome: str = "fail", slos: dict[str, str] | None = None, **counts: int | None) -> dict[str, Any]:
    """A verdict with only these findings."""
    deliveries: dict[str, int | None] = dict.fromkeys(Deliveries.__struct_fields__, 0)
    others: dict[str, int | None] = dict.fromkeys(Counts.__struct_fields__, 0)
    for name, count in counts.items():
        (deliveries if name in deliveries else others)[name] = count
    return {
        "verdict": outcome, "reasons": [], "deliveries": deliveries, "counts": others, "rig": {"reasons": []},
        "findings": [{"check": name, "outcome": "fail", "count": count} for name, count in counts.items()],
        "slos": [{"expect": slo, "outcome": outcome, "actual": 4.2} for slo, outcome in (slos or {}).items()],
        "recoveries": [],
    }  # fmt: skip


def test_an_expected_verdict_has_no_problems() -> None:
    assert problems_of("without", {"lost": "> 0"}, verdict(lost=3)) == []
    assert problems_of("without", {"store_lost": "== 2", "late": "== 0"}, verdict(store_lost=2)) == []
    assert problems_of("without", {"slo": "visible"}, verdict(slos={"visible.p99 <= 2s": "fail"})) == []
    for kind in ("reference", "clean", "unharmed"):
        assert problems_of(kind, {"lost": "> 0"}, verdict("pass")) == []


@pytest.mark.parametrize(
    ("kind", "shows", "judged", "problem"),
    [
        ("without", {"lost": "> 0"}, verdict("pass"), "fail expected, got pass"),
        ("without", {"lost": "> 0"}, verdict("undecided", lost=3), "fail expected, got undecided"),
        ("without", {"lost": "> 0"}, verdict(late=3), "expected lost > 0, got 0"),
        ("without", {"lost": "> 0"}, verdict(late=3), "late: 3 (fail)"),
        ("without", {"absent": "> 0"}, verdict(absent=None), "expected absent > 0, got nothing"),
        ("without", {"slos.0.actual": "> 1"}, verdict(), "expected slos.0.actual > 1, got nothing"),
        (
            "without", {"slo": "visible"}, verdict(slos={"connect.max <= 2s": "fail", "visible.p99 <= 2s": "pass"}),
            "expected a failing SLO with 'visible' in it, got connect.max <= 2s",
        ),
        ("without", {"slo": ""}, verdict(lost=1), "expected a failing SLO with '' in it, got none"),
        ("reference", {"lost": "> 0"}, verdict(lost=3), "pass expected, got fail"),
        ("reference", {}, verdict(slos={"connect.max <= 2s": "fail"}), "SLO connect.max <= 2s: fail, got 4.2"),
        ("unharmed", {"lost": "> 0"}, verdict(lost=3), "pass expected, got fail"),
    ],
)  # fmt: skip
def test_each_difference_is_a_problem(kind: Any, shows: dict[str, str], judged: Any, problem: str) -> None:
    assert problem in problems_of(kind, shows, judged)


def test_every_chat_is_used_and_every_scenario_with_a_fault_has_a_row() -> None:
    assert {row.chat for row in ROWS} | {CLEAN, PUSH_CLEAN} == {*CHATS, *PUSH_CHATS, ""}
    assert all((row.clean in (PUSH_CLEAN, "")) == (row.chat in PUSH_CHATS) for row in ROWS)
    harmful = {name for name, path in shipped().items() if "fault" in tomllib.loads(path.read_text(encoding="utf-8"))}
    # The soak mixes the faults of the others.
    assert harmful - {"soak"} <= {row.scenario for row in ROWS}
    for row in ROWS:
        assert row.shows
        assert row.counterpart


def test_the_reference_backend_runs_once_for_each_scenario() -> None:
    deploys = [row for row in ROWS if row.scenario == "deploy"]
    assert len(deploys) > 1
    kinds = [kind for _, kind, _ in plan(deploys, STARTS, clean=True, unharmed=True)]
    assert kinds == ["reference", "clean", *["unharmed", "without"] * len(deploys)]


def test_a_scenario_in_rooms_has_a_run_of_our_own_push_chat() -> None:
    cuts = [row for row in ROWS if row.scenario == "cut"]
    planned = plan(cuts, STARTS, clean=True, unharmed=False)
    assert [row.in_rooms for row, kind, _ in planned if kind == "reference"] == [False, True]
    assert parse(in_rooms(table_of("cut")), "cut", "cut.toml").rooms is not None


def test_each_way_to_start_has_a_fault_of_a_process_and_one_of_the_network() -> None:
    for start in STARTS:
        scenarios = {row.scenario for row in ROWS if start in row.starts}
        assert scenarios >= {"kill", "slow-net"}
    for row in ROWS:
        assert "run" in row.starts
        if len(row.starts) > 1:
            # Whoever starts the reference chat for `locust -f` gives it no [backend], no broker and no token.
            assert "backend" not in table_of(row.scenario)
            assert not row.broker
            assert not row.needs_token


def test_each_scenario_is_started_in_the_chosen_ways() -> None:
    rows = [Row("a", {}, "x", starts=("run", "page")), Row("a", {}, "y", starts=("run", "page")), Row("b", {}, "z")]
    planned = plan(rows, ["page"], clean=False, unharmed=False)
    assert planned == [(rows[0], "reference", "page"), (rows[0], "without", "page"), (rows[1], "without", "page")]
    assert len(plan(rows, STARTS, clean=False, unharmed=False)) == 8


@pytest.mark.parametrize(
    ("ended", "problem"),
    [
        (Ended(70, {}, has_report=False, said="it broke\n"), "no verdict, exit code 70: it broke"),
        (Ended(0, verdict("fail"), has_report=True, said=""), "expected exit code 1 for fail, got 0"),
        (Ended(1, verdict("undecided"), has_report=True, said=""), "expected exit code 3 for undecided, got 1"),
        (Ended(0, verdict("pass"), has_report=False, said=""), "expected report.html in the run's folder, got none"),
        (Ended(0, verdict("pass"), has_report=True, said=""), None),
    ],
)
def test_a_run_leaves_its_verdict_its_report_and_its_exit_code(ended: Ended, problem: str | None) -> None:
    assert problems_of_end(ended) == ([] if problem is None else [problem])


def test_removing_the_faults_removes_their_slos() -> None:
    content = {
        "swarm": {"rate": 20},
        "fault": [{"name": "slow-net", "kind": "latency"}],
        "slo": [{"expect": "lost == 0"}, {"expect": "visible.p99 <= 3s during slow-net"}],
    }
    assert unharmed(content) == {"swarm": {"rate": 20}, "slo": [{"expect": "lost == 0"}]}


def test_faults_get_the_keys_for_a_chat_that_chatswarm_did_not_start() -> None:
    row = Row("x", {}, faults={"a": {"database": "{database}"}, "b": {"kind": "command", "start": "kill {pid}"}})
    values = {"database": "/tmp/chat.db", "pid": "7"}
    at = {"at": "2s", "for": "1s"}
    assert adapted({"name": "a", "kind": "lock_store", **at}, row, values) == {
        "name": "a", "kind": "lock_store", **at, "database": "/tmp/chat.db",
    }  # fmt: skip
    assert adapted({"name": "b", "kind": "kill", "on": "broker", **at}, row, values) == {
        "name": "b", "kind": "command", **at, "start": "kill 7",
    }  # fmt: skip
    other = {"name": "c", "kind": "kill", **at}
    assert adapted(other, row, values) == other


def test_a_run_without_a_verdict_reports_why(tmp_path: Any) -> None:
    outcome = run(Row("no-such-scenario", {"lost": "> 0"}), "reference", tmp_path / "0")
    assert outcome.problems
    assert "no-such-scenario" in outcome.problems[0]


def test_the_table_marks_unexpected_verdicts() -> None:
    judged = verdict(lost=3, absent=None)
    judged["recoveries"] = [
        {field: getattr(recovery, field) for field in Recovery.__struct_fields__}
        for recovery in (
            Recovery("a", 1.0, 2.0, whole_again=1.0, detected=0.5, reconnected=2.04),
            Recovery("b", 3.0, 4.0, at_least=7.0, detected=0.25),
        )
    ]
    good = Outcome("kill", "without", "breaks", "processes", "kill", judged, seconds=12.3)
    bad = Outcome("kill", "reference", "reference", "run", "kill", verdict("pass"), ["no"])
    none = Outcome("pause", "reference", "reference", "run", "pause", problems=["no verdict"])
    console = Console(width=190)
    with console.capture() as captured:
        console.print(table([good, bad, none]))
    lines = [line.split() for line in captured.get().splitlines()]
    dash, dot = ["–"], ["·"]
    by = ["locust", "--processes", "2"]
    assert [
        "kill",
        "kill",
        "breaks",
        *by,
        "fail",
        "0.5",
        "2.0",
        *dash * 2,
        "≥",
        "7.0",
        "3",
        *dot * 3,
        *dash,
        "12",
    ] in lines
    assert ["reference", "chatswarm", "run", "pass", "!", *dash * 5, *dot * 5, "0"] in lines
    assert ["pause", "pause", "reference", "chatswarm", "run", "none", "!", *dash * 10, "0"] in lines
