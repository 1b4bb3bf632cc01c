"""Puts a comparison into words, the same in the terminal and in every report."""

from statistics import median

from chatswarm.loadtests.compare.result import ComparedMetric, ComparedRatio, CompareNumber, CompareResult
from chatswarm.loadtests.compare.verdicts import Difference
from chatswarm.loadtests.scenario.metric_names import Outcome
from chatswarm.loadtests.system.units import human

from .wording import many, number

OUTCOMES: dict[Difference, Outcome] = {
    "better": "pass", "same": "pass", "worse": "fail", "cannot tell": "undecided",
}  # fmt: skip
"""The outcome of a run that has the same mark and colour."""
_MOST_SHOWN = 2.995
"""From this ratio on, a factor says more than a percentage."""


_ROUNDED = 9.95
"""From this ratio on, a factor is a whole number."""
_ONE_DECIMAL = 0.0995
"""Below this share, a percentage has a decimal."""


def figure(metric: ComparedMetric, value: CompareNumber | None) -> str:
    """One run's figure: `12 ms`, `3`, `lost`; `–` if it does not count."""
    if isinstance(value, str):
        return "lost"
    return human(value) if metric.is_latency else number(value)


def title(metric: ComparedMetric) -> str:
    """The metric's name, with what its figures count if that is runs."""
    return metric.metric if metric.runs_with is None else f"{metric.metric}, runs"


def typical(metric: ComparedMetric, values: list[CompareNumber | None]) -> str:
    """A side's figure: the median of the runs that count, or of a count how many runs have it."""
    known = [float("inf") if isinstance(value, str) else value for value in values if value is not None]
    if not known:
        return "–"
    if metric.runs_with is not None:
        return f"{sum(value > 0 for value in known)} of {len(known)}"
    middle = median(known)
    return figure(metric, "infinite" if middle == float("inf") else middle)


def change(ratio: CompareNumber) -> str:
    """A ratio as people say it: `+20%`, `−3.1%`, `× 3.5`, `∞`."""
    if isinstance(ratio, str):
        return "∞"
    if ratio >= _MOST_SHOWN:
        return f"× {ratio:,.0f}" if ratio >= _ROUNDED else f"× {ratio:.1f}"
    share = ratio - 1
    shown = f"{share:+.1%}" if abs(share) < _ONE_DECIMAL else f"{share:+.0%}"
    return "0.0%" if shown in ("+0.0%", "-0.0%") else shown.replace("-", "−")


def interval(ratio: ComparedRatio) -> str:
    """Its interval, in one text."""
    return f"{change(ratio.low)} … {change(ratio.high)}"


def brief(metric: ComparedMetric) -> str:
    """The same as `said`, for a narrow column."""
    return metric.outcome if metric.decides else "hides"


def said(metric: ComparedMetric) -> str:
    """What can be said about a metric, and if nothing can, why."""
    if metric.outcome != "cannot tell":
        return metric.outcome
    if metric.floor_share is not None and not metric.decides:
        return f"{metric.floor_share:.0%} of it is the refetch interval: its stages decide"
    return f"cannot tell: {metric.doubt}{_more(metric.more_pairs)}"


def _more(pairs: int | None) -> str:
    return "" if pairs is None else f", needs about {many(pairs, 'more pair')}"


def headline(result: CompareResult) -> str:
    """The outcome in a sentence."""
    deciding = [metric for metric in result.metrics if metric.decides]
    names = {
        outcome: ", ".join(metric.metric for metric in deciding if metric.outcome == outcome) for outcome in OUTCOMES
    }
    if result.outcome == "worse":
        return f"The new side is worse: {_sizes(deciding, 'worse')}."
    if result.outcome == "better":
        return f"The new side is better: {_sizes(deciding, 'better')}" + (
            f"; the same: {names['same']}." if names["same"] else "."
        )
    if result.outcome == "same":
        return f"The new side is the same, within {result.margin:.0%}: {names['same']}."
    if result.reasons:
        return f"Nothing is decided, because {result.reasons[0]}."
    needs = f" About {many(result.more_pairs, 'more pair')} would tell." if result.more_pairs is not None else ""
    return f"These runs cannot tell: {names['cannot tell']}.{needs}"


def _sizes(metrics: list[ComparedMetric], outcome: Difference) -> str:
    parts = []
    for metric in metrics:
        if metric.outcome != outcome:
            continue
        if metric.ratio is not None and metric.ratio.estimate == "infinite":
            parts.append(f"{metric.metric} {typical(metric, metric.base)} → {typical(metric, metric.new)}")
        elif metric.ratio is not None:
            parts.append(f"{metric.metric} {change(metric.ratio.estimate)}")
        else:
            parts.append(
                f"{metric.metric} in {typical(metric, metric.new)} runs, before in {typical(metric, metric.base)}"
            )
    return ", ".join(parts)


def method(result: CompareResult) -> str:
    """What the result rests on."""
    return (
        f"{many(len(result.base.runs), 'pair')} of runs, {100 * result.confidence:.4g}% intervals; the same: within "
        f"{result.margin:.0%}; worse or better: by {result.least_effect:.0%} at least"
    )


def left_out(result: CompareResult) -> list[str]:
    """The runs that do not count, and why."""
    return [
        f"{side} run {run.folder} does not count: {run.reasons[0] if run.reasons else 'it is undecided'}"
        for side, runs in (("base", result.base.runs), ("new", result.new.runs))
        for run in runs
        if run.verdict == "undecided"
    ]
