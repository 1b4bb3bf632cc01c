"""From pairs of runs to a result: what decides, what hides the chat, what was not measured."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from chatswarm.loadtests.compare.decide import CompareSettings, RunPair, curves_of, decide
from chatswarm.loadtests.compare.measured import SHARES, MeasuredRun
from chatswarm.loadtests.compare.result import EXIT_CODES, ComparedMetric, CompareResult

from .runs import TABLE, run_of, runs_with

SIX = [1.0, 1.02, 0.99, 1.01, 0.98, 1.0]


def pairs(base: list[MeasuredRun], new: list[MeasuredRun]) -> list[RunPair]:
    return list(zip(base, new, strict=True))


def figures(times: float = 1.0, **others: float) -> list[MeasuredRun]:
    """Six runs of a chat whose stages take so many times as long, with an update latency that is all waiting."""
    return [
        run_of(
            {"visible.p99": 0.319 + 0.001 * x, "lost": 0.0, "notified.p50": 0.005 * x * times, "refetch.p50": 0.001 * x}
            | others
        )
        for x in SIX
    ]


def only(result: CompareResult, metric: str) -> ComparedMetric:
    return next(each for each in result.metrics if each.metric == metric)


def told(result: CompareResult) -> dict[str, str]:
    return {each.metric: each.outcome if each.decides else "hides" for each in result.metrics}


def test_where_the_refetch_interval_hides_the_chat_its_stages_decide() -> None:
    slower = decide(pairs(figures(), figures(1.5)), CompareSettings())
    assert told(slower) == {"visible.p99": "hides", "lost": "same", "notified.p50": "worse", "refetch.p50": "same"}
    assert (slower.outcome, slower.exit_code) == ("worse", 1)
    assert only(slower, "visible.p99").floor_share == pytest.approx(0.928, abs=0.002)
    alike = decide(pairs(figures(), figures()), CompareSettings())
    assert (alike.outcome, alike.exit_code) == ("same", 0)
    assert only(alike, "visible.p99").outcome == "cannot tell"


def test_what_hides_the_chat_may_still_be_worse() -> None:
    worse = [
        replace(run, figures={**run.figures, "visible.p99": run.figures["visible.p99"] * 1.1}) for run in figures()
    ]
    result = decide(pairs(figures(), worse), CompareSettings())
    assert told(result)["visible.p99"] == "worse"
    assert result.outcome == "worse"


def test_nothing_decides_if_all_that_was_measured_hides_the_chat() -> None:
    runs = runs_with("visible.p99", [0.32] * 6)
    result = decide(pairs(runs, runs), CompareSettings(("visible.p99",)))
    assert (result.outcome, result.exit_code) == ("cannot tell", 3)
    assert result.reasons == ["every metric hides the chat: the refetch interval hides the chat"]


@pytest.mark.parametrize(
    ("changes", "swarm"),
    [({"by_refetch": False}, {}), ({}, {"refetch": "every"}), ({}, {"rate": 0.1}), ({}, {"refetch": "500ms"})],
)
def test_what_is_no_waiting_hides_nothing(changes: dict[str, Any], swarm: dict[str, object]) -> None:
    """Frames with texts; no interval; messages so rare that none waits; figures below the interval."""
    table = {"swarm": {**TABLE["swarm"], **swarm}}
    runs = [run_of({"visible.p99": 0.32, "lost": 0.0}, table, **changes) for _ in range(6)]
    assert told(decide(pairs(runs, runs), CompareSettings())) == {"visible.p99": "same", "lost": "same"}


def test_undecided_runs_do_not_count_and_unsound_rigs_say_nothing_about_latency() -> None:
    base, new = figures(), figures()
    new[0] = replace(new[0], outcome="undecided", reasons=("the rig was starved",))
    new[1] = replace(new[1], outcome="fail", sound=False, figures={**new[1].figures, "lost": 3.0})
    result = decide(pairs(base, new), CompareSettings(("notified.p50", "lost")))
    assert only(result, "notified.p50").new[:3] == [None, None, pytest.approx(0.00495)]
    assert only(result, "lost").new[:3] == [None, 3.0, 0.0]
    assert (only(result, "notified.p50").pairs, only(result, "lost").pairs) == (4, 5)
    assert only(result, "notified.p50").doubt == "unequal undecided runs"
    assert result.new.runs[0].reasons == ["the rig was starved"]


def test_a_metric_that_was_never_measured_needs_no_more_pairs() -> None:
    noisy = [replace(run, figures={"notified.p50": 0.005 * (1 + n % 2)}) for n, run in enumerate(figures())]
    result = decide(pairs(figures(), noisy), CompareSettings(("gap", "notified.p50")))
    assert only(result, "notified.p50").more_pairs
    gap = only(result, "gap")
    assert (gap.outcome, gap.doubt, gap.more_pairs) == ("cannot tell", "not measured in any run", None)
    assert (result.outcome, result.more_pairs) == ("cannot tell", None)


def test_a_default_metric_that_was_not_measured_is_left_out() -> None:
    runs = [replace(run, figures={"lost": 0.0}) for run in figures()]
    assert told(decide(pairs(runs, runs), CompareSettings())) == {"lost": "same"}


def test_a_reason_leaves_the_whole_undecided_and_keeps_what_was_measured() -> None:
    result = decide(pairs(figures(), figures(1.5)), CompareSettings(), reasons=["interrupted, after 6 of 8 pairs"])
    assert (result.outcome, result.exit_code) == ("cannot tell", 3)
    assert told(result)["notified.p50"] == "worse"


def test_blocks_are_decided_only_if_asked_for() -> None:
    runs = pairs(figures(), figures(1.5))
    blocks = decide(runs, CompareSettings(), took_turns=False)
    assert blocks.outcome == "cannot tell"
    assert only(blocks, "notified.p50").doubt == "runs did not take turns"
    assert "--assume-no-drift" in blocks.notes[0]
    assert decide(runs, CompareSettings(assume_no_drift=True), took_turns=False).outcome == "worse"


def test_lost_messages_are_infinite_and_counted_over_runs() -> None:
    lossy = [replace(run, outcome="fail", figures={"lost": 4.0, "visible.p99": math.inf}) for run in figures()]
    result = decide(pairs(figures(), lossy), CompareSettings(("lost", "visible.p99")))
    assert only(result, "lost").runs_with == (0, 6)
    assert (only(result, "lost").outcome, only(result, "visible.p99").outcome) == ("worse", "worse")
    written = json.loads(result.json())
    assert written["metrics"][1]["ratio"]["estimate"] == "infinite"
    assert written["metrics"][1]["new"] == ["infinite"] * 6
    assert written["exit_code"] == 1


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        (("http://old", "http://new"), ("http://old", "http://new")),
        (("http://same", "http://same"), ("runs/old-*", "runs/new-*")),
    ],
)
def test_sides_are_named_by_what_tells_them_apart(targets: tuple[str, str], names: tuple[str, str]) -> None:
    base, new = (
        [replace(run, target=target, folder=run.folder.with_name(f"{side}-{n}")) for n, run in enumerate(figures())]
        for target, side in zip(targets, ("old", "new"), strict=True)
    )
    result = decide(pairs(base, new), CompareSettings())
    assert (result.base.name, result.new.name) == names


def test_other_seeds_are_noted() -> None:
    new = [replace(run, seed=9) for run in figures()]
    assert decide(pairs(figures(), new), CompareSettings()).notes == [
        "6 of 6 pairs have different seeds: their figures vary more"
    ]


def test_curves_are_medians_over_the_runs_that_count() -> None:
    base, new = runs_with("notified.p50", [1.0] * 6), runs_with("notified.p50", [1.0] * 6)
    new = [replace(run, curves={"notified": (float(n),) * len(SHARES)}) for n, run in enumerate(new)]
    new[5] = replace(new[5], outcome="undecided")
    result = decide(pairs(base, new), CompareSettings(("notified.p50",)))
    (curves,) = curves_of(pairs(base, new), result.metrics)
    assert (curves.latency, curves.new[0], len(curves.runs[1])) == ("notified", 2.0, 5)
    assert curves.base[0] == pytest.approx(0.01)


def test_every_outcome_has_an_exit_code() -> None:
    assert {outcome: int(code) for outcome, code in EXIT_CODES.items()} == {
        "better": 0, "same": 0, "worse": 1, "cannot tell": 3,
    }  # fmt: skip
