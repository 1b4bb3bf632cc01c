"""The charts of a report. A new chart is a function here.

Each has a heading, a sentence on how to read it, a picture with a text alternative, and the same numbers as a table.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from chatswarm.loadtests.system.units import human

from .figures import Curve, ReportFigures
from .latency_parts import PARTS
from .markup import Markup, Prose, element
from .plot import Axis, Band, Bar, Line, Plot, Rule, Slot, duration_tick, linear, logarithmic
from .timeline import Span, Usage

WIDE, NARROW = 960.0, 400.0
"""Widths in pixels: each chart is drawn twice, so that its text is legible in a wide and in a narrow column."""
_STEP = 0.1  # of a nine: how far to the right of the last rank the maximum is drawn
_Use = tuple[str, str, Callable[[Usage], float | None]]
"""What was used: its name, the style of its line, and its value in a span."""
_SHORT = {"first_dashboard": "first", "median_dashboard": "median", "last_dashboard": "last"}


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, ready to be placed on the page."""

    key: str
    title: str
    reading: str
    pictures: tuple[Markup, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    section: Literal["latency", "rig"] = "latency"

    def figure(self, level: int = 3) -> Markup:
        """The chart as an HTML element, with a heading of that level."""
        return element(
            "figure",
            element("figcaption", element(f"h{level}", self.title), element("p", self.reading)),
            self.pictures,
            element(
                "details",
                element("summary", f"Data: {self.title.lower()}"),
                table(self.title, self.columns, self.rows),
            ),
            class_="chart",
            id=self.key,
        )


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str | Markup]], shown: bool = False) -> Markup:
    """A table that scrolls if it is too wide. The first cell of each row is its heading."""
    prose = {at for row in rows for at, cell in enumerate(row) if isinstance(cell, Prose)}
    head = element(
        "tr",
        (
            element("th", column, scope="col", class_="text" if at in prose else None)
            for at, column in enumerate(columns)
        ),
    )
    body = (element("tr", element("th", row[0], scope="row"), (_cell(cell) for cell in row[1:])) for row in rows)
    whole = element(
        "table", element("caption", caption, class_=None if shown else "hidden"), element("thead", head),
        element("tbody", body),
    )  # fmt: skip
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _cell(content: str) -> Markup:
    return element("td", content, class_="text" if isinstance(content, Prose) else None)


def charts_of(figures: ReportFigures) -> list[Chart]:
    """All charts that have data, in the order of the page."""
    return [chart for make in CHARTS if (chart := make(figures)) is not None]


def over_time(figures: ReportFigures) -> Chart | None:
    """Update latency over time, with the faults and the target."""
    spans = [span for span in figures.spans if span.deliveries]
    if not spans:
        return None
    quantiles: tuple[tuple[str, Callable[[Span], float | None]], ...] = (
        ("p50", lambda span: span.p50),
        ("p95", lambda span: span.p95),
        ("p99", lambda span: span.p99),
        ("max", lambda span: span.max),
    )
    lines = [
        Line(name, [((span.begin + span.end) / 2, of(span)) for span in figures.spans], name) for name, of in quantiles
    ]
    values = _finite(y for line in lines for _, y in line.points)
    lost = any(span.lost for span in spans)
    worst = max(values, default=0.0)
    width = spans[0].end - spans[0].begin
    alternative = (
        f"Update latency over {_end(figures):.0f} s, in spans of {human(width)}: the slowest delivery took "
        f"{'forever' if lost else human(worst)}; the update target is {human(figures.target)}"
    )
    faults = [f"{fault.name} from {fault.start:.1f} s" for fault in figures.verdict.faults]
    plot = Plot(
        "over-time",
        f"{alternative}{'; faults: ' + ', '.join(faults) if faults else ''}.",
        _seconds(figures),
        durations([*values, figures.target]),
        "seconds after the start, by intended time",
        "update latency, log scale",
        lines,
        bands=_bands(figures),
        rules=[Rule(figures.target, f"target {human(figures.target)}")],
        slots=[Slot(span.begin, span.end, _span_text(span)) for span in figures.spans],
        rail="never" if lost else "",
    )
    return Chart(
        "over-time",
        "Update latency over time",
        f"From a message's intended time until a dashboard showed it. Each point is an exact quantile over "
        f"{human(width)}; the maximum is never smoothed away." + _shades(figures),
        drawn(plot),
        ("from", "to", "deliveries", "lost", "p50", "p95", "p99", "max"),
        tuple(
            (*_when(span), f"{span.deliveries:,}", f"{span.lost:,}", *(human(of(span)) for _, of in quantiles))
            for span in figures.spans
        ),
    )


