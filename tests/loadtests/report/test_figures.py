from pathlib import Path

import numpy as np
import pytest

from chatswarm.loadtests.history.manifest import TARGET
from chatswarm.loadtests.judge.judge import judged
from chatswarm.loadtests.report.figures import figures_of
from chatswarm.loadtests.report.timeline import SPANS, edges_of
from chatswarm.loadtests.scenario.metric_names import QUANTILES
from tests.loadtests.judge.play import T0, Plant, Play

from .runs import NAN, failing, passing, undecided, write


@pytest.mark.parametrize(
    ("seconds", "width", "count"), [(5.0, 0.1, 50), (30.0, 0.5, 60), (30.1, 0.5, 61), (600.0, 10.0, 60), (0.0, 0.1, 1)]
)
def test_spans_have_a_round_width(seconds: float, width: float, count: int) -> None:
    edges = edges_of(seconds)
    assert len(edges) == count + 1 <= SPANS + 1
    assert edges[-1] == pytest.approx(seconds, abs=1e-6)
    assert seconds == 0 or edges[1] == pytest.approx(width)


def test_a_span_has_its_worst_and_its_lost_deliveries(tmp_path: Path) -> None:
    run = judged(write(failing(tmp_path)))
    figures = figures_of(run)
    assert run.ledger is not None
    latency = run.ledger.latency
    for span in figures.spans:
        at = run.ledger.messages.intended - T0
        rows = (at >= span.begin - 1e-9) & (at < span.end - 1e-9)
        mine = np.sort(latency[run.ledger.deliveries.over(rows) & run.ledger.expected])
        assert (span.deliveries, span.lost) == (len(mine), int(np.isinf(mine).sum()))
        assert span.max == (mine[-1] if len(mine) else None)
        assert span.p50 == (mine[int(np.ceil(len(mine) / 2)) - 1] if len(mine) else None)
    deliveries, messages = run.verdict.deliveries, run.verdict.messages
    assert sum(span.deliveries for span in figures.spans) == deliveries.expected
    assert sum(span.lost for span in figures.spans) == deliveries.lost == 2
    assert sum(span.accepted for span in figures.spans) == messages.accepted
    assert sum(span.rejected for span in figures.spans) == messages.rejected == 1
    assert sum(span.unknown for span in figures.spans) == messages.unknown == 1


def test_what_was_used_in_each_second(tmp_path: Path) -> None:
    usages = figures_of(judged(write(passing(tmp_path)))).usages
    assert [(usage.begin, usage.end) for usage in usages] == [(float(at), at + 1.0) for at in range(6)]
    assert [usage.machine for usage in usages] == [0.25, 0.5, 0.75, None, 1.25, 1.5]
    assert [usage.target for usage in usages] == [0.25, 0.375, 0.625, 0.375, 0.375, 0.375]
    assert [usage.cpu_pressure for usage in usages] == [0.1, 0.2, 0.3, None, 0.5, 0.6]
    assert {usage.io_pressure for usage in usages} == {0.05, None}
    assert {usage.memory_pressure for usage in usages} == {0.0, None}


def test_in_a_second_in_which_all_processes_were_just_found_nothing_is_known(tmp_path: Path) -> None:
    play = passing(tmp_path).perform()
    play.rows[TARGET] = [(table, (*row[:3], NAN, row[4])) for table, row in play.rows[TARGET][:2]]
    play.row(TARGET, "process", T0 + 1.75, 70, "chat", 0.0, 1)
    assert [usage.target for usage in figures_of(judged(play.write())).usages] == [None, 0.0, None, None, None, None]


def test_the_worst_second_of_a_longer_span_is_shown(tmp_path: Path) -> None:
    play = Play(tmp_path, seconds=100, rate=0.5).perform()
    for second in range(1, 101):
        play.row("worker0", "machine", T0 + second, 2.0 if second in (1, 38) else 0.5, 0.0, 0.0, 0.0, 2)
    play.row("worker0", "machine", T0 + 101, 9.0, 0.0, 0.0, 0.0, 2)
    usages = figures_of(judged(play.write())).usages
    assert [usage.end for usage in usages if usage.machine == 2.0] == [2.0, 38.0]
    assert {usage.machine for usage in usages} == {0.5, 2.0}


def test_nothing_was_used_that_was_not_measured(tmp_path: Path) -> None:
    assert figures_of(judged(write(failing(tmp_path)))).usages == ()


def test_curves_go_through_the_quantiles_of_the_verdict(tmp_path: Path) -> None:
    figures = figures_of(judged(write(passing(tmp_path))))
    for curve in (*figures.curves, *figures.fan_out):
        quantiles = getattr(figures.verdict.latency, curve.name)
        known = dict(curve.points)
        assert curve.max == quantiles.max
        assert curve.count == quantiles.count
        for key, share in QUANTILES.items():
            if share in known:
                assert known[share] == getattr(quantiles, key)
        values = [value for _, value in curve.points]
        assert values == sorted(values)


def test_the_parts_add_up_to_the_whole_latency(tmp_path: Path) -> None:
    play = passing(tmp_path)
    play.plants = {(0, 3): Plant(handed_late=0.4), (1, 4): Plant(no_frame_on={1}), (1, 6): Plant(slow=0.3)}
    run = judged(write(play))
    assert run.ledger is not None
    breakdown = figures_of(run).breakdowns[0]
    latency = run.ledger.latency[run.ledger.delivered]
    assert sum(breakdown.seconds.values()) == pytest.approx(latency.sum())
    assert breakdown.deliveries == len(latency)
    assert breakdown.seconds["sending"] == pytest.approx((0.4 + 0.001 * 60) * 4)
    assert breakdown.seconds["unannounced"] > 0
    assert all(seconds >= 0 for seconds in breakdown.seconds.values())


def test_disconnected_dashboards_are_counted(tmp_path: Path) -> None:
    spans = figures_of(judged(write(failing(tmp_path)))).spans
    assert spans[0].subscribed == 4
    assert spans[-1].subscribed == 3


def test_a_blocked_loop_is_late_in_every_span_that_it_missed(tmp_path: Path) -> None:
    play = passing(tmp_path)
    play.row("worker0", "lag", T0 + 3.55, 1.0)
    (lag,) = figures_of(judged(write(play))).lags
    assert [number for number, worst in enumerate(lag.worst) if worst == 1.0] == list(range(25, 36))
    assert lag.largest == 1.0


@pytest.mark.parametrize("make", [passing, failing, undecided])
def test_the_cases_agree_with_the_verdict(make: object, tmp_path: Path) -> None:
    run = judged(make(tmp_path) if make is undecided else write(make(tmp_path)))  # type: ignore[operator]
    outcomes = [case.outcome for case in figures_of(run).cases]
    expected = "fail" if "fail" in outcomes else "undecided" if "undecided" in outcomes else "pass"
    assert expected == run.verdict.verdict


def test_an_unsound_rig_does_not_make_ci_green(tmp_path: Path) -> None:
    play = passing(tmp_path)
    play.lag = 1.0
    run = judged(write(play))
    assert run.verdict.verdict == "undecided"
    (trusted,) = [case for case in figures_of(run).cases if case.kind == "run"]
    assert trusted.outcome == "undecided"
    assert any("bottleneck" in why or "short of CPU" in why for why in trusted.why)


def test_a_run_without_messages(tmp_path: Path) -> None:
    play = Play(tmp_path, rate=0.1, seconds=3)
    figures = figures_of(judged(write(play)))
    assert figures.verdict.verdict == "undecided"
    assert figures.curves == () or all(curve.count for curve in figures.curves)
