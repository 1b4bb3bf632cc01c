"""The order of the runs, and what the page makes of them, by literal runs; and whether it shows what was measured."""

import math

import pytest

from tests.bench import policies
from tests.bench.policies.run import LOADS, POLICIES, Policy, PolicyRun, order_of
from tests.bench.policies.section import figure, told, with_policies

GETS: dict[Policy, int] = {"every": 1000, "coalesce": 500, "300ms": 100, "push": 0}
PAGE = policies.PAGE.read_text(encoding="utf-8")


def run(policy: Policy, rate: float = LOADS[0][1], scale: float = 1.0, **changes: object) -> PolicyRun:
    measured = {
        "messages": 10, "gets": int(GETS[policy] * scale), "loopback": int(1000 * (1 + GETS[policy]) * scale),
        "cpu": 0.01 * scale, "visible_p99": 0.3, "others": 0.25, **changes,
    }  # fmt: skip
    return PolicyRun(policy, LOADS[0][0], rate, **measured)  # type: ignore[arg-type]


def runs(**changes: object) -> list[PolicyRun]:
    return [run(policy, rate, scale, **changes) for scale in (0.9, 1.1) for _, rate in LOADS for policy in POLICIES]


def test_each_policy_runs_once_in_each_round_and_begins_one() -> None:
    rounds = [order_of(number) for number in range(8)]
    assert all(sorted(order) == sorted(POLICIES) for order in rounds)
    assert {order[0] for order in rounds} == {order[-1] for order in rounds} == set(POLICIES)


def test_the_page_shows_each_cost_with_its_interval_and_as_a_ratio() -> None:
    page = with_policies(PAGE, "2 CPUs", runs())
    assert "| `every` | 0.995 (0.278 to 3.56) |" in page
    assert "| `every` | × 10 (10 to 10) |" in page
    assert page.count("| push | 0 | 1 (0 to 4) |") == len(LOADS)
    assert "300 ms (300 ms to 300 ms)" in page
    assert "16 runs, 2 of each" in page


def test_what_was_lost_is_never_a_number() -> None:
    assert figure([run("every"), run("every", visible_p99=None)], lambda each: each.visible_p99 or math.inf, str) == (
        "inf (0.0 to inf)"
    )


@pytest.mark.parametrize(
    ("problems", "expected"),
    [((), "the rig was sound in all"), (("unsound rig",), "16 of 16 runs had a problem: unsound rig.")],
)
def test_what_went_wrong_is_told(problems: tuple[str, ...], expected: str) -> None:
    assert expected in told("2 CPUs", runs(problems=problems))
    assert policies.troubled(runs(problems=problems)) == 16 * len(problems)


def test_the_page_shows_the_runs_that_were_saved() -> None:
    assert with_policies(PAGE, *policies.saved()) == PAGE, "run make bench ROW=refetch"