def by_percentile(figures: ReportFigures) -> Chart | None:
    """Each latency by percentile, on an axis of nines."""
    if not figures.curves:
        return None
    return _nines(
        figures,
        "by-percentile",
        "Latency by percentile",
        "How slow the slowest share was. Each step to the right adds a nine: at 99.9 %, one in a thousand took longer. "
        "All latencies count from the intended time, except refetch, which counts from its own start.",
        figures.curves,
        [f"visible c{n}" if curve.name == "visible" else f"c{n}" for n, curve in enumerate(figures.curves, 1)],
    )


def fan_out(figures: ReportFigures) -> Chart | None:
    """The first, the median and the last dashboard of each message."""
    if not figures.fan_out:
        return None
    return _nines(
        figures,
        "fan-out",
        "Fan-out: first, median and last dashboard",
        "For each message, when it became visible on the first, the median and the last of its dashboards. The further "
        "apart the lines, the less the dashboards agree at any moment.",
        figures.fan_out,
        ["c1", "c2", "c3"],
    )


def _nines(
    figures: ReportFigures, key: str, title: str, reading: str, curves: tuple[Curve, ...], styles: list[str]
) -> Chart:
    far = max(math.log10(curve.count) + _STEP for curve in curves)
    lines = []
    for curve, style in zip(curves, styles, strict=True):
        points = [(-math.log10(1 - share), value) for share, value in curve.points]
        points.append((math.log10(curve.count) + _STEP, curve.max))
        lines.append(Line(_SHORT.get(curve.name, curve.name), points, style, steps=True))
    values = _finite(y for line in lines for _, y in line.points)
    lost = any(math.isinf(curve.max) for curve in curves)
    words = [f"{line.name} at most {human(curve.max)}" for line, curve in zip(lines, curves, strict=True)]
    plot = Plot(
        key,
        f"{title}: {', '.join(words)}; the update target is {human(figures.target)}.",
        axis_of_nines(far),
        durations([*values, figures.target]),
        "percentile, one step per nine",
        "latency, log scale",
        lines,
        rules=[Rule(figures.target, f"target {human(figures.target)}")],
        rail="never" if lost else "",
    )
    percentiles = (0.5, 0.9, 0.95, 0.99, 0.999, 0.9999)
    rows = tuple(
        (curve.name, *(human(_at(curve, share)) for share in percentiles), human(curve.max), f"{curve.count:,}")
        for curve in curves
    )
    return Chart(
        key, title, reading, drawn(plot),
        ("latency", "p50", "p90", "p95", "p99", "p99.9", "p99.99", "max", "samples"), rows,
    )  # fmt: skip


def latency_parts(figures: ReportFigures) -> Chart | None:
    """Where the time went: the parts of the update latency."""
    if not figures.breakdowns:
        return None
    used = [part for part in PARTS if any(row.seconds[part] > 0 for row in figures.breakdowns)]
    return Chart(
        "latency-parts",
        "Where the time went",
        "Each part's share of the time from intended to visible, for all deliveries and for the slowest.",
        tuple(_stacks(figures, used, width) for width in (WIDE, NARROW)),
        ("deliveries", *used, "mean latency", "count"),
        tuple(
            (row.label, *(f"{row.share(part):.1%}" for part in used), human(row.mean), f"{row.deliveries:,}")
            for row in figures.breakdowns
        ),
    )


