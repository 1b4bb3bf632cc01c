"""`chatswarm trend` in the terminal, and as Markdown for a summary in CI."""

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chatswarm.loadtests.compare.trends import Trends, TrendSeries
from chatswarm.loadtests.system.text import one_line

from .markdown import ICONS, data, markdown_table
from .terminal import STYLES, badge, plain, plain_table
from .trend_words import (
    TONES,
    aside,
    changes,
    ends,
    headline,
    interval,
    kind,
    name,
    notes,
    signed,
    size,
    span,
    sparkline,
    step,
    tells,
    when,
)  # fmt: skip
from .wording import MARKS

_BESIDE = 60  # columns that a line of the table has besides its sparkline
_LONGEST, _SHORTEST, _WIDE = 60, 12, 40  # figures in a sparkline; in Markdown


def print_trends(console: Console, trends: Trends) -> None:
    """Prints what the runs tell, the most important part first."""
    tone = TONES[trends.outcome]
    console.print()
    head = Text.assemble(
        badge(tone, trends.outcome),
        (f"  {headline(trends)}", "bold"),
    )
    console.print(head)
    for series in trends.series:
        console.print(Padding(_series(series, console.width), (1, 0, 0, 2)))
        if changes := _changes(series):
            console.print(Padding(changes, (1, 0, 0, 2)))
    found = notes(trends)
    if found:
        console.print()
    for note in found:
        console.print(Padding(plain(f"note: {note}", "dim"), (0, 0, 0, 2)))


def _series(series: TrendSeries, width: int) -> Table:
    """The metrics of a series: their figures over time, and where they are now."""
    outer = Table.grid()
    outer.add_row(Text.assemble((one_line(series.key.scenario), "bold"), (aside(series), "dim")))
    outer.add_row(plain(span(series), "dim"))
    if not tells(series):
        return outer
    outer.add_row("")
    shown = plain_table(
        ("metric", ""), ("over time", ""), ("runs", "right"), ("first", "right"), ("last", "right"), ("changes", "")
    )
    wide = max(_SHORTEST, min(_LONGEST, width - _BESIDE))
    for metric in series.metrics:
        style = STYLES["fail"] if metric.bad else STYLES["undecided"] if metric.trend.points is None else ""
        line = Text(sparkline(metric.figures, wide), no_wrap=True)
        shown.add_row(metric.metric, line, str(metric.trend.runs), *ends(metric), Text(changes(metric), style))
    outer.add_row(shown)
    return outer


def _changes(series: TrendSeries) -> Table | None:
    """Each change point, the newest first."""
    points = [(metric, point) for metric in series.metrics for point in metric.trend.points or ()]
    if not points:
        return None
    points.sort(key=lambda both: -both[1].index)
    shown = plain_table(("", ""), ("change", ""), ("since", ""), ("median", ""), ("size, 95 %", ""))
    for metric, point in points:
        bad = point in metric.bad
        run = series.runs[point.index]
        shown.add_row(
            Text(MARKS["fail"], STYLES["fail"]) if bad else "",
            Text.assemble(metric.metric, "\n", (kind(metric, point), STYLES["fail"] if bad else "dim")),
            Text.assemble(when(run), "\n", (name(run), "dim")),
            step(metric, point),
            Text.assemble(signed(point.ratio.estimate), "\n", (f"({interval(point.ratio)})", "dim")),
        )
    return shown


def trends_markdown(trends: Trends) -> str:
    """A summary in GitHub Markdown."""
    parts = [f"## {ICONS[TONES[trends.outcome]]} {trends.outcome.upper()}: {data(headline(trends))}"]
    for series in trends.series:
        parts.append(f"### {data(f'{series.key.scenario}{aside(series)}')}\n\n{data(span(series))}")
        if not tells(series):
            continue
        rows = [
            (
                data(metric.metric), sparkline(metric.figures, _WIDE), str(metric.trend.runs), *ends(metric),
                changes(metric),
            )
            for metric in series.metrics
        ]  # fmt: skip
        parts.append(markdown_table(("metric", "over time", "runs", "first", "last", "changes"), rows))
        changed = [
            (
                ICONS["fail"] if point in metric.bad else "", data(metric.metric), kind(metric, point),
                data(f"{when(series.runs[point.index])}, {name(series.runs[point.index])}"),
                step(metric, point), data(size(point.ratio)),
            )
            for metric in series.metrics
            for point in reversed(metric.trend.points or ())
        ]  # fmt: skip
        if changed:
            parts.append(markdown_table(("", "metric", "change", "since", "median", "size and 95 % interval"), changed))
    parts += [f"> {data(note)}" for note in notes(trends)]
    return "\n\n".join(parts) + "\n"
