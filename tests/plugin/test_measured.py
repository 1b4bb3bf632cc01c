"""The verdict that tests assert on: no figure of it is None."""

from pathlib import Path

import msgspec
import pytest

from chatswarm.loadtests.history.manifest import TARGET
from chatswarm.loadtests.judge import verdict as raw
from chatswarm.loadtests.plugin import MeasuredVerdict, UndecidedError
from chatswarm.loadtests.plugin.result import (
    MeasuredCounts,
    MeasuredDeliveries,
    MeasuredFrames,
    MeasuredLatency,
    MeasuredMachine,
    MeasuredProcess,
    MeasuredQuantiles,
    MeasuredRig,
    MeasuredSlo,
)
from tests.loadtests.judge.play import T0, Plant, Play
from tests.loadtests.report.runs import NAN, passing


def verdict_of(play: Play, *slos: str) -> MeasuredVerdict:
    return MeasuredVerdict(play.perform().judge(list(slos)), play.folder)


def test_measured_figures_are_numbers(tmp_path: Path) -> None:
    verdict = verdict_of(Play(tmp_path), "visible.p99 <= 2s")
    assert verdict.passed
    assert 0 < verdict.latency.visible.p50 <= verdict.latency.visible.p99 < 2.0
    assert verdict.latency.visible.count == verdict.deliveries.expected > 0
    assert verdict.deliveries.lost == 0
    assert verdict.deliveries.notified == verdict.deliveries.expected
    assert verdict.counts.duplicated == 0
    assert verdict.slos[0].actual == verdict.latency.visible.p99
    assert verdict.rig.sound


def test_what_was_used(tmp_path: Path) -> None:
    play = passing(tmp_path)
    play.rows[TARGET].append(("process", (T0 + 1, 72, "once", NAN, 1)))
    verdict = verdict_of(play)
    assert (verdict.rig.machine.cpu, verdict.rig.machine.cores, verdict.rig.machine.cpu_pressure) == (1.5, 2, 0.6)
    assert {process.name: process.memory for process in verdict.target_processes} == {
        "chat": 60_000_000, "worker": 5_000_000, "once": 1,
    }  # fmt: skip
    assert verdict.target_processes[0].cpu < 0.9
    with pytest.raises(UndecidedError, match=r"target_processes\[2\]\.cpu was not measured"):
        assert verdict.target_processes[2].cpu < 0.9
    play.rows["worker0"] = [row for row in play.rows["worker0"] if row[0] != "machine"]
    with pytest.raises(UndecidedError, match=r"rig\.machine was not measured"):
        assert MeasuredVerdict(play.judge(), play.folder).rig.machine.cpu < 1.0


def test_a_quantile_among_the_lost_is_above_every_limit_and_says_why(tmp_path: Path) -> None:
    verdict = verdict_of(Play(tmp_path, plants={(0, 1): Plant(unseen_by={0, 1})}), "visible.p99 <= 2s")
    assert not verdict.passed
    assert verdict.deliveries.lost == 2
    assert verdict.latency.visible.p50 < 2.0
    with pytest.raises(AssertionError, match=r"inf \(it falls among the lost\) < 2.0"):
        assert verdict.latency.visible.p99 < 2.0
    assert verdict.slos[0].actual == float("inf")
    assert "p99=lost" in repr(verdict.latency.visible)
    assert "accepted, but not visible" in verdict.text()


def test_a_figure_that_was_not_measured_is_undecided(tmp_path: Path) -> None:
    verdict = verdict_of(Play(tmp_path))
    with pytest.raises(UndecidedError, match=r"latency\.recovery\.p99 was not measured") as caught:
        assert verdict.latency.recovery.p99 < 2.0
    assert caught.value.verdict is verdict
    assert repr(verdict.latency.recovery) == "latency.recovery(not measured)"


def test_if_nothing_was_measured_every_figure_is_undecided_with_a_reason(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.manifest.start = play.manifest.end = None
    verdict = MeasuredVerdict(play.judge(["visible.p99 <= 2s"]), tmp_path)
    assert verdict.verdict == "undecided"
    for ask in (
        lambda: verdict.latency.visible.max,
        lambda: verdict.counts.phantom,
        lambda: verdict.frames.missed,
        lambda: verdict.slos[0].actual,
        lambda: verdict.rig.lag_p99,
        lambda: verdict.rig.machine,
    ):
        with pytest.raises(UndecidedError, match="because the measured part never began"):
            ask()


@pytest.mark.parametrize(
    ("view", "struct"),
    [
        (MeasuredQuantiles, raw.Quantiles),
        (MeasuredDeliveries, raw.Deliveries),
        (MeasuredFrames, raw.Frames),
        (MeasuredCounts, raw.Counts),
        (MeasuredRig, raw.Rig),
        (MeasuredMachine, raw.RigMachine),
        (MeasuredProcess, raw.TargetProcess),
        (MeasuredSlo, raw.SloResult),
        (MeasuredLatency, raw.Latency),
    ],
)
def test_every_figure_of_a_verdict_is_available(view: type, struct: type[msgspec.Struct]) -> None:
    assert set(struct.__struct_fields__) <= set(view.__annotations__) | set(vars(view))
    maybe = {name for name, kind in struct.__annotations__.items() if "None" in str(kind)}
    assert maybe <= set(vars(view)), "a field that may be None must be a figure that raises"


def test_every_part_of_a_verdict_is_available(tmp_path: Path) -> None:
    assert set(raw.Verdict.__struct_fields__) <= set(dir(verdict_of(Play(tmp_path))))
