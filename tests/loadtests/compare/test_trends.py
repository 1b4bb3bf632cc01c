"""Which runs are one series, what decides, and what is left out; by literal verdicts."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from chatswarm.loadtests.compare.kept_runs import NotKeptError, figure_of, read_runs
from chatswarm.loadtests.compare.metrics import COMPARABLE
from chatswarm.loadtests.compare.trends import DEFAULT_METRICS, Trends, trends_of
from chatswarm.loadtests.judge.verdict import Latency, Quantiles, Verdict

from .verdicts_of_runs import days, kept, verdict_on

SLOWER = [*days(12), *days(3, 0.4, begin=12)]


def outcome(verdicts: Sequence[Verdict], *metrics: str) -> tuple[str, int]:
    found = trends_of(kept(*verdicts), metrics)
    return found.outcome, found.exit_code


def points(found: Trends) -> list[tuple[str, int]]:
    return [
        (metric.metric, point.index)
        for series in found.series
        for metric in series.metrics
        for point in metric.trend.points or ()
    ]


def test_a_change_for_the_worse_fails_once() -> None:
    assert outcome(SLOWER[:14]) == ("nothing new", 0)
    assert outcome(SLOWER) == ("worse", 1)
    assert outcome([*SLOWER, *days(1, 0.4, begin=15)]) == ("nothing new", 0)
    assert points(trends_of(kept(*SLOWER))) == [("visible.p99", 12)]


def test_a_change_for_the_better_never_does() -> None:
    assert outcome([*days(12), *days(3, 0.2, begin=12)]) == ("nothing new", 0)
    assert outcome([*days(12), *days(3, begin=12, accepted=300)], "accepted") == ("worse", 1)
    assert outcome([*days(12, accepted=300), *days(3, begin=12)], "accepted") == ("nothing new", 0)


def test_fewer_than_ten_runs_do_not_tell() -> None:
    assert outcome(days(9)) == ("too few runs", 3)
    assert outcome([]) == ("too few runs", 3)
    assert outcome(days(10)) == ("nothing new", 0)


def test_undecided_runs_are_left_out_and_failed_ones_count() -> None:
    found = trends_of(kept(*days(12), verdict_on(12, 9.0, "undecided"), *days(3, 0.4, begin=13, outcome="fail")))
    assert [run.verdict.verdict for run in found.undecided] == ["undecided"]
    assert points(found) == [("visible.p99", 12)]
    assert found.exit_code == 1


def test_after_an_undecided_run_nothing_is_new() -> None:
    assert outcome([*SLOWER, verdict_on(15, 9.0, "undecided", processor=None)]) == ("nothing new", 0)


def test_an_unsound_rig_times_nothing_but_what_it_lost_is_lost() -> None:
    late = days(3, 0.4, begin=12, outcome="fail", sound=False, lost=3)
    found = trends_of(kept(*days(12), *late))
    assert points(found) == [("lost", 12)]
    assert len(found.series[0].unsound) == 3


def test_each_machine_has_a_series_and_that_of_the_newest_run_decides() -> None:
    other = days(2, 0.9, begin=15, processor="b")
    found = trends_of(kept(*SLOWER, *other))
    assert [(series.key.processor, series.current) for series in found.series] == [("b", True), ("a", False)]
    assert (found.outcome, found.exit_code) == ("too few runs", 3)
    assert points(found) == [("visible.p99", 12)]  # still told, but not new
    assert outcome([*days(1, 0.9, processor="b"), *SLOWER[1:]]) == ("worse", 1)


def test_each_load_is_judged_by_itself() -> None:
    both = sorted([*SLOWER, *days(12, 0.9, begin=2, load="more")], key=lambda verdict: verdict.started)
    found = trends_of(kept(*both))
    assert [(series.key.load, series.current, series.outcome) for series in found.series] == [
        ("same", True, "worse"), ("more", True, "nothing new"),
    ]  # fmt: skip
    assert outcome([*both, verdict_on(20, load="new")]) == ("worse", 1)
    assert outcome([*days(12), verdict_on(20, scenario="kill")]) == ("too few runs", 3)


def test_what_no_run_measured_is_left_out_unless_it_was_asked_for() -> None:
    (series,) = trends_of(kept(*days(12))).series
    assert [metric.metric for metric in series.metrics] == ["visible.p99", "lost"]
    assert outcome(days(12), "notified.p50") == ("too few runs", 3)


def test_levels_are_the_medians_between_changes() -> None:
    (series,) = trends_of(kept(*SLOWER), ["visible.p99"]).series
    assert series.metrics[0].levels() == [(0, 12, 0.3), (12, 15, 0.4)]


@pytest.mark.parametrize("metric", [*COMPARABLE, *DEFAULT_METRICS])
def test_every_metric_has_a_figure(metric: str) -> None:
    verdict = verdict_on(0)
    verdict.latency = Latency(*[Quantiles(0.1, 0.1, 0.1, 0.1, 0.1, 3)] * len(Latency.__struct_fields__))
    figure = figure_of(verdict, metric)
    assert figure == 0.1 if "." in metric else figure is None or figure >= 0
    assert metric in COMPARABLE


def test_figures_that_are_none() -> None:
    assert figure_of(verdict_on(0, None), "visible.p99") == math.inf
    assert figure_of(verdict_on(0, None, count=0), "visible.p99") is None
    assert figure_of(verdict_on(0), "phantom") is None
    assert figure_of(verdict_on(0, sound=False), "late") is None
    assert figure_of(verdict_on(0, sound=False, lost=2), "lost") == 2


def test_as_json() -> None:
    written = json.loads(trends_of(kept(*days(12), *(verdict_on(day, None) for day in (12, 13, 14)))).json())
    (series,) = written["series"]
    metric = series["metrics"][0]
    (point,) = metric["points"]
    assert (written["outcome"], written["exit_code"], len(series["runs"])) == ("worse", 1, 15)
    assert metric["figures"][-1] == point["ratio"] == point["high"] == "infinite"
    assert metric["levels"] == [{"first": 0, "level": 0.3}, {"first": 12, "level": "infinite"}]
    assert (point["first"], point["new"], point["worse"]) == (12, True, True)
    assert point["started"] == series["runs"][12]["started"]
    assert json.loads(trends_of([]).json())["series"] == []


class TestReading:
    def test_folders_and_files_in_time_order_each_once(self, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "verdict.json").write_bytes(verdict_on(1).json())
        (tmp_path / "kept.json").write_bytes(verdict_on(0).json())
        copied = verdict_on(1)
        copied.folder = "elsewhere"
        (tmp_path / "copy.json").write_bytes(copied.json())
        found = read_runs([tmp_path / "run", tmp_path / "copy.json", tmp_path / "kept.json", tmp_path / "run"])
        assert [run.path.name for run in found] == ["kept.json", "run"]

    def test_a_verdict_of_an_earlier_version(self, tmp_path: Path) -> None:
        old = json.loads(verdict_on(0).json())
        del old["load"], old["rig"]["machine"]["processor"], old["rooms"]
        old["started"] = "2026-01-01T00:00:00"
        (tmp_path / "old.json").write_text(json.dumps(old))
        (run,) = read_runs([tmp_path / "old.json"])
        assert (run.verdict.load, run.started.tzinfo is not None) == ("", True)

    def test_everything_that_is_no_verdict_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "text.json").write_text("{")
        (tmp_path / "other.json").write_text("{}")
        verdict = verdict_on(0)
        verdict.started = "yesterday"
        (tmp_path / "when.json").write_bytes(verdict.json())
        (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
        names = ["nothing", "empty", "text.json", "other.json", "when.json", "bytes.json"]
        with pytest.raises(NotKeptError) as caught:
            read_runs([tmp_path / name for name in names])
        expected = "expected the folder of a run that was judged, or its verdict.json, got:"
        assert [line.split(": ")[0] for line in caught.value.problems] == [str(tmp_path / name) for name in names]
        assert all(expected in line for line in caught.value.problems)
        assert caught.value.problems[0].endswith("nothing there")
        assert caught.value.problems[1].endswith("no verdict.json in it")
        assert caught.value.problems[4].endswith("started = 'yesterday', which is no time")