def _stacks(figures: ReportFigures, used: list[str], width: float) -> Markup:
    narrow = width < WIDE
    drawn, at = [], 8.0
    left, whole = (0.0, width) if narrow else (150.0, width - 150.0)
    words = []
    for row in figures.breakdowns:
        text = f"{row.label}: mean {human(row.mean)}" if narrow else row.label
        drawn.append(element("text", text, x=0.0, y=at + (12 if narrow else 19), class_="stack-name"))
        at += 18 if narrow else 0
        x = left
        for part in used:
            share = row.share(part)
            if share <= 0:
                continue
            label = f"{share:.0%}"
            tooltip = element("title", f"{part}: {share:.1%} of the time")
            drawn.append(element("rect", tooltip, x=x, y=at, width=share * whole, height=30.0, class_=f"part {part}"))
            if share * whole > 38:
                drawn.append(element("text", label, x=x + 7, y=at + 20, class_="part-name"))
            x += share * whole
        words.append(f"{row.label}: " + ", ".join(f"{part} {row.share(part):.0%}" for part in used))
        at += 42
    for part in used:
        drawn.append(element("rect", x=0.0, y=at, width=12.0, height=12.0, class_=f"part {part}"))
        text = part if narrow else f"{part}: {PARTS[part]}"
        drawn.append(element("text", text, x=20.0, y=at + 11, class_="stack-name"))
        at += 20
    return element(
        "svg", drawn, class_="narrow" if narrow else "wide", viewBox=f"0 0 {width:g} {at + 4:g}", role="img",
        aria_label=f"Where the time went. {'; '.join(words)}.",
    )  # fmt: skip


def traffic(figures: ReportFigures) -> Chart | None:
    """Messages per second, and how the chat responded."""
    if not any(span.accepted + span.rejected + span.unknown for span in figures.spans):
        return None
    rates = [
        tuple(count / (span.end - span.begin) for count in (span.accepted, span.rejected, span.unknown))
        for span in figures.spans
    ]
    most = max(sum(rate) for rate in rates)
    refused = sum(span.rejected + span.unknown for span in figures.spans)
    plot = Plot(
        "traffic",
        f"Messages sent per second over time: at most {most:.0f}; {refused:,} rejected or without a clear response.",
        _seconds(figures),
        linear(0.0, most, lambda value: f"{value:g}", 4),
        "seconds after the start",
        "messages per second",
        bars=[
            Bar(span.begin, span.end, tuple(zip(rate, ("accepted", "rejected", "unknown"), strict=True)))
            for span, rate in zip(figures.spans, rates, strict=True)
        ],
        bands=_bands(figures),
        slots=[
            Slot(
                span.begin,
                span.end,
                f"{span.begin:.1f}–{span.end:.1f} s: {span.accepted:,} accepted, {span.rejected:,} rejected, "
                f"{span.unknown:,} without a clear response",
            )
            for span in figures.spans
        ],
        height=110.0,
    )
    return Chart(
        "traffic",
        "Messages per second",
        "What the widgets sent, on a schedule that does not wait for the chat. "
        + ("Red: rejected; amber: no clear response." if refused else "All of it was accepted."),
        drawn(plot),
        ("from", "to", "accepted", "rejected", "no clear response"),
        tuple(
            (
                f"{span.begin:.1f} s",
                f"{span.end:.1f} s",
                f"{span.accepted:,}",
                f"{span.rejected:,}",
                f"{span.unknown:,}",
            )
            for span in figures.spans
        ),
    )


