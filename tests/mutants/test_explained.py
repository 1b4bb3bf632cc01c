"""What `chatswarm why` says of a run is compared with what was planted: each kind of mistake is counted."""

from typing import Any

import pytest
from rich.console import Console

from chatswarm.loadtests.causes.table import CAUSES

from .__main__ import scored
from .catalogue import LATENESSES, PLANTINGS, Planting
from .explained import (
    PROVEN,
    Explanation,
    Score,
    blamed_faults,
    claims,
    expectations,
    explained,
    first_cause,
)
from .judged import Outcome
from .push_catalogue import PUSH_LATENESSES, PUSH_PLANTINGS, PushPlanting
from .report import causes

UNEXPLAINED = {"LosesEveryThousandthDelivery"}
"""Plants that no history explains."""

ROWS: list[Planting | PushPlanting] = [*PLANTINGS, *PUSH_PLANTINGS]


def why(*named: tuple[str, str, str], unexplained: int = 0) -> dict[str, Any]:
    """The answer with these causes: findings, ids and certainties, in order."""
    rows = [
        {"id": cause, "finding": finding, "certainty": certainty, "deliveries": 24, "coverage": 0.96, "sentence": "",
         "evidence": [], "excluded": [], "examples": [], "next": ""}
        for finding, cause, certainty in named
    ]  # fmt: skip
    return {"verdict": "fail", "causes": rows, "unexplained": {"count": unexplained, "ranking": []}}


def compared(
    expected: dict[str, str], *named: tuple[str, str, str], problem: str = "", unexplained: int = 0
) -> list[Explanation]:
    return explained("Plant", "push", expected, why(*named, unexplained=unexplained), problem)


def outcome(finding: str, expected: dict[str, str], *named: tuple[str, str, str], under_fault: bool = False) -> Outcome:
    """A run whose findings are as planted."""
    return Outcome(
        "Plant", finding, verdict={"verdict": "fail"}, expected=expected, why=why(*named), under_fault=under_fault
    )


def test_the_first_cause_of_a_finding_is_what_counts() -> None:
    (one,) = compared({"lost": "one_chat"}, ("late", "backlog", "proven"), ("lost", "one_chat", "probable"),
                      ("lost", "never_stored", "proven"))  # fmt: skip
    assert one.right
    assert (one.first, one.certainty, one.coverage) == ("one_chat", "probable", 0.96)
    (other,) = compared({"lost": "never_stored"}, ("lost", "one_chat", "probable"), ("lost", "never_stored", "proven"))
    assert not other.right
    assert not other.falsely_proven


def test_a_gap_is_explained_as_what_is_lost_if_not_by_itself() -> None:
    named = ("lost", "no_replay", "proven")
    assert first_cause(why(named), "gap")["id"] == "no_replay"
    assert first_cause(why(named, ("gap", "not_recovered", "proven")), "gap")["id"] == "not_recovered"
    assert first_cause(why(named), "late") == {}


def test_one_of_several_causes_may_be_expected() -> None:
    expected = {"refused": "server_error or no_answer"}
    assert compared(expected, ("refused", "no_answer", "probable"))[0].right
    assert not compared(expected, ("refused", "or", "probable"))[0].right
    assert not compared(expected)[0].right


def test_nothing_is_right_if_it_is_said_to_be_unexplained() -> None:
    assert compared({"lost": ""}, unexplained=5)[0].right
    assert not compared({"lost": ""})[0].right
    (wrong,) = compared({"lost": ""}, ("lost", "every_kth", "proven"))
    assert not wrong.right
    assert wrong.falsely_proven


def test_no_answer_is_never_right() -> None:
    for expected in ("", "one_chat"):
        (one,) = compared({"lost": expected}, ("lost", "one_chat", "proven"), problem="no answer")
        assert not one.right
        assert not one.falsely_proven


def test_what_a_history_shows_directly_must_be_proven() -> None:
    assert "never_stored" in PROVEN
    assert compared({"lost": "never_stored"}, ("lost", "never_stored", "proven"))[0].right
    (one,) = compared({"lost": "never_stored"}, ("lost", "never_stored", "probable"))
    assert not one.right
    assert not one.falsely_proven


def test_expectations_are_those_that_are_stated() -> None:
    assert expectations("lost", "one_chat") == {"lost": "one_chat"}
    assert expectations("absent", "handshake_refused", "never_reconnected") == {
        "absent": "handshake_refused", "lost": "never_reconnected"
    }  # fmt: skip
    assert expectations("lost", "") == {"lost": ""}
    assert expectations("", "") == {}


