"""How a chat recovers from each fault: from its end to the first moment after which all is whole again, and the parts.

Whole again is the first moment after which, for 3 s on end with at least 10 messages in them, every message met the
target on every dashboard. A message belongs to the moment at which it was intended. One that was refused met nothing;
one whose outcome is unknown did if it was visible everywhere in time.
"""

import math
from dataclasses import dataclass

import numpy as np

from chatswarm.loadtests.history.tables import ConnectionEvent, SendOutcome

from .ledger.arrays import Bools, Floats
from .ledger.faults import FaultSpan
from .ledger.ledger import Ledger, planned_of
from .rig import Delays
from .verdict import Recovery

CALM = 3.0
"""Seconds on end in which every message must meet the target."""
_NOTICING = 1.0  # seconds after its end in which those whom it cut off notice
ENOUGH = 10
"""So many messages there must be in them, or nothing is proven."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """When all was whole again, in monotonic seconds: not before `low`; at `high`, infinite if that was not proven."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Met:
    """The messages of the measured part by when they were intended, and which of them met the target everywhere."""

    intended: Floats
    surely_not: Bools
    perhaps_not: Bools  # surely not, or nobody knows


def met_of(ledger: Ledger, delays: Delays | None = None) -> Met:
    """Every message that some dashboard was to show, or that was refused; with the rig's own `delays` subtracted."""
    messages, target = ledger.messages, ledger.scenario.update_target
    visible = ledger.visible if delays is None else ledger.visible - delays.seen
    in_time = (visible <= ledger.deadline[:, None]) | ledger.excused
    missed = ledger.expected & ~in_time
    held_up = ledger.held_up if ledger.hindrance.any else np.zeros((1, 1), bool)
    surely = np.asarray((missed & ~ledger.unproven & ~held_up).any(axis=1))
    perhaps = np.asarray(missed.any(axis=1))
    due = np.asarray(ledger.expected.any(axis=1))
    unanswered = np.flatnonzero((messages.outcome == SendOutcome.UNKNOWN) & ~messages.rig_failed)
    planned = planned_of(messages.intended[unanswered] - ledger.start, ledger.scenario)
    shown = visible[unanswered] - messages.intended[unanswered, None] <= target
    surely[unanswered] = (planned & ~shown & ~(held_up[unanswered] if len(held_up) > 1 else held_up)).any(axis=1)
    perhaps[unanswered] = (planned & ~shown).any(axis=1)
    due[unanswered] = planned.any(axis=1)
    refused = (messages.outcome == SendOutcome.REJECTED) & ~messages.rig_failed
    surely |= refused
    perhaps |= refused
    rows = np.flatnonzero((due | refused) & (messages.intended >= ledger.start) & (messages.intended <= ledger.end))
    rows = rows[np.argsort(messages.intended[rows], kind="stable")]
    return Met(messages.intended[rows], surely[rows], perhaps[rows])


def whole_again(met: Met, stop: float, end: float) -> Bounds:
    """When all was whole again after a fault that ended at `stop`, in a measured part that ended at `end`."""
    later = met.intended > stop
    times, surely, perhaps = met.intended[later], met.surely_not[later], met.perhaps_not[later]
    # The first moment is the stop, just after a message that missed, or when the tenth message comes into the 3 s.
    moments = np.concatenate([[stop], times, times - CALM])
    until = np.concatenate([[stop + CALM], times + CALM, times])
    order = np.argsort(moments, kind="stable")
    moments, until = moments[order], until[order]
    first, last = np.searchsorted(times, moments, side="right"), np.searchsorted(times, until, side="right")
    missed = np.concatenate([[0], np.cumsum(perhaps)])
    calm = (missed[last] == missed[first]) & (last - first >= ENOUGH) & (moments >= stop) & (until <= end)
    high = float(moments[calm][0]) if calm.any() else math.inf
    # At the soonest: had there been enough messages, and had the run gone on.
    bad = times[surely]
    soonest = np.concatenate([[stop], bad])
    following = np.append(bad, math.inf)
    low = float(soonest[following - soonest > CALM][0])
    return Bounds(low, high)


def recoveries_of(ledger: Ledger, delays: Delays | None = None) -> list[Recovery]:
    """One for each fault, in their order; without the rig's own `delays`, if these are given."""
    faults = ledger.evidence.faults
    if not faults:
        return []
    met = met_of(ledger, delays)
    return [_recovery(ledger, fault, met, faults) for fault in faults]


def _recovery(ledger: Ledger, fault: FaultSpan, met: Met, faults: list[FaultSpan]) -> Recovery:
    start, stop = fault.start, fault.stop
    recovery = Recovery(fault.name, ledger.after_start(start) or 0.0, ledger.after_start(stop))
    if math.isinf(stop):
        recovery.reason = "it was never healed"
        _sockets(ledger, fault, math.inf, recovery)
        return recovery
    bounds = whole_again(met, stop, ledger.end)
    if math.isfinite(bounds.high):
        recovery.whole_again = _seconds(bounds.high - stop)
    else:
        recovery.at_least = _seconds(bounds.low - stop)
        recovery.reason = _why(met, bounds.low, stop, ledger.end)
    # What is cut off when the next one has begun is not this one's doing.
    following = min((other.start for other in faults if other.start > stop), default=math.inf)
    _sockets(ledger, fault, min(max(bounds.high, stop + _NOTICING), following), recovery)
    seen = ledger.visible[ledger.messages.intended > stop]
    recovery.first_delivery = _finite(float(seen.min(initial=math.inf)) - stop)
    recovery.backlog_gone = _backlog(ledger, fault)
    return recovery


def _why(met: Met, low: float, stop: float, end: float) -> str:
    if end - low < CALM:
        last = "it" if low == stop else "the last message that missed its target"
        return f"the run ended {max(0.0, end - low):.1f} s after {last} ({CALM:g} s are needed)"
    some = int(((met.intended > low) & (met.intended <= end)).sum())
    return (
        f"there were no {CALM:g} s with {ENOUGH} messages, all of them on target ({some} messages in {end - low:.1f} s)"
    )


def _sockets(ledger: Ledger, fault: FaultSpan, whole: float, recovery: Recovery) -> None:
    """When the first dashboard noticed, and when the last of those that lost their connection was back."""
    connections = ledger.evidence.connections
    planned = (connections.dashboard >= 0) & (connections.dashboard < ledger.scenario.dashboards)
    cut = planned & np.isin(connections.event, (ConnectionEvent.CLOSED, ConnectionEvent.FAILED))
    cut &= (connections.ended >= fault.start) & (connections.ended <= whole)
    if not cut.any():
        return
    recovery.detected = _seconds(float(connections.ended[cut].min()) - fault.start)
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
    """When the last delivery that the fault met on its way was through; None if one never was, or there was none."""
    messages = ledger.messages
    # What should have been there before the start is not the fault's doing.
    caught = (messages.intended <= fault.stop)[:, None] & (ledger.decided >= fault.start)
    caught &= ledger.expected & ~ledger.excused
    last = float(ledger.visible[caught].max(initial=-math.inf))
    return _finite(max(0.0, last - fault.stop)) if caught.any() else None


def _finite(value: float) -> float | None:
    return _seconds(value) if math.isfinite(value) else None


def _seconds(value: float) -> float:
    return round(value, 6)
