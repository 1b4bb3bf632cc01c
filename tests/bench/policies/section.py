"""The tables in docs/refetch.md: what each policy costs at each load, with intervals, and how busy the machine was."""

from collections.abc import Callable, Sequence
from statistics import median

from chatswarm.loadtests.compare.paired import Ratio, paired_ratio
from chatswarm.loadtests.system.units import human
from tests.bench.page_of_rows import between_marks, number_text

from .run import LOADS, POLICIES, Policy, PolicyRun

_START, _END = "<!-- refetch: written by make bench ROW=refetch -->\n", "<!-- end of refetch -->"
_BASE: Policy = "300ms"
"""What the others are compared with."""
Cost = Callable[[PolicyRun], float]
COSTS: dict[str, tuple[Cost, Callable[[float], str]]] = {
    "GETs": (lambda run: run.gets / run.shares, number_text),
    "bytes": (lambda run: run.loopback / run.shares, lambda value: f"{value:,.0f}"),
    "CPU of the chat": (lambda run: run.cpu / run.shares, lambda value: f"{value * 1e6:.3g} µs"),
    "visible p99": (lambda run: float("inf") if run.visible_p99 is None else run.visible_p99, human),
}
"""Each cost of a run, per message and dashboard but for the latency, and how it is written."""


def with_policies(page: str, machine: str, runs: Sequence[PolicyRun]) -> str:
    """The page with the tables between its two marks. Raises ValueError if it has no such marks."""
    lines: list[str] = []
    for dashboards, rate in LOADS:
        these = [run for run in runs if (run.dashboards, run.rate) == (dashboards, rate)]
        lines += ["", f"**{dashboards} dashboards, {rate:g} messages/s**", ""]
        lines += [f"| | {' | '.join(COSTS)} |", f"|---|{'---|' * len(COSTS)}"]
        for policy in POLICIES:
            mine = [run for run in these if run.policy == policy]
            cells = [figure(mine, *cost) for cost in COSTS.values()]
            lines.append(f"| {_name(policy)} | {' | '.join(cells)} |")
        lines += ["", f"Compared with `{_BASE}`, round by round:", ""]
        lines += [f"| | {' | '.join(COSTS)} |", f"|---|{'---|' * len(COSTS)}"]
        base = [run for run in these if run.policy == _BASE]
        for policy in POLICIES:
            if policy != _BASE:
                mine = [run for run in these if run.policy == policy]
                ratios = [times(mine, base, cost) for cost, _ in COSTS.values()]
                lines.append(f"| {_name(policy)} | {' | '.join(ratios)} |")
    return between_marks(page, _START, _END, [*lines, "", told(machine, runs), ""])


def _name(policy: Policy) -> str:
    """All but push are what a scenario's `refetch` may be."""
    return policy if policy == "push" else f"`{policy}`"


def figure(runs: Sequence[PolicyRun], cost: Cost, written: Callable[[float], str]) -> str:
    """A cost over all runs, with its 95 % interval."""
    figures = [cost(run) for run in runs]
    if not any(figures):
        return "0"
    found = paired_ratio(figures, [1.0] * len(figures))
    return f"{written(found.estimate)} ({written(found.low)} to {written(found.high)})"


def times(runs: Sequence[PolicyRun], base: Sequence[PolicyRun], cost: Cost) -> str:
    """How many times that of the base a cost is, from pairs of the same round."""
    figures = [cost(run) for run in runs]
    if not any(figures):
        return "0"
    found: Ratio = paired_ratio(figures, [cost(run) for run in base])
    return f"× {number_text(found.estimate)} ({number_text(found.low)} to {number_text(found.high)})"


def told(machine: str, runs: Sequence[PolicyRun]) -> str:
    """On what it was measured, how busy that was, and what went wrong."""
    others = [run.others for run in runs]
    problems = sorted({problem for run in runs for problem in run.problems})
    troubled = sum(bool(run.problems) for run in runs)
    wrong = "No run lost a message or was late with one, and the rig was sound in all."
    if troubled:
        wrong = f"{troubled} of {len(runs)} runs had a problem: {', '.join(problems)}."
    of_each = len(runs) // (len(LOADS) * len(POLICIES))
    return (
        f"{len(runs)} runs, {of_each} of each, in turn; intervals are those of 95 % over runs. Measured on: {machine}. "
        f"Other programs used {median(others):.2f} cores meanwhile (median; at most {max(others):.2f}). {wrong}"
    )
