"""A comparison that makes its runs: which, in which order, when it stops, and what is kept."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chatswarm.loadtests.compare.decide import CompareSettings
from chatswarm.loadtests.compare.live import ComparePlan, CompareProgress, LiveComparison, LiveSide
from chatswarm.loadtests.compare.verdicts import UNTIL_DECIDED
from chatswarm.loadtests.history.folders import untaken
from chatswarm.loadtests.judge.judge import judge
from chatswarm.loadtests.judge.verdict import Verdict
from chatswarm.loadtests.run.run import CannotRunError, InterruptedRunError, RigError, Run
from chatswarm.loadtests.scenario.scenario import parse
from chatswarm.loadtests.testbed.messages import TestbedOptions

from .runs import TABLE, played

SCENARIO = parse(TABLE, "busy", "busy.toml")
BASE = LiveSide("old", SCENARIO, TestbedOptions(base_url="http://old"))
NEW = LiveSide("new", SCENARIO, TestbedOptions(base_url="http://new"))
ON = CompareSettings(("notified.p50", "lost"))
Slow = Callable[[str, int], float]


def plan(**changes: Any) -> ComparePlan:
    return replace(ComparePlan(BASE, NEW), **changes)


class Chats:
    """What would be run: each run is acted out on paper. `slow` says how late frames are, by folder and attempt."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slow: Slow = lambda *_: 0.0) -> None:
        self.made: list[tuple[str, str | None, int]] = []
        self.starved: dict[str, int] = {}
        self.errors: dict[str, Exception] = {}
        self.interrupt_in = ""

        def perform(run: Run) -> Verdict:
            name = run.folder.name
            run.folder = untaken(run.folder)
            if name in self.errors:
                raise self.errors[name]
            self.made.append((run.folder.name, run.options.base_url, run.seed))
            starved = self.starved.get(name, 0) > 0
            self.starved[name] = self.starved.get(name, 0) - 1
            if name == self.interrupt_in:
                os.kill(os.getpid(), signal.SIGINT)
            return judge(
                played(run.folder, len(self.made), slow(name, run.seed), run.seed, lag=0.9 if starved else 0.0005)
            )

        monkeypatch.setattr(Run, "perform", perform)

    @property
    def folders(self) -> list[str]:
        return [name for name, _, _ in self.made]


def test_pairs_run_in_turns_with_the_same_seed_on_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    chats, seen = Chats(monkeypatch), list[CompareProgress]()
    result = LiveComparison(plan(repeat=3, seed=5), ON, tmp_path, begins=seen.append).perform()
    assert chats.made == [
        ("base-01", "http://old", 5), ("new-01", "http://new", 5),
        ("new-02", "http://new", 6), ("base-02", "http://old", 6),
        ("base-03", "http://old", 7), ("new-03", "http://new", 7),
    ]  # fmt: skip
    assert (result.outcome, result.pairs, result.base.name) == ("same", 3, "old")
    assert [(each.pair, each.pairs, each.side, each.seed, each.first) for each in seen][2:4] == [
        (2, 3, "new", 6, True), (2, 3, "base", 6, False),
    ]  # fmt: skip
    assert [each.remaining for each in seen] == sorted((each.remaining for each in seen), reverse=True)


def test_a_slower_side_is_worse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Chats(monkeypatch, lambda name, seed: 0.01 * (seed % 3) + (0.1 if name.startswith("new") else 0.0))
    result = LiveComparison(plan(), ON, tmp_path).perform()
    assert (result.outcome, result.exit_code, result.pairs) == ("worse", 1, 6)


def test_a_pair_with_an_undecided_run_is_made_again_and_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    chats, again = Chats(monkeypatch), list[tuple[int, bool]]()
    chats.starved = {"new-02": 1}
    live = LiveComparison(
        plan(repeat=3), CompareSettings(("notified.p50",)), tmp_path,
        begins=lambda progress: again.append((progress.pair, progress.again)),
    )  # fmt: skip
    result = live.perform()
    assert chats.folders[2:6] == ["new-02", "base-02", "new-02-2", "base-02-2"]
    assert again[2:7] == [(2, False), (2, False), (2, True), (2, True), (3, False)]
    assert (result.pairs, len(result.base.runs)) == (3, 4)
    # Who has more undecided runs may lack its slowest ones.
    assert result.metrics[0].doubt == "unequal undecided runs"


