"""The picture of growth: CPU and latency over dashboards, and over the rate, as one SVG file."""

from collections.abc import Callable, Mapping, Sequence

from chatswarm.loadtests.report.plot import Axis, Line, Plot, Point, linear, logarithmic
from chatswarm.loadtests.system.units import human
from tests.bench.grid import grid

from .law import SECOND, GrowthLaw
from .step import MODES, SIDES, GrowthStep, Mode, Side

_COLOURS = """
.law { stroke-dasharray: 3 4; } .refetch-rig { stroke: #0969da; } .refetch-chat { stroke: #7b3fc4; }
.push-rig { stroke: #c2410c; } .push-chat { stroke: #0f766e; } text.refetch-rig { fill: #0969da; }
text.refetch-chat { fill: #7b3fc4; } text.push-rig { fill: #c2410c; } text.push-chat { fill: #0f766e; }
"""
Laws = Mapping[tuple[Mode, Side], GrowthLaw]


def picture(over_dashboards: Sequence[GrowthStep], over_rate: Sequence[GrowthStep], laws: Laws) -> str:
    """Four plots: above, CPU with the law as a dashed line; below, the visible p99."""
    columns: tuple[tuple[Sequence[GrowthStep], str, Callable[[GrowthStep], int]], ...] = (
        (over_dashboards, f"dashboards, at {over_dashboards[0].rate} messages/s", lambda step: step.dashboards),
        (over_rate, f"messages/s, with {over_rate[0].dashboards} dashboards", lambda step: step.rate),
    )
    placed = []
    for steps, x_label, x_of in columns:
        x = logarithmic(min(map(x_of, steps)), max(map(x_of, steps)), lambda value: f"{value:,.0f}")
        placed.append((_cpu(steps, x, x_label, x_of, laws), _latency(steps, x, x_label, x_of)))
    return grid(placed, _COLOURS)


def _cpu(
    steps: Sequence[GrowthStep], x: Axis, x_label: str, x_of: Callable[[GrowthStep], int], laws: Laws
) -> Plot:  # fmt: skip
    lines: list[Line] = []
    for mode in MODES:
        mine = [step for step in steps if step.mode == mode]
        for side in SIDES:
            law, style = laws[mode, side], f"{mode}-{side}"
            lines.append(Line(f"{mode}, {side}", [(x_of(step), step.cores(side)) for step in mine], style))
            told = [(x_of(step), law.predict(step.counts) / step.counts[SECOND]) for step in mine]
            lines.append(Line("", told, f"{style} law"))
    high = max(y for line in lines for _, y in line.points if y is not None)
    y = linear(0.0, high * 1.05, lambda value: f"{value:.2g}")
    return Plot("cpu", f"CPU over {x_label}", x, y, x_label, "CPU in cores; dashed: the law", lines)


def _latency(
    steps: Sequence[GrowthStep], x: Axis, x_label: str, x_of: Callable[[GrowthStep], int]
) -> Plot:  # fmt: skip
    points: dict[Mode, list[Point]] = {
        mode: [(x_of(step), step.visible_p99) for step in steps if step.mode == mode] for mode in MODES
    }
    known = [y for line in points.values() for _, y in line if y is not None]
    y = logarithmic(min(known), max(known), human)
    lines = [Line(mode, points[mode], f"{mode}-rig") for mode in MODES]
    return Plot("p99", f"visible p99 over {x_label}", x, y, x_label, "visible p99, log scale", lines)
