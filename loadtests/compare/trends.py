"""`chatswarm trend`: the change points of many runs, one series for each load and machine.

Figures of different loads or machines are never compared: their runs are told apart by what their verdicts say.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Literal

import msgspec

from chatswarm.loadtests.judge.verdict import Verdict
from chatswarm.loadtests.system.exit_code import ExitCode
from chatswarm.loadtests.system.text import to_json

from .kept_runs import KeptRun, figure_of
from .metrics import QUANTITIES
from .result import to_number
from .trend import FEWEST_RUNS, ChangePoint, Trend, trend

DEFAULT_METRICS = ("visible.p99", "notified.p50", "accepted.p50", "lost")
"""The promise, the two stages whose medians vary least from run to run, and what must never happen."""
TrendOutcome = Literal["worse", "nothing new", "too few runs"]


@dataclass(frozen=True)
class SeriesKey:
    """What runs have in common whose figures may be compared."""

    scenario: str
    load: str
    """The verdict's fingerprint."""
    dashboards: int
    widgets: int
    rooms: int | None
    processor: str | None
    cores: int | None

    @property
    def machine(self) -> str:
        """The machine in words."""
        cores = "an unknown number of" if self.cores is None else self.cores
        return f"{self.processor or 'an unknown processor'}, {cores} core{'' if self.cores == 1 else 's'}"

    @property
    def size(self) -> str:
        """The load in words."""
        rooms = "" if self.rooms is None else f", {self.rooms} room{'' if self.rooms == 1 else 's'}"
        return f"{self.dashboards} dashboards, {self.widgets} widgets{rooms}"


@dataclass(frozen=True)
class MetricTrend:
    """One metric of a series."""

    metric: str
    figures: tuple[float | None, ...]
    """One for each run of the series, in time order."""
    trend: Trend

    @property
    def more_is_better(self) -> bool:
        return self.metric in QUANTITIES

    @property
    def is_time(self) -> bool:
        """Whether the figures are seconds; otherwise they count something."""
        return "." in self.metric

    @property
    def bad(self) -> tuple[ChangePoint, ...]:
        """The points that are new and worse."""
        return self.trend.new_and_worse(self.more_is_better)

    def worse(self, point: ChangePoint) -> bool:
        """Whether the figures are worse after this point."""
        return (point.ratio.estimate > 1) != self.more_is_better

    def levels(self) -> list[tuple[int, int, float]]:
        """The spans between the points: the first run, the run after the last, and the median of its figures."""
        cuts = [0, *(point.index for point in self.trend.points or ()), len(self.figures)]
        found = []
        for begin, end in pairwise(cuts):
            if known := [figure for figure in self.figures[begin:end] if figure is not None]:
                found.append((begin, end, median(known)))
        return found


@dataclass(frozen=True)
class TrendSeries:
    """The decided runs of one load on one machine, in time order, and the trend of each metric."""

    key: SeriesKey
    runs: tuple[KeptRun, ...]
    current: bool
    """Whether the newest run of this load is in it. Of other series nothing is new, and nothing is decided by them."""
    metrics: tuple[MetricTrend, ...]

    @property
    def outcome(self) -> TrendOutcome:
        """Worse if a metric has a new point for the worse; too few runs if one of its metrics has."""
        if any(each.bad for each in self.metrics):
            return "worse"
        untold = not self.metrics or any(each.trend.points is None for each in self.metrics)
        return "too few runs" if untold else "nothing new"

    @property
    def unsound(self) -> tuple[KeptRun, ...]:
        """Failed runs whose rig was not sound: their latencies do not count."""
        return tuple(run for run in self.runs if not run.verdict.rig.sound)


