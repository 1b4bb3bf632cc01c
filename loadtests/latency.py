"""Exact latencies of a run, over what was expected: what never came counts as infinite, so p99 is not the survivors'.

Latencies nobody could measure (a history that was cut, frames that cannot be told apart) are kept as a number of open
ones. They give every quantile a lower and an upper bound, and an SLO is only decided where both bounds agree.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .history.schema import ConnectionEvent
from .ledger.arrays import Floats
from .ledger.ledger import Ledger
from .rig import Delays
from .verdict import QUANTILES, Latency, Quantiles

Side = Literal["low", "high"]


@dataclass(frozen=True, slots=True)
class Sample:
    """The latencies of one kind in ascending seconds, infinite for what never came, and how many are open."""

    values: Floats
    open: int = 0

    @property
    def count(self) -> int:
        return len(self.values) + self.open

    def quantile(self, share: float, side: Side) -> float | None:
        """The nearest rank, if the open ones had been as good (low) or as bad (high) as can be."""
        if not self.count:
            return None
        rank = max(1, math.ceil(share * self.count - 1e-9)) - 1
        if side == "low":
            rank -= self.open
            return float(self.values[rank]) if rank >= 0 else 0.0
        return float(self.values[rank]) if rank < len(self.values) else math.inf

    def quantiles(self) -> Quantiles:
        """For people: over what was measured."""
        known = Sample(self.values)
        found = {key: known.quantile(share, "high") for key, share in QUANTILES.items()}
        finite = {key: value if value is not None and math.isfinite(value) else None for key, value in found.items()}
        return Quantiles(**finite, count=len(self.values))


def _sample(values: Floats) -> Sample:
    """NaN means open."""
    known = values[~np.isnan(values)]
    return Sample(np.sort(known), len(values) - len(known))


def samples(ledger: Ledger, delays: Delays | None = None) -> dict[str, Sample]:
    """All latencies by name; with the rig's own `delays` subtracted if given."""
    messages, expected = ledger.messages, ledger.expected
    visible = np.where(ledger.unproven, np.nan, ledger.visible) - messages.intended[:, None]
    notified = ledger.announced.notified - messages.intended[:, None]
    accepted = np.where(messages.accepted, messages.done, np.inf) - messages.intended
    if delays is not None:
        visible -= delays.deliveries(ledger.visible)
        notified -= delays.deliveries(ledger.announced.notified)
        accepted -= delays.sends(messages.done)
        for latency in (visible, notified, accepted):
            np.maximum(latency, 0, out=latency)
    counted = expected & ~ledger.excused
    some = np.flatnonzero(counted.any(axis=1))
    slowest = np.where(counted[some], visible[some], -np.inf).max(axis=1, initial=-np.inf)
    return {
        "visible": _sample(visible[counted]),
        "notified": _sample(notified[expected]),
        "accepted": _sample(accepted),
        "refetch": _sample(_refetches(ledger, delays)),
        "last_dashboard": _sample(slowest),
        "connect": _sample(_connects(ledger, delays)),
        "recovery": Sample(np.zeros(0)),
    }


def _refetches(ledger: Ledger, delays: Delays | None) -> Floats:
    refetches = ledger.evidence.refetches
    chosen = (refetches.dashboard >= 0) & (refetches.started >= ledger.start) & (refetches.started <= ledger.end)
    started, done, process = refetches.started[chosen], refetches.done[chosen], refetches.process[chosen]
    good = (refetches.status[chosen] == 200) & np.isfinite(done)
    latency = np.where(good, done - started, np.inf)
    return latency if delays is None else np.maximum(0, latency - delays.of(process, started, done))


def _connects(ledger: Ledger, delays: Delays | None) -> Floats:
    connections = ledger.evidence.connections
    tried = np.isfinite(connections.opening)
    # Stopped by the swarm before it was subscribed says nothing about the target.
    tried &= np.isfinite(connections.subscribed) | (connections.event != ConnectionEvent.STOPPED)
    opening, subscribed = connections.opening[tried], connections.subscribed[tried]
    process = connections.process[tried]
    latency = np.where(np.isfinite(subscribed), subscribed - opening, np.inf)
    return latency if delays is None else np.maximum(0, latency - delays.of(process, opening, subscribed))


def table(found: dict[str, Sample]) -> Latency:
    """The latencies of a verdict."""
    return Latency(**{name: sample.quantiles() for name, sample in found.items()})
