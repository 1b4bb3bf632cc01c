"""How long a chat takes to recover from each fault, from the fault's stop until it is whole again, in steps.

A chat is whole again at the first moment that is followed by 3 s with at least 10 messages, all of which met the update
target on every dashboard. A message counts at the moment it was intended. A rejected message missed its target; one of
unknown outcome met it if it was visible everywhere in time.
"""

import math
from dataclasses import dataclass

import numpy as np

from chatswarm.loadtests.history.tables import ConnectionEvent, SendOutcome

from .ledger.arrays import Bools, Floats
from .ledger.faults import FaultSpan
from .ledger.ledger import Ledger
from .rig import Delays
from .verdict import Recovery

STABLE_SECONDS = 3.0
"""For this many consecutive seconds every message must meet the target."""
_DETECTION_SECONDS = 1.0  # seconds after a fault's stop within which disconnected dashboards notice
STABLE_MESSAGES = 10
"""With fewer messages in those seconds, nothing is proven."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """When the chat was whole again, in monotonic seconds: not before `low`; by `high`, infinite if never proven."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TargetMisses:
    """The messages of the measured part by when they were intended, and which of them missed the update target."""

    intended: Floats
    certain: Bools  # missed it on some dashboard
    possible: Bools  # missed it, or that is unknown


def target_misses_of(ledger: Ledger, delays: Delays | None = None) -> TargetMisses:
    """For each message expected on a dashboard or rejected. The rig's own `delays` are subtracted, if given."""
    messages, deliveries, target = ledger.messages, ledger.deliveries, ledger.scenario.update_target
    visible = ledger.visible if delays is None else ledger.visible - delays.seen
    in_time = deliveries.apply(np.less_equal, visible, ledger.deadline) | ledger.excused
    missed = ledger.expected & ~in_time
    held_up = ledger.held_up if ledger.rig_outages.any else np.zeros(1, bool)
    certain = deliveries.any(missed & ~ledger.unproven & ~held_up)
    possible = deliveries.any(missed)
    due = deliveries.any(ledger.expected)
    unanswered = (messages.outcome == SendOutcome.UNKNOWN) & ~messages.rig_failed
    if unanswered.any():
        planned = ledger.planned & deliveries.over(unanswered)
        unshown = planned & ~(deliveries.less(visible, messages.intended) <= target)
        certain |= deliveries.any(unshown & ~held_up)
        possible |= deliveries.any(unshown)
        due |= deliveries.any(planned)
    refused = (messages.outcome == SendOutcome.REJECTED) & ~messages.rig_failed
    certain |= refused
    possible |= refused
    rows = np.flatnonzero((due | refused) & (messages.intended >= ledger.start) & (messages.intended <= ledger.end))
    rows = rows[np.argsort(messages.intended[rows], kind="stable")]
    return TargetMisses(messages.intended[rows], certain[rows], possible[rows])


def recovery_bounds(misses: TargetMisses, stop: float, end: float) -> Bounds:
    """When the chat was whole again after a fault that stopped at `stop`; the measured part ends at `end`."""
    later = misses.intended > stop
    times, certain, possible = misses.intended[later], misses.certain[later], misses.possible[later]
    # Candidates: the stop, just after each message, and 3 s before each message.
    moments = np.concatenate([[stop], times, times - STABLE_SECONDS])
    until = np.concatenate([[stop + STABLE_SECONDS], times + STABLE_SECONDS, times])
    order = np.argsort(moments, kind="stable")
    moments, until = moments[order], until[order]
    first, last = np.searchsorted(times, moments, side="right"), np.searchsorted(times, until, side="right")
    missed = np.concatenate([[0], np.cumsum(possible)])
    stable = (missed[last] == missed[first]) & (last - first >= STABLE_MESSAGES) & (moments >= stop) & (until <= end)
    high = float(moments[stable][0]) if stable.any() else math.inf
    # The earliest possible moment, had there been enough messages and had the run continued.
    bad = times[certain]
    earliest = np.concatenate([[stop], bad])
    following = np.append(bad, math.inf)
    low = float(earliest[following - earliest > STABLE_SECONDS][0])
    return Bounds(low, high)


