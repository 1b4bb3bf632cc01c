"""Which runs a comparison makes, and in which order."""

import random

import pytest

from chatswarm.loadtests.compare.paired import paired_ratio
from chatswarm.loadtests.compare.schedule import (
    LOOKS,
    PlannedPair,
    interleaved,
    may_stop,
    most_runs,
    next_pair,
    planned_pair,
    repetitions,
)


def run_all(wanted: int, outcomes: list[bool]) -> list[int]:
    """The numbers of the pairs that are run, with these outcomes; further pairs are decided."""
    decided: list[bool] = []
    numbers: list[int] = []
    while (pair := next_pair(wanted, decided)) is not None:
        numbers.append(pair.number)
        decided.append(outcomes[len(decided)] if len(decided) < len(outcomes) else True)
    return numbers


def test_sides_take_turns_and_a_pair_shares_its_seed() -> None:
    assert [planned_pair(number).order for number in range(3)] == [("base", "new"), ("new", "base"), ("base", "new")]
    assert [planned_pair(number, 7).seed for number in range(3)] == [7, 8, 9]
    assert next_pair(6, [True, True], 5) == PlannedPair(2, 7, ("base", "new"))


@pytest.mark.parametrize(
    ("wanted", "outcomes", "expected"),
    [
        (3, [], [0, 1, 2]),
        (3, [False, True, False], [0, 0, 1, 1, 2]),
        (3, [False, False, False], [0, 0, 0]),  # two repetitions at most
        (3, [True, True, False, False, True], [0, 1, 2, 2, 2]),
        (4, [False] * 9, [0, 0, 0]),
        (0, [], []),
    ],
)
def test_an_undecided_pair_is_repeated_at_most_half_as_often_as_there_are_pairs(
    wanted: int, outcomes: list[bool], expected: list[int]
) -> None:  # fmt: skip
    assert run_all(wanted, outcomes) == expected


def test_no_luck_needs_more_runs_than_told() -> None:
    rng = random.Random(18)
    for _ in range(500):
        wanted = rng.randint(1, 16)
        ran = run_all(wanted, [rng.random() < 0.5 for _ in range(99)])
        assert 2 * len(ran) <= most_runs(wanted)
    assert (repetitions(6), repetitions(5), most_runs(6)) == (3, 3, 18)


def test_looks() -> None:
    assert [pairs for pairs in range(20) if may_stop(pairs)] == list(LOOKS)


@pytest.mark.parametrize(
    ("base", "new", "expected"),
    [
        ([1, 4, 5], [2, 3, 6], True), ([1, 3, 5], [2, 4, 6], True), ([5, 1, 4], [3, 6, 2], True),
        ([1, 2, 3], [4, 5, 6], False), ([1, 2, 5], [3, 4, 6], False), ([1], [9], True), ([], [], True),
    ],
)  # fmt: skip
def test_runs_that_took_turns(base: list[float], new: list[float], expected: bool) -> None:
    assert interleaved(base, new) is expected
    assert interleaved(new, base) is expected


def test_different_numbers_of_runs_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        interleaved([1, 2], [1])


@pytest.mark.parametrize(("in_turns", "expected"), [(True, False), (False, True)])
def test_drift_looks_like_a_difference_where_runs_do_not_take_turns(in_turns: bool, expected: bool) -> None:
    """Each run is 2 % slower than the one before it."""
    rng, rises = random.Random(18), 0
    for _ in range(500):
        runs = [1.02**at * rng.lognormvariate(0, 0.08) for at in range(12)]
        places = [0, 3, 4, 7, 8, 11] if in_turns else list(range(6))
        base = [runs[at] for at in places]
        new = [runs[at] for at in range(12) if at not in places]
        rises += paired_ratio(new, base).low > 1
    assert (rises > 0.2 * 500) is expected
    assert in_turns is False or rises < 0.05 * 500
