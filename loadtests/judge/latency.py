"""Exact latencies of a run. A lost delivery counts as infinite, so the percentiles have no survivorship bias.

Latencies that could not be measured (a history was cut, or frames are indistinguishable) are counted as open. They
give every quantile a lower and an upper bound, and an SLO is only decided where both bounds agree.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from chatswarm.loadtests.history.tables import ConnectionEvent
from chatswarm.loadtests.scenario.metric_names import LATENCIES, QUANTILES

from .ledger.arrays import Bools, Floats, Ints, blocks
from .ledger.deliveries import PlannedDeliveries
from .ledger.ledger import Ledger
from .rig import Delays
from .verdict import Latency, Quantiles, Recovery
from .windows import Window

Side = Literal["low", "high"]


@dataclass(frozen=True, slots=True)
class Sample:
    """The latencies of one kind in seconds, ascending, infinite for never, and how many more are open."""

    values: Floats
    open: int = 0
    at_least: tuple[float, ...] = ()  # lower bounds of the open ones, if known

    @property
    def count(self) -> int:
        return len(self.values) + self.open

    def quantile(self, share: float, side: Side) -> float | None:
        """The nearest rank, with the open latencies at their best (low) or their worst (high)."""
        if not self.count:
            return None
        rank = max(1, math.ceil(share * self.count - 1e-9)) - 1
        if side == "low" and self.at_least:
            return float(np.sort(np.append(self.values, self.at_least))[rank])
        if side == "low":
            rank -= self.open
            return float(self.values[rank]) if rank >= 0 else 0.0
        return float(self.values[rank]) if rank < len(self.values) else math.inf

    def quantiles(self) -> Quantiles:
        """For the verdict: over what was measured."""
        known = Sample(self.values)
        found = {key: known.quantile(share, "high") for key, share in QUANTILES.items()}
        finite = {key: value if value is not None and math.isfinite(value) else None for key, value in found.items()}
        return Quantiles(**finite, count=len(self.values))


@dataclass(frozen=True, slots=True)
class LatencySeries:
    """The latencies of one kind, and when each started and ended: infinite for never, NaN for not measured."""

    values: Floats  # of this series alone: sampling sorts them in place
    starts: Floats
    ends: Floats
    counted: Bools | None = None  # None: all of them
    deliveries: PlannedDeliveries | None = None  # whose messages `starts` are of; None: each latency has a start

    def sample(self, window: Window | None, target: float) -> Sample:
        """All of them, or those in the window. One that never ended is dated by its deadline, `target` seconds on."""
        chosen = self.counted
        if window is not None:
            starts = self.starts if self.deliveries is None else self.deliveries.over(self.starts)
            inside = window.holds(starts, np.where(np.isfinite(self.ends), self.ends, starts + target))
            chosen = inside if chosen is None else chosen & inside
        return sample_of(self.values if chosen is None or chosen.all() else self.values[chosen])


def sample_of(values: Floats) -> Sample:
    """A sample from latencies in any order, which are sorted in place. NaN means open."""
    values.sort()  # NaN last
    measured = int(np.searchsorted(values, np.nan))
    return Sample(values[:measured], len(values) - measured)


def fan_out(
    latency_of: Callable[[Ints], Floats], counted: Bools, deliveries: PlannedDeliveries
) -> tuple[Floats, Floats, Floats]:
    """Per message: its latency on the first, the median and the last of its dashboards.

    The median is the nearest rank: the second of four. NaN if a dashboard was not measured, or if the message counts on
    no dashboard. `latency_of` gives the latencies of all deliveries of some messages, in a new array.
    """
    first, middle, last = (np.full(deliveries.messages, np.nan) for _ in range(3))
    for width in np.unique(deliveries.counts[deliveries.counts > 0]).tolist():
        rows = np.flatnonzero(deliveries.counts == width)
        for part in blocks(len(rows), width):
            some = rows[part]
            latency, counts = latency_of(some), counted.take(deliveries.of(some))
            first[some], middle[some], last[some] = _fan_out(latency.reshape(-1, width), counts.reshape(-1, width))
    return first, middle, last


def _fan_out(latency: Floats, counted: Bools) -> tuple[Floats, Floats, Floats]:
    """The same for messages × their deliveries."""
    # What does not count sorts to the end, together with what was lost.
    ordered = latency if counted.all() else np.where(counted, latency, np.inf)
    ordered.sort(axis=1)
    dashboards, rows = counted.sum(axis=1), np.arange(len(ordered))
    ordered[np.isnan(ordered[:, -1]) | (dashboards == 0)] = np.nan
    middle = np.maximum(0, (dashboards + 1) // 2 - 1)
    return ordered[:, 0], ordered[rows, middle], ordered[rows, np.maximum(0, dashboards - 1)]


class Latencies:
    """All latencies of a run by name, computed on demand, with the rig's own `delays` subtracted if given."""

    def __init__(
        self, ledger: Ledger, recoveries: list[Recovery], delays: Delays | None = None, plain: "Latencies | None" = None
    ) -> None:
        """`plain`: the latencies from which nothing is subtracted, if `delays` are given."""
        self._ledger, self._recoveries, self._delays, self._plain = ledger, recoveries, delays, plain or self
        self._samples: dict[tuple[str, Window | None], Sample] = {}

    def sample(self, name: str, window: Window | None = None) -> Sample:
        """The latencies of that name, in `window` if given."""
        key = (name, window)
        if key not in self._samples:
            self._samples[key] = self._sample(name, window)
        return self._samples[key]

    def table(self) -> Latency:
        """The latencies for the verdict."""
        return Latency(**{name: self.sample(name).quantiles() for name in LATENCIES})

    def _sample(self, name: str, window: Window | None) -> Sample:
        if name == "recovery":
            return self._recovered(window)
        return self._series(name).sample(window, self._ledger.scenario.update_target)

    def _series(self, name: str) -> LatencySeries:
        ledger = self._ledger
        messages, intended = ledger.messages, ledger.messages.intended
        match name:
            case "visible":
                return LatencySeries(self._visible(), intended, self._seen, self._counted, ledger.deliveries)
            case "notified":
                notified = ledger.announcements.notified
                delay = None if self._delays is None else self._delays.notified()
                latency = _less(ledger.deliveries.less(notified, intended), delay)
                return LatencySeries(latency, intended, notified, ledger.expected, ledger.deliveries)
            case "accepted":
                done = np.where(messages.accepted, messages.done, np.where(messages.rig_failed, np.nan, np.inf))
                delay = None if self._delays is None else self._delays.sends(messages.done)
                return LatencySeries(_less(done - intended, delay), intended, done)
            case "first_dashboard" | "median_dashboard" | "last_dashboard":
                which = ("first_dashboard", "median_dashboard", "last_dashboard").index(name)
                rows = self._spread
                return LatencySeries(self._fan[which][rows], intended[rows], (intended + self._plain._fan[which])[rows])
            case "refetch":
                return self._refetches()
            case _:
                return self._connects()

    @cached_property
    def _seen(self) -> Floats:
        """When each delivery was visible; NaN where that is not known."""
        ledger = self._ledger
        return np.where(ledger.unproven, np.nan, ledger.visible) if ledger.unproven.any() else ledger.visible

    @cached_property
    def _counted(self) -> Bools:
        return self._ledger.expected & ~self._ledger.excused

    def _visible(self) -> Floats:
        delay = None if self._delays is None else self._delays.seen
        return _less(self._ledger.deliveries.less(self._seen, self._ledger.messages.intended), delay)

    def _visible_of(self, messages: Ints) -> Floats:
        """The same for the deliveries of these messages."""
        deliveries, intended = self._ledger.deliveries, self._ledger.messages.intended
        mine = deliveries.of(messages)
        latency = self._seen.take(mine) - np.repeat(intended[messages], deliveries.counts[messages])
        return _less(latency, None if self._delays is None else self._delays.seen.take(mine))

    @cached_property
    def _spread(self) -> Bools:
        """The messages that count on at least one dashboard."""
        return self._ledger.deliveries.any(self._counted)

    @cached_property
    def _fan(self) -> tuple[Floats, Floats, Floats]:
        return fan_out(self._visible_of, self._counted, self._ledger.deliveries)

    def _refetches(self) -> LatencySeries:
        ledger, refetches = self._ledger, self._ledger.observations.refetches
        chosen = (refetches.dashboard >= 0) & (refetches.started >= ledger.start) & (refetches.started <= ledger.end)
        started, done, process = refetches.started[chosen], refetches.done[chosen], refetches.process[chosen]
        status, showed = refetches.status[chosen], refetches.showed[chosen]
        took = np.where(showed & np.isfinite(done), done - started, np.where(status < 0, np.nan, np.inf))
        delay = None if self._delays is None else self._delays.of(process, started, done)
        return LatencySeries(_less(took, delay), started, done)

    def _connects(self) -> LatencySeries:
        connections = self._ledger.observations.connections
        tried = np.isfinite(connections.opening) & (connections.dashboard >= 0)
        # A connection that the swarm stopped before it subscribed says nothing about the target.
        tried &= np.isfinite(connections.subscribed) | (connections.event != ConnectionEvent.STOPPED)
        opening, subscribed = connections.opening[tried], connections.subscribed[tried]
        delay = None if self._delays is None else self._delays.of(connections.process[tried], opening, subscribed)
        rig_failed = connections.rig_failed[tried]
        ends = np.where(np.isfinite(subscribed), subscribed, np.where(rig_failed, np.nan, np.inf))
        return LatencySeries(_less(ends - opening, delay), opening, ends)

    def _recovered(self, window: Window | None) -> Sample:
        """A recovery that was not measured is open, but took at least as long as it was observed."""
        measured: list[float] = []
        least: list[float] = []
        for recovery in self._recoveries:
            if window is not None and not _recovers_in(recovery, window, self._ledger.start):
                continue
            if recovery.whole_again is not None:
                measured.append(recovery.whole_again)
            else:
                least.append(recovery.at_least or 0.0)
        return Sample(np.sort(np.array(measured)), len(least), tuple(least))


def _recovers_in(recovery: Recovery, window: Window, start: float) -> bool:
    if recovery.name == window.name:
        return window.kind == "after"
    if recovery.stop is None:
        return False
    stop, took = start + recovery.stop, recovery.whole_again if recovery.whole_again is not None else math.inf
    return bool(window.holds(np.array([stop]), np.array([stop + took]))[0])


def _less(latency: Floats, delay: Floats | None) -> Floats:
    """The latency without the rig's own delay. Changes `latency` in place."""
    if delay is not None:
        np.subtract(latency, delay, out=latency)
        np.maximum(latency, 0, out=latency)
    return latency
