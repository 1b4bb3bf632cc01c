"""What one process of the swarm observed since its last report, ready to be sent and added up."""

from dataclasses import dataclass, field
from typing import NamedTuple

from chatswarm.loadtests.history.tables import SendOutcome

from .buckets import LAG, LATENCY, DeliveryCounts, LatencyHistogram

RIG_FAILED = len(SendOutcome)
"""Stands in for a SendOutcome if a send failed on a limit of the rig, which says nothing about the target."""


class Send(NamedTuple):
    """A message whose outcome is known."""

    widget: int
    n: int
    outcome: int  # a SendOutcome, or RIG_FAILED
    done: float  # seconds after T0
    message_id: int  # the target's id for it; -1: none


class Spread(NamedTuple):
    """The numbers of a histogram: samples in each bucket, and their sum in seconds."""

    counts: list[int]
    seconds: float


@dataclass(slots=True)
class Increment:
    """Everything since the last report, and the current CPU usage."""

    sends: list[Send] = field(default_factory=list)
    visible: list[DeliveryCounts] = field(default_factory=list)
    notified: list[DeliveryCounts] = field(default_factory=list)
    refetch: Spread = field(default_factory=lambda: empty(LATENCY))
    connect: Spread = field(default_factory=lambda: empty(LATENCY))
    lag: Spread = field(default_factory=lambda: empty(LAG))
    lost: dict[str, int] = field(default_factory=dict)  # close code → connections
    late_sends: int = 0
    cpu: float | None = None  # cores


def empty(edges: tuple[float, ...]) -> Spread:
    """The numbers of a histogram without samples."""
    return Spread([0] * (len(edges) + 1), 0.0)


def spread(histogram: LatencyHistogram) -> Spread:
    """The numbers of a histogram."""
    return Spread(list(histogram.counts), histogram.seconds)
