"""The helpers for arrays against the plain way to write the same."""

import numpy as np
import pytest

from chatswarm.loadtests.judge.ledger.arrays import blocks, grouped, kind_below, looked_up, present, small


@pytest.mark.parametrize(("rows", "width"), [(0, 1), (1, 1), (7, 1), (8, 1), (100, 3), (3, 1000), (5, 0)])
def test_blocks_are_all_of_the_rows_in_order(rows: int, width: int) -> None:
    assert [row for part in blocks(rows, width) for row in range(rows)[part]] == list(range(rows))


@pytest.mark.parametrize("rows", [1, 1000, 70_000])
@pytest.mark.parametrize("count", [20, 60_000])
def test_grouped_keeps_the_order_within_each_group(rows: int, count: int) -> None:
    groups = np.random.default_rng(1).integers(0, count, rows)
    groups[-1] = count - 1
    order, edges = grouped(groups, count)
    assert order.tolist() == np.argsort(groups, kind="stable").tolist()
    assert edges.tolist() == np.searchsorted(np.sort(groups), np.arange(count + 1)).tolist()


def test_nothing_is_grouped_into_empty_groups() -> None:
    order, edges = grouped(small([]), 2)
    assert (order.tolist(), edges.tolist()) == ([], [0, 0, 0])


def test_looking_up_counts_from_the_end_too_and_refuses_what_is_not_there() -> None:
    at = small(np.random.default_rng(1).integers(-5, 5, 100))
    table = np.arange(5) * 1.5
    assert looked_up(table, at).tolist() == table[at].tolist()
    with pytest.raises(IndexError):
        looked_up(table, small([0] * 10 + [5]))


def test_present_marks_each_number_that_occurs() -> None:
    assert present(small([3, 1] * 10), 5).tolist() == [False, True, False, True, False]


def test_the_smaller_type_holds_every_number_below_the_limit() -> None:
    for limit in (1, (1 << 31) - 1, 1 << 31, 1 << 40):
        assert np.iinfo(kind_below(limit)).max >= limit - 1
    assert kind_below(1 << 31).itemsize == 4
