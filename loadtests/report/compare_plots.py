"""The charts of a comparison: the forest plot, the pairs as slopes, and the percentile curves of both sides."""

import math
from collections.abc import Sequence

from chatswarm.loadtests.compare.decide import SideCurves
from chatswarm.loadtests.compare.measured import SHARES
from chatswarm.loadtests.compare.result import ComparedMetric, ComparedRatio, CompareResult, from_number
from chatswarm.loadtests.system.units import human

from .charts import NARROW, WIDE, Chart, axis_of_nines, drawn, durations
from .compare_wording import OUTCOMES, change, figure, interval, said
from .markup import Markup, element
from .plot import Axis, Line, Plot, duration_tick, linear, text_at
from .wording import many

_ROW = 34.0
_NINES = tuple(-math.log10(1 - share) for share in SHARES)
_TICKS = (
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.33,
    0.5,
    0.67,
    0.8,
    0.9,
    1.0,
    1.1,
    1.25,
    1.5,
    2.0,
    3.0,
    5.0,
    10.0,
    20.0,
    50.0,
    100.0,
)
_LIMIT = 100.0
"""The largest ratio of an axis: what is larger, or infinite, is an arrow at its end."""


def forest(result: CompareResult) -> Chart | None:
    """Each metric's ratio with its interval, and the margin within which both sides are the same."""
    metrics = [(each, each.ratio) for each in result.metrics if each.ratio is not None and each.runs_with is None]
    if not metrics:
        return None
    # A ratio that no figure bounds says nothing about how wide the axis has to be.
    ends = [from_number(end) for _, ratio in metrics for end in (ratio.low, ratio.high)]
    ends = [min(max(end, 1 / _LIMIT), _LIMIT) for end in ends if 0 < end < math.inf]
    room = 1 + 1.4 * result.margin
    low, high = min([1 / room, *ends]) / 1.05, max([room, *ends]) * 1.05
    axis = Axis(low, high, _ticks(low, high), log=True)
    words = "; ".join(f"{each.metric} {change(ratio.estimate)}, {interval(ratio)}" for each, ratio in metrics)
    return Chart(
        "forest",
        "How much the new side differs",
        f"Each dot is new ÷ base, each line its {100 * result.confidence:.4g}% interval. Shaded: within "
        f"{result.margin:.0%}, the same. To the right: the new figures are larger, so slower. Grey: mostly the refetch "
        "interval, so it does not decide.",
        tuple(_forest(result, metrics, axis, words, width) for width in (WIDE, NARROW)),
        ("metric", "change", "from … to", ""),
        tuple((each.metric, change(ratio.estimate), interval(ratio), said(each)) for each, ratio in metrics),
    )


def _ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    inside = [tick for tick in _TICKS if low <= tick <= high]
    return tuple((tick, "same" if tick == 1 else change(tick)) for tick in inside)


def _forest(
    result: CompareResult, metrics: Sequence[tuple[ComparedMetric, ComparedRatio]], axis: Axis, words: str, width: float
) -> Markup:
    narrow = width < WIDE
    left, right = (10.0, width - 10) if narrow else (150.0, width - 170)
    row = _ROW + (18 if narrow else 0)
    bottom = 12 + row * len(metrics)

    def x(value: float) -> float:
        return left + axis.at(value) * (right - left)

    low, high = x(1 / (1 + result.margin)), x(1 + result.margin)
    parts = [element("rect", x=low, y=6.0, width=high - low, height=bottom - 6, class_="band margin")]
    taken = -math.inf
    for value, label in axis.ticks:
        at, half = x(value), 3.8 * len(label)
        parts.append(element("path", d=f"M{at:.1f} 6V{bottom:.1f}", class_="rule" if value == 1 else "grid"))
        if at - half > taken and at + half <= width:
            taken = at + half + 8
            parts.append(text_at(at, bottom + 18, label, "tick", anchor="middle"))
    for number, (metric, ratio) in enumerate(metrics):
        at = 12 + row * (number + 0.5) + (9 if narrow else 0)
        style = OUTCOMES[metric.outcome] if metric.decides else "hides"
        begin, end, dot = x(from_number(ratio.low)), x(from_number(ratio.high)), x(from_number(ratio.estimate))
        tip = element("title", f"{metric.metric}: {change(ratio.estimate)} ({interval(ratio)}): {said(metric)}")
        parts.append(
            element("path", tip, d=f"M{begin:.1f} {at:.1f}H{max(end, begin + 1):.1f}", class_=f"whisker {style}")
        )
        if from_number(ratio.estimate) > axis.high:
            parts.append(element("path", d=f"M{dot - 10:.1f} {at - 6:.1f}l11 6l-11 6z", class_=f"estimate {style}"))
        else:
            parts.append(element("circle", cx=dot, cy=at, r=5.5, class_=f"estimate {style}"))
        told = change(ratio.estimate)
        if narrow:
            parts.append(text_at(left, at - 13, f"{metric.metric} {told}", "label"))
        else:
            parts.append(text_at(left - 14, at + 4, metric.metric, "label", anchor="end"))
            parts.append(
                text_at(right + 14, at + 4, f"{told}: {metric.outcome if metric.decides else 'hides'}", f"said {style}")
            )
    return element(
        "svg", parts, class_="narrow" if narrow else "wide", viewBox=f"0 0 {width:g} {bottom + 26:g}", role="img",
        aria_label=f"Change of each metric. {words}.",
    )  # fmt: skip