def test_a_fault_is_blamed_if_it_comes_first_or_is_proven() -> None:
    fault, other = ("lost", "fault", "probable"), ("lost", "one_chat", "probable")
    assert blamed_faults(why(other, fault)) == []
    assert blamed_faults(why(fault, other)) == ["lost: the fault, probable, as the first cause"]
    assert blamed_faults(why(other, ("lost", "fault", "proven"))) == ["lost: the fault, proven"]
    assert blamed_faults(why(other, ("late", "fault", "probable"))) == ["late: the fault, probable, as the first cause"]


def test_all_runs_make_one_score() -> None:
    right = outcome("lost", {"lost": "one_chat"}, ("lost", "one_chat", "probable"))
    assert scored([right]).met
    assert scored([*[right] * 19, outcome("lost", {"lost": "one_chat"})]).met
    few = scored([*[right] * 18, outcome("lost", {"lost": "one_chat"})])
    assert (few.right, len(few.explanations), few.met) == (18, 19, False)
    proven = outcome("lost", {"lost": "one_chat"}, ("lost", "every_kth", "proven"))
    assert (scored([*[right] * 99, proven]).falsely_proven, scored([*[right] * 99, proven]).met) == (1, False)
    clean = outcome("", {})
    assert scored([right, clean]).met
    claimed = scored([right, outcome("", {}, ("lost", "one_chat", "probable"))])
    assert claimed.claimed == ["Plant (original): lost: one_chat, probable"]
    assert not claimed.met
    blaming = ("late", "fault", "probable")
    assert scored([right, outcome("lost", {}, blaming)]).met
    blamed = scored([right, outcome("lost", {}, blaming, under_fault=True)])
    assert blamed.blamed == ["Plant (original): late: the fault, probable, as the first cause"]
    assert not blamed.met


def test_no_answer_is_no_pass() -> None:
    assert not Score().met
    clean, silent = outcome("", {}), outcome("", {})
    silent.why, silent.not_explained = {}, "no answer"
    assert scored([clean]).met
    both = scored([clean, silent])
    assert both.unanswered == ["Plant (original)"]
    assert not both.met


def test_what_is_claimed_is_listed() -> None:
    assert claims(why(("lost", "one_chat", "probable"))) == ["lost: one_chat, probable"]


def test_a_run_without_a_verdict_is_not_compared() -> None:
    assert scored([Outcome("Plant", "lost", expected={"lost": "one_chat"})]).explanations == []


def test_the_table_has_a_row_for_each_answer_and_marks_the_wrong_ones() -> None:
    expected = {"lost": "never_stored"}
    rows = [
        *compared(expected, ("lost", "never_stored", "proven")),
        *compared(expected, ("lost", "never_stored", "proven")),
        *compared(expected, ("lost", "never_stored", "probable")),
        *compared(expected, ("lost", "one_chat", "probable")),
        *compared(expected, problem="no answer"),
    ]
    console = Console(width=150)
    with console.capture() as captured:
        console.print(causes(rows))
    lines = [" ".join(line.split()) for line in captured.get().splitlines()]
    assert lines[2:] == [
        "Plant lost 2 never_stored proven 96% right",
        "Plant lost 1 never_stored probable 96% wrong ! expected it to be proven (push)",
        "Plant lost 1 one_chat probable 96% wrong ! expected never_stored (push)",
        "Plant lost 1 none – wrong ! no answer",
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_every_plant_states_its_cause(row: Planting | PushPlanting) -> None:
    plant = row.plant
    assert bool(plant.cause) == (bool(plant.finding) and row.label not in UNEXPLAINED)
    assert row.expected == ({plant.finding: plant.cause} if plant.finding else {}) | (
        {"lost": plant.cause_of_lost} if plant.cause_of_lost else {}
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_every_cause_is_one_that_can_be_named(row: Planting | PushPlanting) -> None:
    assert {cause for expected in row.expected.values() if expected for cause in expected.split(" or ")} <= set(CAUSES)


def test_every_cause_of_a_late_delivery_has_a_plant() -> None:
    named = {lateness.cause for lateness in (*LATENESSES, *PUSH_LATENESSES)}
    named |= {row.plant.cause or "" for row in ROWS if row.plant.finding == "late"}
    assert named == {
        "slow_accept", "slow_notify", "slow_list", "pauses", "backlog", "growing_list", "dashboards_in_turn", "away"
    }  # fmt: skip
