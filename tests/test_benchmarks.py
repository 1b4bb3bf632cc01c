"""What `make bench` makes of samples, with literal ones, and whether the page shows what was measured."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import pytest

from tests.bench import page_of_rows
from tests.bench.row import NotMeasuredError, Row, RowResult, Sample, Sides, measure


def measured(ours: list[Sample], theirs: list[Sample] | None = None, **changes: object) -> RowResult:
    order: list[str] = []

    def side(name: str, samples: list[Sample]) -> Sample:
        order.append(name)
        return samples[order.count(name) - 1]

    @contextmanager
    def sides() -> Iterator[Sides]:
        other = None if theirs is None else lambda: side("theirs", theirs)
        yield Sides(lambda: side("ours", ours), other, {"k6": "1.1"})

    row = Row("P1", "CPU", "µs", 0.5, sides, opponent="" if theirs is None else "k6", runs=len(ours))
    result = measure(replace(row, **changes))  # type: ignore[arg-type]
    if theirs is not None:
        assert order[:4] in (["theirs", "ours", "ours", "theirs"], ["theirs", "ours"])
    return result


def test_a_ratio_to_an_opponent() -> None:
    result = measured([Sample(1, 100), Sample(2, 100)], [Sample(4, 101), Sample(8, 99)])
    assert (result.measured, result.low, result.high) == pytest.approx((0.25, 0.25, 0.25))
    assert result.reached
    assert result.versions["k6"] == "1.1"


@pytest.mark.parametrize(("reach", "at_least", "reached"), [(1.9, False, False), (2, False, True), (2.1, True, False)])
def test_a_figure_alone_is_the_median_of_its_runs(reach: float, at_least: bool, reached: bool) -> None:
    result = measured([Sample(9), Sample(2), Sample(1)], reach=reach, at_least=at_least)
    assert (result.measured, result.low, result.high, result.reached) == (2, 1, 9, reached)


def test_sides_that_did_not_do_the_same_are_not_compared() -> None:
    result = measured([Sample(1, 100), Sample(1, 103)], [Sample(4, 100), Sample(4, 100)])
    assert result.measured is None
    assert result.reached is None
    assert result.problems == ["expected both sides to do the same within 2%, got 103 by chatswarm and 100 by k6"]


def test_a_run_with_a_problem_does_not_reach_its_row() -> None:
    result = measured([Sample(0.1), Sample(0.1, problems=["unsound rig"]), Sample(0.1, problems=["unsound rig"])])
    assert not result.reached
    assert result.problems == ["unsound rig"]


def test_an_opponent_that_cannot_be_had_leaves_the_row_unmeasured() -> None:
    def sides() -> AbstractContextManager[Sides]:
        raise NotMeasuredError("there is no Go")

    result = measured([Sample(1)], sides=sides)
    assert (result.measured, result.problems, result.reached) == (None, ["there is no Go"], None)
    assert "| not measured | ≤ 0.5 µs | **not measured**: there is no Go |" in table([result])


def test_the_table() -> None:
    lost = measured([Sample(math.inf, 1), Sample(math.inf, 1)], [Sample(1, 1), Sample(1, 1)])
    alone = measured([Sample(1234), Sample(0.123)], name="P11", reach=700, unit="s")
    assert "| P1 | CPU ÷ k6 | inf × (0 to inf) | ≤ 0.5 × | **not reached** |" in table([lost])
    assert "| P11 | CPU | 617 s (0.123 to 1,234) | ≤ 700 s | reached |" in table([alone])


def table(rows: list[RowResult]) -> str:
    return page_of_rows.with_rows(page_of_rows.PAGE.read_text(encoding="utf-8"), rows)


def test_the_page_shows_the_rows_that_were_saved() -> None:
    page = page_of_rows.PAGE.read_text(encoding="utf-8")
    assert page_of_rows.with_rows(page, page_of_rows.saved()) == page, "run make bench"