def connected(figures: ReportFigures) -> Chart | None:
    """How many dashboards were subscribed, if that changed."""
    planned = figures.verdict.dashboards
    if not figures.spans or all(span.subscribed == planned for span in figures.spans):
        return None
    points = [(span.begin, float(span.subscribed)) for span in figures.spans]
    points.append((figures.spans[-1].end, points[-1][1]))
    fewest = min(span.subscribed for span in figures.spans)
    plot = Plot(
        "connected",
        f"Subscribed dashboards over time: {planned} planned, never fewer than {fewest}.",
        _seconds(figures),
        linear(0.0, float(max(planned, *(span.subscribed for span in figures.spans))), lambda value: f"{value:g}", 4),
        "seconds after the start",
        "subscribed dashboards",
        [Line("", points, "p50", steps=True)],
        bands=_bands(figures),
        slots=[
            Slot(span.begin, span.end, f"{span.begin:.1f}–{span.end:.1f} s: {span.subscribed} of {planned} subscribed")
            for span in figures.spans
        ],
        height=110.0,
    )
    return Chart(
        "connected",
        "Subscribed dashboards",
        "The fewest at any moment of each span. A disconnected dashboard is not excused: it must show every message.",
        drawn(plot),
        ("from", "to", "subscribed"),
        tuple((*_when(span), f"{span.subscribed:,}") for span in figures.spans),
    )


def rig_lag(figures: ReportFigures) -> Chart | None:
    """How late the event loops of the rig woke up."""
    lags = [lag for lag in figures.lags if lag.largest is not None]
    if not lags or not figures.spans:
        return None
    lines = [
        Line(
            lag.process,
            [
                ((span.begin + span.end) / 2, None if worst is None else max(worst, 1e-5))
                for span, worst in zip(figures.spans, lag.worst, strict=True)
            ],
            f"c{1 + number % 4}",
        )
        for number, lag in enumerate(lags)
    ]
    values = _finite(y for line in lines for _, y in line.points)
    words = [f"{lag.process} at most {human(lag.largest)}" for lag in lags]
    plot = Plot(
        "rig-lag",
        f"The rig's worst lag over time: {', '.join(words)}; {human(figures.lag_limit)} is the limit of the p99.",
        _seconds(figures),
        durations([*values, figures.lag_limit]),
        "seconds after the start",
        "worst lag, log scale",
        lines,
        bands=_bands(figures),
        rules=[Rule(figures.lag_limit, f"limit of p99: {human(figures.lag_limit)}")],
        height=140.0,
    )
    return Chart(
        "rig-lag",
        "Loop lag of the rig",
        "The worst lag in each span, for every process that generated or carried load. The rig's lag adds to every "
        "latency that it measures.",
        drawn(plot),
        ("process", "worst lag", "CPU, busiest second"),
        tuple(
            (lag.process, human(lag.largest), "–" if lag.cpu is None else f"{lag.cpu:.0%} of a core") for lag in lags
        ),
        section="rig",
    )


def cpu_use(figures: ReportFigures) -> Chart | None:
    """How many cores the target's processes and the machine of the load generator used."""
    machine = figures.verdict.rig.machine
    cores = None if machine is None else machine.cores
    lines = [("target", "c2", lambda usage: usage.target), ("machine", "c1", lambda usage: usage.machine)]
    return _used(
        figures,
        "cpu-use",
        "CPU of the target's processes and of the load generator's machine",
        "The busiest second of each span. The target's processes count together, and only if chatswarm started them or "
        "was given their pid. Where they share that machine, they are part of its figure.",
        lines,
        "cores in use",
        lambda value: f"{value:.2f}",
        [] if cores is None else [Rule(float(cores), f"{cores} cores")],
    )


def pressure(figures: ReportFigures) -> Chart | None:
    """How long tasks waited on the load generator's machine."""
    return _used(
        figures,
        "pressure",
        "Pressure on the load generator's machine",
        "The share of a second in which some task waited for CPU, I/O or memory: the worst second of each span.",
        [
            ("CPU", "c1", lambda usage: usage.cpu_pressure),
            ("I/O", "c2", lambda usage: usage.io_pressure),
            ("memory", "c3", lambda usage: usage.memory_pressure),
        ],
        "share of the time",
        lambda value: f"{value:.1%}",
        [],
    )


