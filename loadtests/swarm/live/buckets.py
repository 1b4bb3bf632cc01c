"""Latency histograms, as plain numbers that can be sent between processes and added up."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LATENCY: tuple[float, ...] = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 5.0, 10.0)
"""Inclusive upper edges in seconds. Fine between 1 and 2 s, where a chat keeps or breaks its promise."""
LAG: tuple[float, ...] = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""The edges for how late an event loop wakes up."""


class DeliveryCounts(NamedTuple):
    """One message's deliveries in one process, counted per bucket; the last bucket is above all edges."""

    widget: int
    n: int
    counts: list[int]
    seconds: float  # sum of the latencies
    most: float  # the longest latency
    late: int  # deliveries above the update target


@dataclass(slots=True)
class LatencyHistogram:
    """The number of samples in each bucket, and the sum of all samples in seconds."""

    edges: tuple[float, ...]
    counts: list[int]
    seconds: float = 0.0

    @classmethod
    def empty(cls, edges: tuple[float, ...]) -> "LatencyHistogram":
        return cls(edges, [0] * (len(edges) + 1))

    def observe(self, seconds: float) -> None:
        """Adds one sample."""
        self.counts[bisect_left(self.edges, seconds)] += 1
        self.seconds += seconds

    def take(self, samples: Floats) -> None:
        """Adds many samples."""
        self.add(counted(self.edges, samples).tolist(), float(samples.sum()))

    def add(self, counts: Sequence[int], seconds: float) -> None:
        """Adds the counts of another histogram with the same edges."""
        self.counts = [mine + more for mine, more in zip(self.counts, counts, strict=True)]
        self.seconds += seconds

    @property
    def count(self) -> int:
        return sum(self.counts)

    def cumulative(self) -> list[tuple[str, int]]:
        """Prometheus' form: each edge as text, with the number of samples up to it."""
        bounds = [*map(str, self.edges), "+Inf"]
        return list(zip(bounds, np.cumsum(self.counts).tolist(), strict=True))


def counted(edges: tuple[float, ...], samples: Floats) -> Ints:
    """The number of samples in each bucket. A sample on an edge belongs to the bucket below it."""
    return np.bincount(np.searchsorted(edges, samples), minlength=len(edges) + 1).astype(np.int64)


def rows_of(keys: Sequence[tuple[int, int]], message: Ints, latency: Floats, target: float) -> list[DeliveryCounts]:
    """Groups deliveries by message: `message` has each delivery's index in `keys`."""
    if not len(message):
        return []
    width, lowest = len(LATENCY) + 1, int(message.min())
    which = message - lowest  # messages shown in one interval have close numbers
    rows = int(which.max()) + 1
    counts = np.bincount(which * width + np.searchsorted(LATENCY, latency), minlength=rows * width).reshape(rows, width)
    seconds = np.bincount(which, latency)
    late = np.bincount(which, latency > target)
    most = np.full(rows, -np.inf)
    np.maximum.at(most, which, latency)
    found = np.flatnonzero(counts.any(axis=1))
    columns = (counts[found].tolist(), seconds[found].tolist(), most[found].tolist(), late[found].astype(int).tolist())
    return [DeliveryCounts(*keys[lowest + row], *values) for row, *values in zip(found.tolist(), *columns, strict=True)]
