"""Windows around the faults of one name: `before`, `during`, `after` and `outside`, and what belongs to them.

Everything that an SLO can count or time has a span, and its span decides. With a fault from `start` to `stop`:

| window | the span |
|---|---|
| before | ends before the start |
| during | overlaps [start, stop], the ends included |
| after | begins after the stop |
| outside | overlaps neither the fault nor its recovery, which ends when all was whole again |

Where a name has several faults, before is before the first, after is after the last, during is during any of them, and
outside is outside all of them.

Latencies, each with a span of its own:

- visible, notified, accepted, first_dashboard, median_dashboard, last_dashboard: from intended until it came
- refetch, connect: from its beginning to its end
- recovery: that of a fault of the window's own name is `after` it; another fault's is from its stop to whole again

Counts:

- expected, visible, lost, excused, unproven, notified, unnotified, late, seen_as_text: the delivery, from intended
  until it was visible or its target had passed, whichever was first
- intended: the moment that the schedule has
- sent, accepted, rejected, unknown, refused, and findings about a message (recovered, store_lost, duplicated,
  reordered, phantom, vanished, corrupted, misplaced): the send, from intended until it was answered
- silent_socket: the silence
- absent, dashboards, widgets: the whole run, so they are the same in every window

What never came ends at its deadline, intended + the update target: from then on it was missed, whatever happened later,
so no fault can excuse what was lost or late before it began. `refused` is counted outside all faults by definition, so
`during` it is 0: ask for `rejected + unknown`. What nobody can date (a phantom without a send, frames without ids) may
be in any window, so that an SLO which depends on it is undecided.
"""

from dataclasses import dataclass

import numpy as np

from chatswarm.loadtests.scenario.slo import Kind

from .ledger.arrays import Bools, Floats
from .ledger.faults import FaultSpan


@dataclass(frozen=True, slots=True)
class Window:
    """One window. Times are monotonic seconds."""

    kind: Kind
    name: str
    spans: tuple[tuple[float, float], ...]  # start and stop of each fault; for outside: start and whole again

    def holds(self, begun: Floats, over: Floats) -> Bools:
        """Which of the spans belong to the window. None of the times is NaN; the two broadcast against each other."""
        if self.kind == "before":
            return np.broadcast_to(over < min(start for start, _ in self.spans), np.broadcast(begun, over).shape)
        if self.kind == "after":
            return np.broadcast_to(begun > max(stop for _, stop in self.spans), np.broadcast(begun, over).shape)
        overlapping = np.zeros(np.broadcast(begun, over).shape, bool)
        for start, stop in self.spans:
            overlapping |= (begun <= stop) & (over >= start)
        return overlapping if self.kind == "during" else ~overlapping


def window_of(kind: Kind, name: str, faults: list[FaultSpan], whole_again: list[float]) -> Window | str:
    """The window, or why it cannot be told. `whole_again`: per fault when all was whole again; NaN: not measured."""
    mine = [number for number, fault in enumerate(faults) if fault.name == name]
    if not mine:
        return f"there was no fault {name} in this run"
    spans = [(faults[number].start, faults[number].stop) for number in mine]
    if kind == "outside":
        if not np.isfinite([whole_again[number] for number in mine]).all():
            return (
                f"when all was whole again after the fault {name} was not measured, so nobody knows what is outside it"
            )
        spans = [(start, max(stop, whole_again[number])) for (start, stop), number in zip(spans, mine, strict=True)]
    return Window(kind, name, tuple(spans))
