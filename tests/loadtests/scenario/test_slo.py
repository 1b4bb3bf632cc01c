"""SLO expressions: units, arithmetic, windows, and errors that help."""

import pytest

from chatswarm.loadtests.scenario.metric_names import METRICS, Outcome
from chatswarm.loadtests.scenario.slo import SloError, is_latency, parse

VALUES = {
    "visible.p99": 1.5, "visible.max": float("inf"), "lost": 3.0, "expected": 1000.0, "accepted": 10.0,
    "notified": 1000.0, "dashboards": 100.0, "refused": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "outcome", "actual"),
    [
        ("visible.p99 <= 2s", "pass", 1.5),
        ("visible.p99 <= 1500ms", "pass", 1.5),
        ("visible.p99 < 1500 ms", "fail", 1.5),
        ("visible.p99<=1m", "pass", 1.5),
        ("visible.p99 >= 2", "fail", 1.5),
        ("visible.p99 != 1.5", "fail", 1.5),
        ("lost == 3", "pass", 3),
        ("lost <= 1% * expected", "pass", 3),
        ("lost / expected <= 0.2 %", "fail", 0.003),
        ("notified == expected", "pass", 1000),
        ("accepted * dashboards == expected", "pass", 1000),
        ("expected - lost * 2 + 1 > 994", "pass", 995),
        ("(expected - lost) * 2 == 1994", "pass", 1994),
        ("10 - 3 - 2 == accepted - 5", "pass", 5),
        ("visible.max <= 2s", "fail", None),
        ("visible.p99 <= visible.max", "fail", 1.5),  # an infinite limit cannot be met
        ("lost / refused <= 1", "undecided", None),
        ("recovery.p99 <= 2s", "undecided", None),
        ("lost <= recovery.p99", "undecided", 3),
    ],
)
def test_outcomes(text: str, outcome: Outcome, actual: float | None) -> None:
    found, value = parse(text).judge(VALUES.get)
    assert found == outcome
    assert value == (None if actual is None else pytest.approx(actual))


@pytest.mark.parametrize("op", ["before", "during", "after", "outside"])
def test_windows(op: str) -> None:
    slo = parse(f"visible.p99 <= 2s {op} slow-net")
    assert slo.window == (op, "slow-net")
    assert slo.metrics == {"visible.p99"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("visble.p99 <= 2s", "nearest: visible.p99"),
        ("lots == 0", "nearest: lost"),
        ("visible.p98 <= 2s", "expected a known metric"),
        ("visible.p99", "after the first expression, got the end"),
        ("visible.p99 <=", "expected a metric or a number, got the end"),
        ("visible.p99 <= 2s 3", "expected the end"),
        ("visible.p99 = 2s", "operator at"),
        ("visible.p99 <= 2sec", "operator at"),
        ("(lost <= 2", "closing parenthesis"),
        ("1 <= 2", "at least one metric"),
        ("", "got the end"),
        ("lost <= 2 during", "operator|got|end"),
        ("evidence.killed > 0", "expected `during` and the name of a fault after evidence.killed, got none"),
        ("evidence.killed > 0 after kill", "expected `during` and the name of a fault"),
        ("evidence > 0 during kill", "expected a known metric"),
        ("closed.99 == 0", "expected a known metric"),
        ("closed.10120 == 0", "expected a known metric"),
        ("closed.code == 0", "expected a known metric"),
        (5, "expected an expression"),
        (None, "expected an expression"),
    ],
)
def test_errors_say_where_and_what(text: object, problem: str) -> None:
    with pytest.raises(SloError, match=problem):
        parse(text)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("visible.p99 <= 2s", 2), ("visible.p99 < 1s + 500ms", 1.5), ("visible.p99 >= 2s", None), ("lost <= 2", None),
        ("visible.count <= 2", None), ("visible.p99 <= accepted.p99", None), ("2 * visible.p99 <= 2s", None),
        ("closed <= 2", None), ("closed.1012 <= 2", None), ("evidence.exit_seconds <= 2s during deploy", None),
    ],
)  # fmt: skip
def test_limits(text: str, limit: float | None) -> None:
    assert parse(text).limit() == limit


@pytest.mark.parametrize(
    "text",
    [
        "closed == 0",
        "closed.1012 == 4 during deploy",
        "evidence.bytes > 0 during f",
        "notified == expected",
        "visible.count > 0",
    ],
)
def test_counts_are_not_latencies(text: str) -> None:
    assert not any(map(is_latency, parse(text).metrics))


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_can_be_named(metric: str) -> None:
    assert parse(f"{metric} <= 1").metrics == {metric}


@pytest.mark.parametrize(
    ("text", "low", "high", "crosses"),
    [
        ("notified == expected", 5.0, 15.0, True),
        ("notified == expected", 5.0, 10.0, True),
        ("notified == expected", 5.0, 9.0, False),
        ("notified == expected", 10.0, 10.0, False),
        ("notified != expected", 5.0, 15.0, True),
        ("notified >= expected", 5.0, 15.0, False),
    ],
)
def test_whether_bounds_leave_an_equality_open(text: str, low: float, high: float, crosses: bool) -> None:
    bounds = [{"notified": value, "expected": 10.0}.get for value in (low, high)]
    assert parse(text).crosses(*bounds) == crosses


@pytest.mark.parametrize("text", ["notified == expected", "accepted >= 10", "visible.count >= 10"])
def test_a_count_with_the_name_of_a_latency_is_not_a_latency(text: str) -> None:
    assert not any(map(is_latency, parse(text).metrics))
