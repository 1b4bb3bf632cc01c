"""A histogram for hot paths, where prometheus_client's own would cost more than what it measures."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


class FastHistogram(Collector):
    """Counts values per bucket, many equal ones in one step. Belongs to one thread: it has no lock.

    `edges` are ascending, in the unit at the end of the name; the bucket +Inf is added.
    """

    def __init__(self, name: str, help_: str, edges: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._help = help_
        self._edges = tuple(edges)
        self._labels = [*(repr(float(edge)) for edge in edges), "+Inf"]
        self._counts = [0] * (len(self._edges) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float, times: int = 1) -> None:
        """Record `times` equal values."""
        self._counts[bisect_left(self._edges, value)] += times
        self._sum += value * times

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The current state, for prometheus_client."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for label, count in zip(self._labels, self._counts, strict=True):
            total += count
            buckets.append((label, total))
        yield HistogramMetricFamily(self._name, self._help, buckets=buckets, sum_value=self._sum)
