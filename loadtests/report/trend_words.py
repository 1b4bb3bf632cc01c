"""Trends in words, the same in the terminal, in Markdown and on the page."""

import math
from collections.abc import Sequence
from datetime import UTC

from chatswarm.loadtests.compare.kept_runs import KeptRun
from chatswarm.loadtests.compare.paired import Ratio
from chatswarm.loadtests.compare.trend import FEWEST_RUNS, ChangePoint
from chatswarm.loadtests.compare.trends import MetricTrend, TrendOutcome, Trends, TrendSeries
from chatswarm.loadtests.history.folders import VERDICT
from chatswarm.loadtests.scenario.metric_names import Outcome
from chatswarm.loadtests.system.text import one_line
from chatswarm.loadtests.system.units import human

from .wording import number

TONES: dict[TrendOutcome, Outcome] = {"worse": "fail", "nothing new": "pass", "too few runs": "undecided"}
"""What an outcome is shown as."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_CALM = 1.5
"""The ratio of the largest figure to the smallest from which a sparkline uses its whole height."""
_SHOWN = 8  # runs that are named at most; all are in the JSON


def headline(trends: Trends) -> str:
    """What the runs tell, in a sentence."""
    bad = [
        f"{one_line(series.key.scenario)}: {metric.metric} {signed(point.ratio.estimate)}"
        for series in trends.series
        for metric in series.metrics
        for point in metric.bad
    ]
    if bad:
        return "; ".join(bad)
    if trends.outcome == "nothing new":
        return "no new change for the worse"
    short = [series for series in trends.series if series.current and series.outcome == "too few runs"]
    counts = [
        f"{one_line(series.key.scenario)} has {min((each.trend.runs for each in series.metrics), default=0)}"
        for series in short
    ]
    return f"too few runs to tell: expected at least {FEWEST_RUNS}, {' and '.join(counts) or 'none was decided'}"


def signed(ratio: float) -> str:
    """A ratio as a change: `+21 %`, `−8 %`; `× 12` if it is large; `–` if it has no bound."""
    if math.isinf(ratio):
        return "∞"
    if ratio >= 10:
        return f"× {ratio:,.0f}"
    text = f"{abs(ratio - 1) * 100:.0f}" if abs(ratio - 1) >= 0.0995 else f"{abs(ratio - 1) * 100:.1f}"
    return f"{'+' if ratio >= 1 else '−'}{text} %"


def size(ratio: Ratio) -> str:
    """A change with its interval: `+21 % (+15 to +27 %)`."""
    return f"{signed(ratio.estimate)} ({interval(ratio)})"


def interval(ratio: Ratio) -> str:
    """A change's interval: `+15 to +27 %`."""
    low, high = signed(ratio.low), signed(ratio.high)
    return f"{low.removesuffix(' %') if high.endswith('%') else low} to {high}"


def figure_text(metric: MetricTrend, value: float | None) -> str:
    """A figure of this metric."""
    if value is None or metric.is_time:
        return human(value)
    return number(value)


def ends(metric: MetricTrend) -> tuple[str, str]:
    """The medians before the first point and after the last."""
    levels = [level for _, _, level in metric.levels()]
    return (figure_text(metric, levels[0]), figure_text(metric, levels[-1])) if levels else ("–", "–")


def changes(metric: MetricTrend) -> str:
    """How many changes there are: `none`, `3, 1 new`, `too few runs`."""
    if metric.trend.points is None:
        return "too few runs"
    new = sum(point.new for point in metric.trend.points)
    return f"{len(metric.trend.points) or 'none'}{f', {new} new' if new else ''}"


def step(metric: MetricTrend, point: ChangePoint) -> str:
    """The medians before and after a point: `5.41 ms → 6.55 ms`."""
    levels = metric.levels()
    before = next((level for _, end, level in levels if end == point.index), None)
    after = next((level for begin, _, level in levels if begin == point.index), None)
    return f"{figure_text(metric, before)} → {figure_text(metric, after)}"


def kind(metric: MetricTrend, point: ChangePoint) -> str:
    """What sort of change: `new, worse`, `known, better`, …."""
    return f"{'new' if point.new else 'known'}, {'worse' if metric.worse(point) else 'better'}"


def when(run: KeptRun) -> str:
    """When a run started, to the minute, in UTC."""
    return f"{run.started.astimezone(UTC):%Y-%m-%d %H:%M}"


def name(run: KeptRun) -> str:
    """The name of a run's folder, or of the file that its verdict was kept in."""
    path = run.path.absolute()
    return one_line(path.parent.name if path.name == VERDICT else path.name)


def aside(series: TrendSeries) -> str:
    """What stands behind the name of a series that decides nothing; empty for others."""
    return "" if series.current else " (not the newest run's machine: decides nothing)"


def tells(series: TrendSeries) -> bool:
    """Whether the figures of a series say anything: if not, and if it decides nothing, its name is enough."""
    return series.current or series.outcome != "too few runs"


def span(series: TrendSeries) -> str:
    """How many runs, from when to when, of what, on which machine."""
    first, last = series.runs[0], series.runs[-1]
    count = f"{len(series.runs)} run{'' if len(series.runs) == 1 else 's'}"
    dates = when(first) if len(series.runs) == 1 else f"{when(first)} to {when(last)} UTC"
    return one_line(f"{count}, {dates}; {series.key.size}; {series.key.machine}")


def notes(trends: Trends) -> list[str]:
    """What was left out or kept apart, and why, in sentences."""
    found = []
    names = [(series.key.scenario, series.key.load) for series in trends.series]
    apart = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    found += [
        f"{one_line(scenario)}: {names.count((scenario, load))} machines, each with runs that are compared only with "
        "each other; what decides is the machine of the newest run"
        for scenario, load in apart
    ]
    scenarios = [scenario for scenario, _ in dict.fromkeys(names)]
    found += [
        f"{one_line(scenario)}: {scenarios.count(scenario)} different loads (the scenario, flags, protocol or "
        "processes changed), never compared with each other"
        for scenario in dict.fromkeys(scenarios)
        if scenarios.count(scenario) > 1
    ]
    if trends.undecided:
        found.append(f"left out, because undecided: {_named(trends.undecided)}")
    if unsound := [run for series in trends.series for run in series.unsound]:
        found.append(f"latencies left out, because the rig was not sound: {_named(unsound)}")
    return found


def _named(runs: Sequence[KeptRun]) -> str:
    more = len(runs) - _SHOWN
    shown = ", ".join(f"{name(run)} ({when(run)})" for run in runs[-_SHOWN:])
    return f"{shown} and {more} more" if more > 0 else shown


def sparkline(figures: Sequence[float | None], widest: int) -> str:
    """The last `widest` figures, each as a block on a scale of logarithms; a gap where there is none, ∞ for never.

    Noise looks small: only figures that differ by half use the whole height.
    """
    last = figures[-widest:]
    known = [figure for figure in last if figure is not None and 0 < figure < math.inf]
    low, high = (math.log(min(known)), math.log(max(known))) if known else (0.0, 0.0)
    if 0.0 in last:
        low -= math.log(_CALM)
    height = max(high - low, math.log(_CALM))

    def block(figure: float | None) -> str:
        if figure is None:
            return " "
        if math.isinf(figure):
            return "∞"
        share = (math.log(figure) - low) / height if figure > 0 else 0.0
        return _BLOCKS[min(len(_BLOCKS) - 1, int(share * len(_BLOCKS)))]

    return "".join(map(block, last))
