"""The picture of the curves: above, the visible p99 by load, and below, what the chat used; as one SVG file."""

import math
from collections.abc import Callable, Mapping, Sequence

from chatswarm.loadtests.capacity.record import CapacityBy, CapacityReport
from chatswarm.loadtests.report.capacity_words import ProbedLoad, finite, loads_of
from chatswarm.loadtests.report.plot import Axis, Line, Plot, Rule, duration_tick, linear, logarithmic
from chatswarm.loadtests.system.units import human
from tests.bench.grid import grid

from .search import CHATS, CurveChat

_COLOURS = """
.rule { stroke: #57606a; stroke-dasharray: 4 4; } .one { stroke: #0969da; } .two { stroke: #7b3fc4; }
.tutorial { stroke: #c2410c; } text.one { fill: #0969da; } text.two { fill: #7b3fc4; } text.tutorial { fill: #c2410c; }
circle.one { fill: #0969da; } circle.two { fill: #7b3fc4; } circle.tutorial { fill: #c2410c; }
"""
_STYLES: dict[CurveChat, str] = {"one worker": "one", "two workers": "two", "tutorial": "tutorial"}
Searches = Mapping[tuple[CurveChat, CapacityBy], CapacityReport]


def picture(searches: Searches) -> str:
    """Two columns, one for each load that rises."""
    columns = []
    for by in dict.fromkeys(by for _, by in searches):
        found = {chat: loads_of(searches[chat, by]) for chat in CHATS if (chat, by) in searches}
        report = next(searches[chat, by] for chat in found)
        levels = [each.level for loads in found.values() for each in loads]
        x = logarithmic(min(levels), max(levels), lambda value: f"{value:,.0f}")
        label = f"{report.asked.unit}, log scale"
        columns.append((_latency(found, x, label, report.asked.update_target), _cpu(found, x, label)))
    return grid(columns, _COLOURS)


def _latency(found: Mapping[CurveChat, Sequence[ProbedLoad]], x: Axis, x_label: str, target: float) -> Plot:
    known = finite(each.p99 for loads in found.values() for each in loads)
    y = logarithmic(min([*known, target]), max([*known, target]), duration_tick)
    lines = _lines(found, lambda each: each.p99)
    lost = any(each.p99 == math.inf for loads in found.values() for each in loads)
    rules = [Rule(target, f"target {human(target)}")]
    told = f"visible p99 over {x_label}"
    return Plot(
        "p99", told, x, y, x_label, "visible p99, log scale", lines, rules=rules, rail="lost" if lost else ""
    )  # fmt: skip


def _cpu(found: Mapping[CurveChat, Sequence[ProbedLoad]], x: Axis, x_label: str) -> Plot:
    lines = _lines(found, lambda each: each.target_cpu)
    high = max(finite(y for line in lines for _, y in line.points), default=1.0)
    y = linear(0.0, high * 1.05, lambda value: f"{value:.2g}")
    return Plot("cpu", f"CPU of the chat over {x_label}", x, y, x_label, "CPU of the chat, in cores", lines)


def _lines(found: Mapping[CurveChat, Sequence[ProbedLoad]], figure: Callable[[ProbedLoad], float | None]) -> list[Line]:
    """A line for each chat, with a dot at each load."""
    return [
        Line(chat, [(each.level, figure(each)) for each in loads], _STYLES[chat], dots=True)
        for chat, loads in found.items()
    ]
