"""Which metrics a comparison may be about, and which ones it is about unless asked for otherwise."""

import difflib
from collections.abc import Iterable

from chatswarm.loadtests.scenario.metric_names import CLOSED, COUNTS, LATENCIES, METRICS, QUANTILES

QUANTITIES = ("accepted", "visible", "notified")
"""Counts of which more is better."""
MISHAPS = ("lost", "gap", "late", "unnotified", "rejected", "unknown", CLOSED, *(c for c in COUNTS if c != "recovered"))
"""What should never happen: compared by the number of runs that have it."""
COMPARABLE = (*(f"{latency}.{key}" for latency in LATENCIES for key in QUANTILES), *MISHAPS, *QUANTITIES)
"""All metrics that say which side is better."""
STAGES = ("notified.p50", "refetch.p50")
"""The stages of an update latency that are the chat's alone. The median varies least from run to run."""
DEFAULT = ("visible.p99", "lost")
"""What is compared unless asked for otherwise; where visible.p99 hides the chat, STAGES as well."""


class UnknownMetricError(ValueError):
    """A metric that cannot be compared. The text names the nearest one."""


def metrics_of(names: Iterable[str]) -> tuple[str, ...]:
    """The metrics in these texts, each of which may name several, with commas. Raises UnknownMetricError."""
    found = [name.strip() for text in names for name in text.split(",")]
    for name in found:
        if name in COMPARABLE:
            continue
        if name in METRICS:
            raise UnknownMetricError(f"expected a metric of which less or more is better, got {name}")
        near = difflib.get_close_matches(name, COMPARABLE, 1, 0.5)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UnknownMetricError(f"expected a metric such as visible.p99, notified.p50 or lost, got {name!r}{hint}")
    return tuple(dict.fromkeys(found))


def latency_of(metric: str) -> str | None:
    """The latency that a metric is a quantile of; None for a count."""
    return metric.partition(".")[0] if "." in metric else None