def test_repetitions_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chats = Chats(monkeypatch)
    chats.starved = {"base-01": 9}
    result = LiveComparison(plan(repeat=3), ON, tmp_path).perform()
    assert len(chats.made) == 2 * 3
    assert result.outcome == "cannot tell"
    assert result.notes == ["only 0 of 3 pairs were decided, and no repetition remained"]


@pytest.mark.parametrize(("gap", "pairs", "outcome"), [(0.1, 4, "worse"), (0.0, 4, "same")])
def test_until_decided_it_looks_after_four_pairs(
    gap: float, pairs: int, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    Chats(monkeypatch, lambda name, _: gap if name.startswith("new") else 0.0)
    settings = replace(ON, rules=UNTIL_DECIDED)
    result = LiveComparison(plan(until_decided=True), settings, tmp_path).perform()
    assert (result.pairs, result.outcome) == (pairs, outcome)


def test_until_decided_it_goes_on_while_it_cannot_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(name: str, seed: int) -> float:
        return 0.2 if name.startswith("new") == (seed % 2 == 0) and seed <= 4 else 0.0

    Chats(monkeypatch, slow)
    result = LiveComparison(plan(until_decided=True), replace(ON, rules=UNTIL_DECIDED), tmp_path).perform()
    assert result.pairs in (6, 8, 12, 16)


def test_what_was_measured_is_kept_if_a_target_stops_answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chats = Chats(monkeypatch)
    chats.errors = {"base-04": CannotRunError(["--target: expected an HTTP answer from http://old, got refused"])}
    result = LiveComparison(plan(), ON, tmp_path).perform()
    assert (result.outcome, result.exit_code, result.pairs) == ("cannot tell", 3, 3)
    assert result.reasons == [
        "old: --target: expected an HTTP answer from http://old, got refused, after 3 of 6 pairs"
    ]  # fmt: skip
    assert [metric.outcome for metric in result.metrics] == ["same", "same"]
    assert (tmp_path / "new-04").exists()


@pytest.mark.parametrize("error", [CannotRunError(["no"]), RigError("no"), InterruptedRunError("no")])
@pytest.mark.parametrize("folder", ["base-01", "new-01"])
def test_without_a_pair_there_is_no_result(
    error: Exception, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    Chats(monkeypatch).errors = {folder: error}
    with pytest.raises(type(error)):
        LiveComparison(plan(), ON, tmp_path).perform()


def test_ctrl_c_ends_it_and_what_was_measured_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chats = Chats(monkeypatch)
    chats.interrupt_in = "new-04"
    result = LiveComparison(plan(), ON, tmp_path).perform()
    assert chats.folders[-1] == "new-04"
    assert (result.outcome, result.pairs, result.reasons) == ("cannot tell", 3, ["interrupted, after 3 of 6 pairs"])


def test_ctrl_c_in_the_first_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Chats(monkeypatch).interrupt_in = "base-01"
    with pytest.raises(InterruptedRunError, match=re.escape(f"its runs are in {tmp_path}")):
        LiveComparison(plan(), ON, tmp_path).perform()


def test_no_pair_begins_that_would_end_too_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chats = Chats(monkeypatch)
    monkeypatch.setattr(time, "monotonic", lambda: 40.0 * len(chats.made))  # each run takes 40 s
    result = LiveComparison(plan(max_time=300.0), ON, tmp_path).perform()
    assert result.pairs == 3  # after 240 s, another 80 s would be too long
    assert result.notes == ["--max-time ended it after 3 of 6 pairs"]
    assert result.outcome == "same"


class TestPlan:
    def test_the_time_is_told_in_advance(self) -> None:
        assert plan().seconds_of_pair == 2 * (5 + 30 + 5 + 4)
        assert plan().seconds == (6 * 88, 9 * 88)
        assert plan(until_decided=True).seconds == (4 * 88, 24 * 88)
        assert plan(until_decided=True, max_time=600.0).seconds == (4 * 88, 600)
        assert plan(max_time=300.0).seconds == (300, 300)

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"repeat": 2}, "--repeat: expected at least 3 pairs, got 2"),
            ({"max_time": 263.0}, "--max-time: expected at least 264s, the time that 3 pairs take, got 263s"),
        ],
    )
    def test_what_decides_nothing_is_refused(self, changes: dict[str, Any], told: str) -> None:
        with pytest.raises(ValueError, match=re.escape(told)):
            plan(**changes)
