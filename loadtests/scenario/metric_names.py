"""The metrics that an SLO may name: `visible.p99`, `lost`, `expected`, … The verdict has a figure for each."""

from typing import Literal

Outcome = Literal["pass", "fail", "undecided"]

Quantile = Literal["p50", "p95", "p99", "p999", "max"]
QUANTILES: dict[Quantile, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1.0}
SAMPLES = "count"
"""The number of samples of a latency."""

LATENCIES = (
    "visible", "notified", "accepted", "refetch", "first_dashboard", "median_dashboard", "last_dashboard", "connect",
    "recovery",
)  # fmt: skip
MESSAGES = ("intended", "sent", "accepted", "rejected", "unknown", "rig_failed")
DELIVERIES = (
    "expected", "visible", "lost", "excused", "unproven", "notified", "unnotified", "late", "seen_as_text", "gap",
)  # fmt: skip
COUNTS = (
    "store_lost", "duplicated", "reordered", "phantom", "vanished", "corrupted", "misplaced", "silent_socket",
    "refused", "absent", "recovered", "leaked",
)  # fmt: skip
USERS = ("dashboards", "widgets")

METRICS: tuple[str, ...] = (
    *(f"{latency}.{key}" for latency in LATENCIES for key in (*QUANTILES, SAMPLES)),
    *MESSAGES,
    *DELIVERIES,
    *COUNTS,
    *USERS,
)
"""All metrics, except the two families below."""
CLOSED = "closed"
"""Lost connections of dashboards; `closed.1012` counts those with that close code."""
EVIDENCE = "evidence"
"""`evidence.<key> during <fault>`: a number in that fault's evidence, summed over all faults of that name."""
