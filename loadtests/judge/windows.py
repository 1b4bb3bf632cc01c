"""The windows around a fault (`before`, `during`, `after` and `outside`), and what belongs to each.

Everything that an SLO can count or time has a span, which decides its windows. With a fault from `start` to `stop`:

| window | the span |
|---|---|
| before | ends before the start |
| during | overlaps [start, stop], the ends included |
| after | starts after the stop |
| outside | overlaps neither the fault nor its recovery, which ends when the chat is whole again |

If several faults have the same name, before means before the first, after means after the last, during means during
any of them, and outside means outside all of them.

The spans of latencies:

- visible, notified, accepted, first_dashboard, median_dashboard, last_dashboard: from intended to arrival
- refetch, connect: from start to end
- recovery: always `after` a fault of the window's own name; for another fault, from its stop to whole again

The spans of counts:

- expected, visible, lost, excused, unproven, notified, unnotified, late, seen_as_text: the delivery, from intended
  until it was visible or its target had passed, whichever came first
- intended: the moment in the schedule
- sent, accepted, rejected, unknown, refused, and findings about a message (recovered, store_lost, duplicated,
  reordered, phantom, vanished, corrupted, misplaced): the send, from intended to its response
- silent_socket: the silence
- absent, dashboards, widgets: the whole run, so they are equal in every window

A delivery that never arrived ends at its deadline, intended + the update target. From then on it was missed, whatever
happened later, so no fault can excuse what was lost or late before it started. By definition `refused` counts only what
is outside all faults, so it is 0 `during` one: use `rejected + unknown`. A case that cannot be dated (a phantom without
a send, frames without ids) may be in any window, so an SLO that depends on it is undecided.
"""

from dataclasses import dataclass, replace

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

    def widened(self, by: float) -> "Window":
        """The same around faults that began `by` seconds earlier and ended later."""
        return replace(self, spans=tuple((start - by, max(start - by, stop + by)) for start, stop in self.spans))

    def holds(self, starts: Floats, ends: Floats) -> Bools:
        """Which spans belong to the window. `starts` and `ends` are never NaN, and broadcast against each other."""
        if self.kind == "before":
            return np.broadcast_to(ends < min(start for start, _ in self.spans), np.broadcast(starts, ends).shape)
        if self.kind == "after":
            return np.broadcast_to(starts > max(stop for _, stop in self.spans), np.broadcast(starts, ends).shape)
        overlapping = np.zeros(np.broadcast(starts, ends).shape, bool)
        for start, stop in self.spans:
            overlapping |= (starts <= stop) & (ends >= start)
        return overlapping if self.kind == "during" else ~overlapping


def window_of(kind: Kind, name: str, faults: list[FaultSpan], whole_again: list[float]) -> Window | str:
    """The window, or why it is unknown. `whole_again`: when, per fault; NaN: not measured."""
    mine = [number for number, fault in enumerate(faults) if fault.name == name]
    if not mine:
        return f"there was no fault {name} in this run"
    spans = [(faults[number].start, faults[number].stop) for number in mine]
    if kind == "outside":
        if not np.isfinite([whole_again[number] for number in mine]).all():
            return (
                f"when all was whole again after the fault {name} was not measured, so it is unknown what is outside it"
            )
        spans = [(start, max(stop, whole_again[number])) for (start, stop), number in zip(spans, mine, strict=True)]
    return Window(kind, name, tuple(spans))
