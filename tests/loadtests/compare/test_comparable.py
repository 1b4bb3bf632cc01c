"""Which recorded runs may be compared, and which two are a pair."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chatswarm.loadtests.compare.comparable import NotComparableError, check_folders, paired_runs, take_turns
from chatswarm.loadtests.compare.measured import MeasuredRun, measured_run
from chatswarm.loadtests.history.manifest import TARGET
from tests.loadtests.judge.play import Play

from .runs import TABLE, played, run_of


def runs(count: int, **changes: Any) -> list[MeasuredRun]:
    made = [run_of({"lost": 0}, folder=Path(f"runs/{number}")) for number in range(count)]
    return [*made[:-1], replace(made[-1], **changes)]


def problems(base: list[MeasuredRun], new: list[MeasuredRun]) -> list[str]:
    with pytest.raises(NotComparableError) as refused:
        paired_runs(base, new)
    return refused.value.problems


def other(**swarm: object) -> Any:
    return run_of({}, {"swarm": {**TABLE["swarm"], **swarm}}).scenario


def test_pairs_are_in_the_order_of_their_beginnings() -> None:
    base = [run_of({}, started=float(at)) for at in (40, 10, 50)]
    new = [run_of({}, started=float(at)) for at in (60, 20, 30)]
    pairs = paired_runs(base, new)
    assert [(one.started, two.started) for one, two in pairs] == [(10, 20), (40, 30), (50, 60)]
    assert take_turns(pairs)


def test_blocks_of_one_side_took_no_turns() -> None:
    base = [run_of({}, started=float(at)) for at in (10, 20, 30)]
    new = [run_of({}, started=float(at)) for at in (40, 50, 60)]
    assert not take_turns(paired_runs(base, new))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"scenario": other(rate=40)}, "expected the same scenario (swarm.rate = 20, got 40) as runs/0"),
        ({"scenario": other(size=50)}, "expected the same scenario (swarm.size = not set, got 50) as runs/0"),
        ({"version": ""}, "expected the same version of chatswarm (1, got not recorded) as runs/0"),
        ({"protocol": "push"}, "expected the same protocol (reference, got push) as runs/0"),
        ({"protocol_text": "name"}, "expected the same text of the protocol's file as runs/0"),
        ({"processes": 2}, "expected the same number of processes (1, got 2) as runs/0"),
        ({"faults": (("kill", "kill"),)}, "expected the same faults (none, got kill) as runs/0"),
    ],
)
def test_what_was_run_otherwise_is_refused(changes: dict[str, Any], told: str) -> None:
    assert problems(runs(3), runs(3, **changes)) == [f"runs/2: {told}"]
    assert problems(runs(3, **changes), runs(3)) == [f"runs/2: {told}"]


def test_seed_target_and_the_flags_of_a_side_may_differ() -> None:
    flags = run_of({}, {**TABLE, "backend": {"workers": 2}}).scenario
    new = [replace(run, seed=9, target="http://other", scenario=flags) for run in runs(3)]
    assert len(paired_runs(runs(3), new)) == 3


def test_the_flags_within_a_side_may_not_differ() -> None:
    flags = run_of({}, {**TABLE, "backend": {"workers": 2}}).scenario
    assert problems(runs(3), runs(3, scenario=flags)) == [
        "runs/2: expected the same [backend] as runs/1 of the same side"
    ]


def test_an_undecided_run_may_lack_its_faults() -> None:
    assert paired_runs(runs(3, faults=(("kill", "kill"),), outcome="undecided"), runs(3))


def test_each_row_of_a_scenario_is_compared() -> None:
    slow = run_of({}, {**TABLE, "slo": [{"expect": "visible.p99 <= 2s"}]}).scenario
    strict = run_of({}, {**TABLE, "slo": [{"expect": "visible.p99 <= 1s"}]}).scenario
    told = problems(
        [replace(run, scenario=slow) for run in runs(3)], [replace(run, scenario=strict) for run in runs(3)]
    )
    assert told[0] == (
        "runs/0: expected the same scenario (slo.1.expect = visible.p99 <= 2s, got visible.p99 <= 1s) as runs/0"
    )


@pytest.mark.parametrize(
    ("base", "new", "told"),
    [
        (["a", "b"], ["c", "d"], "expected at least 3 runs of each side, got 2"),
        (["a", "b", "c"], ["d", "e"], "expected as many runs after --against as before it, got 3 and 2"),
        (["a", "b", "c"], ["d", "e", "./a"], "/a: expected each run once, got it 2 times"),
    ],
)
def test_too_few_folders_or_one_twice(base: list[str], new: list[str], told: str) -> None:
    with pytest.raises(NotComparableError) as refused:
        check_folders([*map(Path, base)], [*map(Path, new)])
    assert refused.value.problems[0].endswith(told)


class TestRecorded:
    """Read from real histories."""

    def test_what_was_run_and_its_figures(self, tmp_path: Path) -> None:
        run = measured_run(played(tmp_path / "run", 5, 0.1, 5))
        assert (run.outcome, run.seed, run.target, run.processes, run.cut) == ("pass", 5, "http://chat", 1, "")
        assert run.figures["lost"] == 0
        assert run.figures["notified.p50"] == pytest.approx(0.12)
        assert run.figures["closed"] == 0
        assert "recovery.p50" not in run.figures
        assert run.curves["visible"][0] == pytest.approx(0.15)
        assert run.started == 1767225900

    def test_a_history_that_was_cut_is_named(self, tmp_path: Path) -> None:
        whole = [measured_run(played(tmp_path / f"run{number}", number)) for number in range(6)]
        history = tmp_path / "run3" / "history" / "worker0.cs1"
        history.write_bytes(history.read_bytes()[:-9])
        cut = measured_run(tmp_path / "run3")
        assert cut.outcome == "undecided"
        (told,) = problems(whole[:3], [cut, *whole[4:]])
        assert told.startswith(f"{tmp_path / 'run3'}: expected a complete history, got history/worker0.cs1: it ")

    def test_a_missing_history_of_the_targets_processes_is_no_cut(self, tmp_path: Path) -> None:
        play = Play(tmp_path / "run").perform()
        play.manifest.processes.append(TARGET)
        run = measured_run(play.write())
        assert (run.outcome, run.cut, run.processes) == ("pass", "", 1)

    def test_a_history_that_is_missing_is_named(self, tmp_path: Path) -> None:
        folder = played(tmp_path / "run", 1)
        shutil.rmtree(folder / "history")
        assert measured_run(folder).cut.startswith("history/worker0.cs1: ")