def recoveries_of(ledger: Ledger, delays: Delays | None = None) -> list[Recovery]:
    """One recovery per fault, in order. The rig's own `delays` are subtracted, if given."""
    faults = ledger.observations.faults
    if not faults:
        return []
    misses = target_misses_of(ledger, delays)
    return [_recovery(ledger, fault, misses, faults) for fault in faults]


def _recovery(ledger: Ledger, fault: FaultSpan, misses: TargetMisses, faults: list[FaultSpan]) -> Recovery:
    start, stop = fault.start, fault.stop
    recovery = Recovery(fault.name, ledger.after_start(start) or 0.0, ledger.after_start(stop))
    if math.isinf(stop):
        recovery.reason = "it was never healed"
        _reconnections(ledger, fault, math.inf, recovery)
        return recovery
    bounds = recovery_bounds(misses, stop, ledger.end)
    if math.isfinite(bounds.high):
        recovery.whole_again = _seconds(bounds.high - stop)
    else:
        recovery.at_least = _seconds(bounds.low - stop)
        recovery.reason = _why(misses, bounds.low, stop, ledger.end)
    # Connections lost after the next fault started are not this fault's doing.
    following = min((other.start for other in faults if other.start > stop), default=math.inf)
    _reconnections(ledger, fault, min(max(bounds.high, stop + _DETECTION_SECONDS), following), recovery)
    seen = ledger.deliveries.min(ledger.visible)[ledger.messages.intended > stop]
    recovery.first_delivery = _finite(float(seen.min(initial=math.inf)) - stop)
    recovery.backlog_gone = _backlog(ledger, fault)
    return recovery


def _why(misses: TargetMisses, low: float, stop: float, end: float) -> str:
    if end - low < STABLE_SECONDS:
        last = "it" if low == stop else "the last message that missed its target"
        return f"the run ended {max(0.0, end - low):.1f} s after {last} ({STABLE_SECONDS:g} s are needed)"
    some = int(((misses.intended > low) & (misses.intended <= end)).sum())
    return (
        f"there were no {STABLE_SECONDS:g} s with {STABLE_MESSAGES} messages, all of them on target "
        f"({some} messages in {end - low:.1f} s)"
    )


def _reconnections(ledger: Ledger, fault: FaultSpan, whole: float, recovery: Recovery) -> None:
    """Records when the first dashboard lost its connection, and when the last of them was back."""
    connections = ledger.observations.connections
    planned = (connections.dashboard >= 0) & (connections.dashboard < ledger.scenario.dashboards)
    cut = planned & np.isin(connections.event, (ConnectionEvent.CLOSED, ConnectionEvent.FAILED))
    cut &= (connections.ended >= fault.start - ledger.fault_bound) & (connections.ended <= whole)
    if not cut.any():
        return
    recovery.detected = _seconds(max(0.0, float(connections.ended[cut].min()) - fault.start))
    back = 0
    latest = -math.inf
    lost = np.unique(connections.dashboard[cut])
    for dashboard in lost.tolist():
        mine = connections.dashboard == dashboard
        last = connections.ended[cut & mine].max()
        again = connections.subscribed[mine & (connections.subscribed >= last)]
        if len(again):
            back += 1
            latest = max(latest, float(again.min()))
    recovery.dashboards_lost, recovery.dashboards_back = len(lost), back
    if back == len(lost) and math.isfinite(fault.stop):
        recovery.reconnected = _seconds(max(0.0, latest - fault.stop))


def _backlog(ledger: Ledger, fault: FaultSpan) -> float | None:
    """When the last delivery in flight during the fault arrived; None if one never did, or there were none."""
    messages = ledger.messages
    # Deliveries that were overdue before the fault started are not its doing.
    in_flight = ledger.deliveries.over(messages.intended <= fault.stop) & (ledger.decided >= fault.start)
    in_flight &= ledger.expected & ~ledger.excused
    last = float(ledger.visible[in_flight].max(initial=-math.inf))
    return _finite(max(0.0, last - fault.stop)) if in_flight.any() else None


def _finite(value: float) -> float | None:
    return _seconds(value) if math.isfinite(value) else None


def _seconds(value: float) -> float:
    return round(value, 6)