@dataclass(frozen=True)
class Trends:
    """Everything that the runs tell."""

    series: tuple[TrendSeries, ...]
    """The current ones first."""
    undecided: tuple[KeptRun, ...]
    """Runs that were left out, because nothing was proven in them either way."""

    @property
    def outcome(self) -> TrendOutcome:
        """Of all current series together: worse if one is; too few runs if one has, or if there is none."""
        found = [series.outcome for series in self.series if series.current]
        order: tuple[TrendOutcome, ...] = ("worse", "too few runs", "nothing new")
        return next((outcome for outcome in order if outcome in found), "too few runs")

    @property
    def exit_code(self) -> ExitCode:
        codes = {"worse": ExitCode.FAIL, "too few runs": ExitCode.UNDECIDED, "nothing new": ExitCode.PASS}
        return codes[self.outcome]

    def json(self) -> bytes:
        """What `--json` prints."""
        whole = {
            "outcome": self.outcome,
            "exit_code": int(self.exit_code),
            "fewest_runs": FEWEST_RUNS,
            "series": [_series_json(series) for series in self.series],
            "undecided": [_run_json(run) for run in self.undecided],
        }
        return msgspec.json.format(to_json(whole), indent=2) + b"\n"


def trends_of(runs: Sequence[KeptRun], metrics: Sequence[str] = ()) -> Trends:
    """The trends of runs in time order. Without `metrics`, those of DEFAULT_METRICS that were measured.

    New is what could not be seen before the newest run of its load. If that one is undecided, nothing is new.
    """
    newest = {_load(run.verdict): run for run in runs}
    groups: dict[SeriesKey, list[KeptRun]] = {}
    for run in runs:
        if run.decided:
            groups.setdefault(_key(run.verdict), []).append(run)
    # An undecided run may not know its machine: its load's last decided run says which series is the current one.
    last = {_load(run.verdict): run for run in runs if run.decided}
    series = []
    for key, group in groups.items():
        load = _load(group[-1].verdict)
        known = len(group) - (group[-1] is newest[load])
        found = tuple(_metric_trends(group, metrics, known))
        series.append(TrendSeries(key, tuple(group), group[-1] is last[load], found))
    series.sort(key=lambda each: not each.current)
    return Trends(tuple(series), tuple(run for run in runs if not run.decided))


def _metric_trends(runs: Sequence[KeptRun], metrics: Sequence[str], known: int) -> Iterable[MetricTrend]:
    for metric in metrics or DEFAULT_METRICS:
        figures = tuple(figure_of(run.verdict, metric) for run in runs)
        if metrics or any(figure is not None for figure in figures):
            yield MetricTrend(metric, figures, trend(figures, known))


def _load(verdict: Verdict) -> tuple[str, str, int, int, int | None]:
    return verdict.scenario, verdict.load, verdict.dashboards, verdict.widgets, verdict.rooms


def _key(verdict: Verdict) -> SeriesKey:
    machine = verdict.rig.machine
    processor, cores = (None, None) if machine is None else (machine.processor, machine.cores)
    return SeriesKey(*_load(verdict), processor=processor, cores=cores)


def _series_json(series: TrendSeries) -> dict[str, object]:
    key = series.key
    return {
        "scenario": key.scenario, "load": key.load, "dashboards": key.dashboards, "widgets": key.widgets,
        "rooms": key.rooms, "processor": key.processor, "cores": key.cores, "current": series.current,
        "outcome": series.outcome if series.current else None,
        "runs": [_run_json(run) for run in series.runs],
        "metrics": [_metric_json(series, metric) for metric in series.metrics],
    }  # fmt: skip


def _run_json(run: KeptRun) -> dict[str, object]:
    return {
        "path": str(run.path), "started": run.verdict.started, "verdict": run.verdict.verdict,
        "scenario": run.verdict.scenario, "sound": run.verdict.rig.sound,
    }  # fmt: skip


def _metric_json(series: TrendSeries, metric: MetricTrend) -> dict[str, object]:
    points = metric.trend.points
    levels = {begin: level for begin, _, level in metric.levels()}
    return {
        "metric": metric.metric,
        "decided_runs": metric.trend.runs,
        "figures": [to_number(figure) for figure in metric.figures],
        "levels": [{"first": begin, "level": to_number(level)} for begin, level in levels.items()],
        "points": None if points is None else [
            {
                "first": point.index, "path": str(series.runs[point.index].path),
                "started": series.runs[point.index].verdict.started, "ratio": to_number(point.ratio.estimate),
                "low": to_number(point.ratio.low), "high": to_number(point.ratio.high), "p_value": point.p_value,
                "new": point.new, "worse": metric.worse(point),
            }
            for point in points
        ],
    }  # fmt: skip
