"""The search for a limit: its steps, that it ends in time, and how far its answers are from the truth."""

import math
from collections import Counter

import numpy as np
import pytest

from chatswarm.loadtests.compare.capacity import (
    LONG,
    PAUSE,
    CapacitySearch,
    LoadProbe,
    ProbeOutcome,
    SearchEnd,
    at_least,
    next_step,
)
from chatswarm.loadtests.compare.gave_out import GaveOut
from chatswarm.loadtests.compare.limits import limit_interval

SEARCH = CapacitySearch(20, 1280)


def searched(
    rng: np.random.Generator, search: CapacitySearch, limit: float, jitter: float = 0.0, spurious: float = 0.0,
    undecided: float = 0.0,
) -> tuple[SearchEnd, list[ProbeOutcome]]:  # fmt: skip
    """A whole search of a target with this limit, with everything that makes a probe go wrong."""
    made: list[ProbeOutcome] = []
    while isinstance(step := next_step(search, made), LoadProbe):
        held: bool | None = step.level <= limit * math.exp(rng.normal(0, jitter)) and rng.random() >= spurious
        made.append(ProbeOutcome(step, None if rng.random() < undecided else held))
    return step, made


def interval(made: list[ProbeOutcome]) -> tuple[float, float]:
    decided = [(outcome.probe.level, outcome.held) for outcome in made if outcome.held is not None]
    return limit_interval([level for level, _ in decided], [held for _, held in decided])


def levels(made: list[ProbeOutcome], seconds: float | None = None) -> list[float]:
    return [outcome.probe.level for outcome in made if seconds in (None, outcome.probe.seconds)]


def played(search: CapacitySearch, answers: str) -> SearchEnd | LoadProbe:
    """What follows on these answers: + held, - failed, ? undecided."""
    made: list[ProbeOutcome] = []
    for answer in answers:
        step = next_step(search, made)
        assert isinstance(step, LoadProbe)
        made.append(ProbeOutcome(step, {"+": True, "-": False, "?": None}[answer]))
    return next_step(search, made)


def test_a_search_rises_bisects_and_confirms() -> None:
    end, made = searched(np.random.default_rng(1), SEARCH, 137)
    assert levels(made) == [20, 40, 80, 160, 160, 113.1, 134.5, 146.7, 146.7, 134.5, 134.5, 134.5]
    assert levels(made, LONG) == [134.5] * 3
    assert end == SearchEnd("found", 134.5, 146.7)


def test_whole_loads() -> None:
    end, made = searched(np.random.default_rng(1), CapacitySearch(30, 1000, whole=True), 260)
    assert all(level.is_integer() for level in levels(made))
    assert (end.kind, end.limit) == ("found", 240)
    end, few = searched(np.random.default_rng(1), CapacitySearch(1, 8, whole=True), 2)
    assert end == SearchEnd("found", 2, 3)
    assert levels(few) == [1, 2, 4, 4, 3, 3, 2, 2, 2]  # between 2 and 3 there is nothing to bisect


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ("", LoadProbe(10, 15)),
        ("-", LoadProbe(10, 15)),  # a failure counts only if it is repeated
        ("-+", LoadProbe(20, 15)),
        ("--", SearchEnd("nothing held", None, 10)),
        ("?", LoadProbe(10, 15)), ("-?", LoadProbe(10, 15)), ("-?-", SearchEnd("nothing held", None, 10)),
        ("++", LoadProbe(25, 15)),  # the last step of the rise is shorter
        ("+++", LoadProbe(25, 30)),
        ("++++++", SearchEnd("ceiling", 25, None)),
        ("+++-+++", SearchEnd("ceiling", 25, None)),
        ("+++--", LoadProbe(20.83, 30)),  # 25 could not be confirmed: one step down
        ("+++--+++", SearchEnd("found", 20.83, 25)),
        ("++++-+-+-+-", LoadProbe(17.36, 30)),
        ("+++------", SearchEnd("unconfirmed", None, 17.36)),
        ("+--", LoadProbe(14.14, 15)),
        ("+------", LoadProbe(10, 30)),
        ("+--------", SearchEnd("nothing held", None, 10)),  # not even for a long time, and nothing below was asked for
    ],
)  # fmt: skip
def test_what_follows(answers: str, expected: LoadProbe | SearchEnd) -> None:
    assert played(CapacitySearch(10, 25, 0.2), answers) == expected


def test_loads_that_need_no_bisection() -> None:
    assert played(CapacitySearch(50, 50), "++++") == SearchEnd("ceiling", 50, None)
    assert played(CapacitySearch(100, 109), "+--") == LoadProbe(100, LONG)


def test_a_search_goes_on_from_its_list() -> None:
    _, made = searched(np.random.default_rng(3), SEARCH, 500, 0.1, 0.1, 0.1)
    for count, outcome in enumerate(made):
        assert next_step(SEARCH, made[:count]) == outcome.probe


