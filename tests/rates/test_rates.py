"""What counts as right, by literal results; and what times a command's first line tells."""

from typing import Any

import pytest

from tests.plants.chat import Dashboard
from tests.plants.latency import NoisyFrames

from . import comparisons
from .__main__ import is_met, table_of
from .comparisons import ComparedPair
from .searches import LIMITS
from .trial import Trial, told_in

RATE, DASHBOARDS, RIG, MACHINE = LIMITS


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("3 pairs of runs of about 10 s each, in turns: 90 s, at most 2 min in all", 120),
        ("40 to 640 messages/s against http://127.0.0.1:8000: at most 1 h 20 min", 4800),
        ("quick by rate: at most 45 s", 45),
        ("Error: --from: expected less", 0),
    ],
)
def test_the_told_time_is_the_last_one_in_a_line(line: str, seconds: float) -> None:
    assert told_in(line) == seconds


@pytest.mark.parametrize(
    ("pair", "outcome", "code", "is_right"),
    [
        ("alike", "same", 0, True), ("alike", "cannot tell", 3, True), ("alike", "worse", 1, False),
        ("alike", "better", 0, False), ("+20 %", "worse", 1, True), ("+20 %", "cannot tell", 3, False),
        ("+20 %", "worse", 0, False),
    ],
)  # fmt: skip
def test_what_a_comparison_has_to_find(pair: ComparedPair, outcome: str, code: int, is_right: bool) -> None:
    ratio = {"estimate": 1.2, "low": 1.1, "high": 1.3}
    found, problem = comparisons.judged(pair, code, {"outcome": outcome, "metrics": [{"ratio": ratio}], "reasons": []})
    assert found == f"{outcome}: × 1.20 (1.10 to 1.30)"
    assert (not problem) is is_right


def searched(gave_out: str, low: float | None, high: float | None) -> dict[str, Any]:
    result = {"kind": "found", "low": low, "high": high, "gave_out": gave_out, "evidence": ["some"]}
    return {"result": result}


def test_what_a_search_has_to_find() -> None:
    assert RATE.judged(0, searched("target", 130, 140)) == ("found, 130 to 140, gave out: target", "")
    assert DASHBOARDS.judged(0, searched("target", 130, 140))[1] == "260 is not in it"
    assert RATE.judged(3, searched("machine", 130, None))[1] == "expected the target, got some"
    assert RATE.judged(3, searched("target", 130, None))[1] == "expected an interval and exit code 0, got 3"
    assert RIG.judged(3, searched("rig", 20, None)) == ("found, 20 to ?, gave out: rig", "")
    assert RIG.judged(0, searched("target", 20, 30))[1].startswith("expected the rig")
    assert MACHINE.judged(0, searched("machine", 20, 30))[1] == "expected 3 and no upper bound, got 0, 30"


def test_chance_may_make_a_comparison_wrong_but_no_search() -> None:
    def trials(kind: str, wrong: int) -> list[Trial]:
        return [Trial(kind, "x", "no" * (number < wrong), 60, 50) for number in range(8)]

    assert is_met(trials("compare, alike", 1))
    assert not is_met(trials("compare, alike", 2))
    assert not is_met(trials("capacity, x", 1))
    assert table_of(trials("capacity, x", 1)).row_count == 1


def test_a_noisy_chat_has_another_delay_in_each_run_but_one_in_a_run() -> None:
    chat = NoisyFrames()
    dashboard = object.__new__(Dashboard)
    seen = []
    for _ in range(3):
        chat.dashboards.clear()
        chat.welcome(dashboard)
        seen.append(chat.delay)
        chat.dashboards.append(dashboard)
        chat.welcome(dashboard)
        assert chat.delay == seen[-1]
    assert len(set(seen)) == 3
