"""The section on growth in docs/benchmarks.md: the picture, the laws in numbers, and what they predicted."""

from collections.abc import Sequence

from chatswarm.loadtests.system.units import human
from tests.bench.page_of_rows import between_marks, number_text

from .law import SECOND
from .picture import Laws
from .step import GrowthStep

_START, _END = "<!-- growth: written by make bench ROW=growth -->\n", "<!-- end of growth -->"


def with_growth(page: str, unseen: Sequence[GrowthStep], laws: Laws) -> str:
    """The page with this section between its two marks. Raises ValueError if it has no such marks."""
    names = list(dict.fromkeys(name for law in laws.values() for name in law.costs if name != SECOND))
    lines = ["", "![CPU and visible p99 as dashboards and the rate grow](benchmarks/growth.svg)", ""]
    lines += [
        f"| CPU | per second | {' | '.join(f'per {name}' for name in names)} |",
        f"|---|---|{'---|' * len(names)}",
    ]
    for (mode, side), law in laws.items():
        costs = [f"{number_text(law.costs[name] * 1e6)} µs" if name in law.costs else "–" for name in names]
        lines.append(f"| {side}, {mode} | {number_text(law.costs[SECOND] * 1e3)} ms | {' | '.join(costs)} |")
    lines += ["", "Frames that come together are one read: the more messages there are, the fewer reads each needs."]
    lines += ["", "What the laws predicted for a load that they were not fitted to:", ""]
    lines += ["| load | CPU | predicted | measured |", "|---|---|---|---|"]
    for step in unseen:
        for side, cpu in step.cpu.items():
            load = f"{step.mode}, {step.dashboards:,} dashboards × {step.rate}/s"
            told = laws[step.mode, side].predict(step.counts)
            lines.append(f"| {load} | {side} | {human(told)} | {human(cpu)} |")
    return between_marks(page, _START, _END, [*lines, ""])