def _used(
    figures: ReportFigures, key: str, title: str, reading: str, wanted: list[_Use], label: str,
    worded: Callable[[float], str], rules: list[Rule],
) -> Chart | None:  # fmt: skip
    """A chart of what was used over time."""
    usages = figures.usages
    of_each = [(name, style, [of(usage) for usage in usages]) for name, style, of in wanted]
    measured = [(name, style, values) for name, style, values in of_each if _finite(values)]
    if not measured:
        return None
    most = max(max(_finite(values)) for _, _, values in measured)
    words = [f"{name} at most {worded(max(_finite(values)))}" for name, _, values in measured]
    plot = Plot(
        key,
        f"{title}, over time: {', '.join(words)}.",
        _seconds(figures),
        linear(0.0, max([most, *(1.2 * rule.y for rule in rules)]), lambda value: f"{value:g}", 4),
        "seconds after the start",
        label,
        [
            Line(name, [((usage.begin + usage.end) / 2, y) for usage, y in zip(usages, values, strict=True)], style)
            for name, style, values in measured
        ],
        bands=_bands(figures),
        rules=rules,
        height=110.0,
    )
    rows = tuple(
        (f"{usage.begin:.1f} s", f"{usage.end:.1f} s", *("–" if y is None else worded(y) for y in values))
        for usage, *values in zip(usages, *(values for _, _, values in measured), strict=True)
    )
    columns = ("from", "to", *(name for name, _, _ in measured))
    return Chart(key, title, reading, drawn(plot), columns, rows, section="rig")


CHARTS: tuple[Callable[[ReportFigures], Chart | None], ...] = (
    over_time,
    traffic,
    connected,
    by_percentile,
    fan_out,
    latency_parts,
    rig_lag,
    cpu_use,
    pressure,
)
"""The charts, in the order of the page. Each is None if it has no data."""


def drawn(plot: Plot) -> tuple[Markup, ...]:
    """The picture, for a wide and for a narrow column."""
    return plot.draw(WIDE), plot.draw(NARROW)


def _span_text(span: Span) -> str:
    when = f"{span.begin:.1f}–{span.end:.1f} s"
    if not span.deliveries:
        return f"{when}: nothing was expected"
    lost = f", {span.lost:,} lost" if span.lost else ""
    return (
        f"{when}: p50 {human(span.p50)}, p95 {human(span.p95)}, p99 {human(span.p99)}, max {human(span.max)}, "
        f"{span.deliveries:,} deliveries{lost}"
    )


def _bands(figures: ReportFigures) -> list[Band]:
    end = _end(figures)
    bands = []
    for recovery in figures.verdict.recoveries:
        stop = end if recovery.stop is None else min(recovery.stop, end)
        if recovery.whole_again is not None and recovery.whole_again > 0 and stop < end:
            until = min(end, stop + recovery.whole_again)
            bands.append(Band(stop, until, f"{recovery.name}: until whole again", "recovering"))
        bands.append(Band(min(recovery.start, end), stop, recovery.name))
    return bands


def _shades(figures: ReportFigures) -> str:
    if not figures.verdict.faults:
        return ""
    return " Shaded: a fault; shaded lighter: the time until all was whole again."


def _end(figures: ReportFigures) -> float:
    return max(figures.verdict.seconds, figures.spans[-1].end if figures.spans else 0.0)


def _seconds(figures: ReportFigures) -> Axis:
    return linear(0.0, _end(figures), lambda value: f"{value:g}", 10)


def axis_of_nines(far: float) -> Axis:
    """An axis of nines, up to so many of them."""
    marks = [(0.0, "0 %"), (-math.log10(0.5), "50 %"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %")]
    marks += [(5.0, "99.999 %"), (6.0, "99.9999 %")]
    return Axis(0.0, max(far, 1.0), tuple(mark for mark in marks if mark[0] <= far + 1e-6))


def durations(values: list[float]) -> Axis:
    """A logarithmic axis over these seconds."""
    above = [value for value in values if value > 0]
    return logarithmic(min(above, default=0.001), max(above, default=1.0) * 1.1, duration_tick)


def _when(span: Span) -> tuple[str, str]:
    return f"{span.begin:.1f} s", f"{span.end:.1f} s"


def _finite(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _at(curve: Curve, share: float) -> float:
    """The quantile at a share. Beyond the last point, that is the maximum."""
    return next((value for at, value in curve.points if at >= share - 1e-9), curve.max)
