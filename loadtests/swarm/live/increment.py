"""What a process of the swarm saw since its last report, ready for the wire. To be summed, and to be watched."""

from dataclasses import dataclass, field
from typing import NamedTuple

from chatswarm.loadtests.history.tables import SendOutcome

from .buckets import LAG, LATENCY, DeliveryCounts, LatencyHistogram

RIG_FAILED = len(SendOutcome)
"""In place of a SendOutcome: a limit of the rig's own, which says nothing of the target."""


class Send(NamedTuple):
    """A message whose outcome is known."""

    widget: int
    n: int
    outcome: int  # a SendOutcome, or RIG_FAILED
    done: float  # seconds after T0
    message_id: int  # that the target gave it; -1: none


class Spread(NamedTuple):
    """A histogram's numbers: how many samples in each bucket, and their sum in seconds."""

    counts: list[int]
    seconds: float


@dataclass(slots=True)
class Increment:
    """Everything since the last one; the CPU as it is now."""

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
    """No samples."""
    return Spread([0] * (len(edges) + 1), 0.0)


def spread(histogram: LatencyHistogram) -> Spread:
    """Its numbers."""
    return Spread(list(histogram.counts), histogram.seconds)
