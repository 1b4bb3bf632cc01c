"""`chatswarm trend` as an HTML page: each metric over time, with its change points."""

import math

from chatswarm.loadtests.compare.trends import MetricTrend, Trends, TrendSeries

from .charts import NARROW, WIDE, Chart, table
from .document import document
from .markup import Markup, Prose, element
from .plot import Axis, Band, Line, Plot, Slot, duration_tick, linear, logarithmic
from .trend_words import TONES, aside, figure_text, headline, kind, notes, signed, size, span, step, tells, when
from .wording import MARKS, number

_TICKS = 6  # dates below a chart
_ROOM = 0.25  # above the largest figure, as a share of it


def trend_page(trends: Trends) -> str:
    """The HTML document."""
    tone = TONES[trends.outcome]
    found = notes(trends)
    head = element(
        "header",
        element(
            "div",
            element("div", f"{MARKS[tone]} {trends.outcome.upper()}", class_="badge"),
            element("h1", "Trend"),
            element("p", headline(trends), class_="why"),
            element("ul", (element("li", note) for note in found)) if found else None,
            class_=f"verdict {tone}",
        ),
    )
    sections = [_section(series, number) for number, series in enumerate(trends.series)]
    return document(f"Trend: {headline(trends)}", head, element("main", sections))


def _section(series: TrendSeries, place: int) -> Markup:
    charts = [metric_chart(series, metric, f"trend-{place}-{at}") for at, metric in enumerate(series.metrics)]
    return element(
        "section",
        element("h2", f"{series.key.scenario}{aside(series)}"),
        element("p", span(series), class_="soft"),
        [_changes(series), *(chart.figure() for chart in charts)] if tells(series) else None,
    )


def _changes(series: TrendSeries) -> Markup:
    points = [(metric, point) for metric in series.metrics for point in metric.trend.points or ()]
    if not points:
        return element("p", "No change point." if series.outcome != "too few runs" else "Too few runs to tell.")
    points.sort(key=lambda both: -both[1].index)
    rows = [
        (
            metric.metric,
            Prose(element("span", kind(metric, point), class_=f"mark {'fail' if point in metric.bad else ''}")),
            when(series.runs[point.index]),
            step(metric, point),
            size(point.ratio),
            Prose(element("p", str(series.runs[point.index].path))),
        )
        for metric, point in points
    ]
    columns = ("metric", "change", "since (UTC)", "median", "size and 95 % interval", "first run")
    return table("Change points, the newest first", columns, rows, shown=True)


def metric_chart(series: TrendSeries, metric: MetricTrend, key: str) -> Chart:
    """The figures over the runs, the median between each two change points, and the points."""
    figures, points = metric.figures, metric.trend.points
    known = [figure for figure in figures if figure is not None and math.isfinite(figure)]
    runs = Line("", [(float(at), figure) for at, figure in enumerate(figures)], "c1", dots=True)
    medians: list[tuple[float, float | None]] = []
    for begin, end, level in metric.levels():
        medians += [(begin - 0.4, level), (end - 0.6, level), (end - 0.6, None)]
    bands = [
        Band(
            point.index - 0.5,
            point.index - 0.5,
            signed(point.ratio.estimate),
            "worse" if metric.worse(point) else "better",
        )
        for point in points or ()
    ]
    rows = tuple(
        (when(run), figure_text(metric, figure), run.verdict.verdict, str(run.path))
        for run, figure in zip(series.runs, figures, strict=True)
    )
    told = (
        "too few runs to tell" if points is None else "no change point" if not points
        else "; ".join(f"{size(point.ratio)} since {when(series.runs[point.index])}" for point in points)
    )  # fmt: skip
    low, high = min(known, default=0.0), max(known, default=1.0)
    plot = Plot(
        key,
        f"{metric.metric} over {len(figures)} runs: {told}.",
        _dates(series),
        _figures_axis(metric, low, high),
        "runs, in the order of their start (UTC)",
        metric.metric,
        [Line("median", medians, "c3"), runs],
        bands=bands,
        slots=[
            Slot(at - 0.5, at + 0.5, f"{when(run)}: {figure_text(metric, figure)}, {run.verdict.verdict}")
            for at, (run, figure) in enumerate(zip(series.runs, figures, strict=True))
        ],
        rail="never" if any(figure is not None and math.isinf(figure) for figure in figures) else "",
        height=190.0,
    )
    return Chart(
        key, metric.metric, f"{told[:1].upper()}{told[1:]}.", (plot.draw(WIDE), plot.draw(NARROW)),
        ("started (UTC)", metric.metric, "verdict", "run"), rows,
    )  # fmt: skip


def _dates(series: TrendSeries) -> Axis:
    count = len(series.runs)
    every = max(1, math.ceil(count / _TICKS))
    ticks = tuple((float(at), f"{series.runs[at].started:%Y-%m-%d}") for at in range(0, count, every))
    return Axis(-0.5, count - 0.5, ticks)


def _figures_axis(metric: MetricTrend, low: float, high: float) -> Axis:
    """From 0 for counts and for figures that are near each other; logarithmic for durations that are not."""
    if metric.is_time and low > 0 and high / low > 8:
        return logarithmic(low, high * 1.1, duration_tick)
    label = duration_tick if metric.is_time else number
    return linear(0.0, high * (1 + _ROOM) or 1.0, label, 4)