@pytest.mark.parametrize(
    "made",
    [[ProbeOutcome(LoadProbe(30, 15), True)], [ProbeOutcome(LoadProbe(20, 30), True)],
     [ProbeOutcome(LoadProbe(20, 15), False)] * 3],
)  # fmt: skip
def test_probes_of_another_search(made: list[ProbeOutcome]) -> None:
    with pytest.raises(ValueError, match="of another search"):
        next_step(SEARCH, made)


def test_the_told_time() -> None:
    assert (SEARCH.short_probes, SEARCH.long_probes, SEARCH.bisections) == (14, 12, 3)
    assert SEARCH.longest(ramp=5, drain=2) == 14 * 24 + 12 * 39 == 804
    assert (CapacitySearch(50, 50).short_probes, CapacitySearch(20, 1280, 0.01).bisections) == (8, 7)


def test_no_luck_takes_longer_than_told() -> None:
    rng, ends = np.random.default_rng(18), Counter[str]()
    for _ in range(1000):
        start = rng.uniform(1, 50)
        search = CapacitySearch(start, start * rng.uniform(1, 100), rng.choice([0.05, 0.1, 0.5]))
        limit = search.start * math.exp(rng.uniform(-1, 5))
        end, made = searched(rng, search, limit, *rng.choice([0, 0.2, 0.5], 3).tolist())
        took = sum(outcome.probe.seconds + 3 + 4 + PAUSE for outcome in made)
        assert took <= search.longest(ramp=3, drain=4)
        ends[end.kind] += 1
    assert min(ends[kind] for kind in ("found", "ceiling", "nothing held", "unconfirmed", "out of time")) > 0


def test_out_of_time_keeps_what_failed() -> None:
    search = CapacitySearch(10, 20)
    assert played(search, "+--" + "?" * 17) == LoadProbe(14.14, 15)
    assert played(search, "+--" + "?" * (search.short_probes + search.long_probes - 3)) == SearchEnd(
        "out of time", None, 20
    )
    assert played(search, "+-" + "?" * (search.short_probes + search.long_probes - 2)) == SearchEnd(
        "out of time", None, None
    )
    assert played(search, "++" + "?" * search.long_probes) == SearchEnd("out of time", None, None)


@pytest.mark.parametrize(
    ("search", "words"),
    [((0, 10), "above 0 and up to 10, got 0"), ((20, 10), "up to 10, got 20"), ((1, math.inf), "got 1"),
     ((1, 2, 0), "between 0 and 100%, got 0%"), ((1, 2.5, 0.1, True), "whole loads, got 1 to 2.5"),
     ((math.nan, 2), "got nan")],
)  # fmt: skip
def test_what_cannot_be_searched(search: tuple[float, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CapacitySearch(*search)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bounds", "gave_out", "expected"),
    [
        ((210, 230), "target", "shown"), ((210, math.inf), "ceiling", "shown"), ((210, 230), "rig", "shown"),
        ((180, 199), "target", "refuted"), ((180, 199), "rig", "cannot tell"), ((180, 199), "machine", "cannot tell"),
        ((180, 199), "unknown", "cannot tell"), ((180, 220), "target", "cannot tell"),
        ((200, 220), "target", "shown"), ((180, 200), "target", "cannot tell"), ((0, 20), "target", "refuted"),
    ],
)  # fmt: skip
def test_whether_a_load_is_held_at_least(bounds: tuple[float, float], gave_out: GaveOut, expected: str) -> None:
    assert at_least(200, bounds, gave_out) == expected


def test_the_interval_has_the_limit_about_as_often_as_it_says() -> None:
    """With a jitter of 2 to 15 % and up to 5 % of spurious failures, as they come."""
    rng, covered = np.random.default_rng(18), 0
    for _ in range(1000):
        limit = math.exp(rng.uniform(math.log(30), math.log(1000)))
        _, made = searched(rng, SEARCH, limit, rng.uniform(0.02, 0.15), rng.uniform(0, 0.05))
        low, high = interval(made)
        covered += low <= limit <= high
    assert 0.85 <= covered / 1000 <= 0.97


@pytest.mark.parametrize("jitter", [0.02, 0.05, 0.1])
def test_no_jitter_makes_the_interval_miss_much_more_often(jitter: float) -> None:
    rng, covered, answers = np.random.default_rng(18), 0, []
    for _ in range(300):
        limit = math.exp(rng.uniform(math.log(30), math.log(1000)))
        end, made = searched(rng, SEARCH, limit, jitter, 0.05)
        low, high = interval(made)
        covered += low <= limit <= high
        if end.limit is not None:
            answers.append(end.limit / limit)
    assert covered / 300 >= 0.85
    assert 0.75 < np.quantile(answers, 0.02) < np.quantile(answers, 0.98) < 1.1