def slopes(metric: ComparedMetric) -> Chart | None:
    """One metric's pairs: a line from each base run to the new run of its pair."""
    pairs = [
        (number, base, new)
        for number, (base, new) in enumerate(zip(metric.base, metric.new, strict=True), 1)
        if base is not None and new is not None
    ]
    if not pairs or not metric.is_latency:
        return None
    rising = sum(from_number(new) > from_number(base) for _, base, new in pairs)
    values = [value for _, *both in pairs for value in map(from_number, both)]
    known = [value for value in values if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = (high - low or high or 1.0) * 0.15
    plot = Plot(
        f"pairs-{metric.metric.replace('.', '-')}",
        f"{metric.metric} of each pair: larger on the new side in {rising} of {len(pairs)} pairs.",
        Axis(-0.08, 1.08, ((0.0, "base"), (1.0, "new"))),
        _rounded(max(0.0, low - room), high + room),
        "",
        metric.metric,
        [
            Line(
                str(number),
                [(0.0, from_number(base)), (1.0, from_number(new))],
                "c3" if from_number(new) > from_number(base) else "c1",
            )
            for number, base, new in pairs
        ],
        rail="never" if len(known) < len(values) else "",
        height=170.0,
    )
    return Chart(
        plot.key,
        f"{metric.metric}, pair by pair",
        f"A line from each base run to the new run of its pair, which ran next to it. Orange rises ({rising} of "
        f"{len(pairs)}), blue does not. The more they go the same way, the narrower the interval.",
        drawn(plot),
        ("pair", "base", "new"),
        tuple((str(number), figure(metric, base), figure(metric, new)) for number, base, new in pairs),
    )


def _rounded(low: float, high: float) -> Axis:
    """An axis whose ticks are round, although it does not begin at 0."""
    ticks = linear(0.0, high - low, str, 4).ticks
    step = ticks[1][0] - ticks[0][0] if len(ticks) > 1 else high - low
    first = math.ceil(low / step - 1e-9)
    values = [step * number for number in range(first, math.floor(high / step + 1e-9) + 1)]
    return Axis(low, high, tuple((value, duration_tick(float(f"{value:.6g}"))) for value in values))


def both_curves(curves: SideCurves) -> Chart:
    """The percentile curves of both sides, over those of their single runs."""
    lines = [Line("", _points(run), "single base") for run in curves.runs[0]]
    lines += [Line("", _points(run), "single new") for run in curves.runs[1]]
    lines += [Line("base", _points(curves.base), "c1"), Line("new", _points(curves.new), "c3")]
    values = [value for line in lines for _, value in line.points if value is not None]
    known = [value for value in values if math.isfinite(value)]
    ends = [f"{name} {human(of[20])} at 99 %" for name, of in (("base", curves.base), ("new", curves.new))]
    plot = Plot(
        f"curves-{curves.latency}",
        f"{curves.latency} by percentile: {', '.join(ends)}.",
        axis_of_nines(_NINES[-1]),
        durations(known),
        "percentile, one step per nine",
        "latency, log scale",
        lines,
        rail="never" if len(known) < len(values) else "",
    )
    rows = tuple(
        (f"{share:.5g}", human(base), human(new))
        for share, base, new in zip(SHARES, curves.base, curves.new, strict=True)
    )
    return Chart(
        plot.key,
        f"{curves.latency} by percentile",
        f"Thick: the median of each side's runs ({many(len(curves.runs[0]), 'base run')}, "
        f"{many(len(curves.runs[1]), 'new run')}); thin: the single runs. Where the thin lines of both sides mix, the "
        "runs differ as much as the sides.",
        drawn(plot),
        ("share", "base", "new"),
        rows,
    )


def _points(curve: Sequence[float]) -> list[tuple[float, float | None]]:
    return list(zip(_NINES, curve, strict=True))
