"""The faults of a run with their start and stop times, from the nemesis's history."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

import msgspec

from chatswarm.loadtests.history.tables import FaultEvent


class FaultRow(NamedTuple):
    """One row of the history's table `fault`."""

    name: str
    kind: str
    event: int  # a FaultEvent
    time: float
    evidence: str  # JSON


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """One occurrence of a fault. Times are monotonic seconds; `stop` is infinite if it was never healed."""

    name: str
    kind: str
    start: float
    stop: float
    evidence: dict[str, float | str] = field(default_factory=dict)

    @property
    def proven(self) -> bool:
        """Its evidence shows an effect: a number other than 0, or a non-empty text."""
        return any(self.evidence.values())

    def overlaps(self, begin: float, end: float) -> bool:
        """Whether it was active at any moment of a span, both ends included."""
        return begin <= self.stop and end >= self.start


def faults_of(rows: Sequence[FaultRow], begin: float) -> tuple[list[FaultSpan], list[str]]:
    """The faults by start time, and the problems with them as sentences.

    A stop heals the oldest active fault of its name and kind. `begin` is the start of the run, from which the sentences
    count their seconds.
    """
    problems: list[str] = []
    running: dict[tuple[str, str], list[tuple[float, dict[str, float | str]]]] = {}
    spans: list[FaultSpan] = []
    for name, kind, event, time, text in sorted(rows, key=attrgetter("time")):
        evidence = _evidence(text)
        if evidence is None:
            problems.append(f"the evidence of the fault {name} cannot be read: expected a JSON object, got {text!r}")
            evidence = {}
        active = running.setdefault((name, kind), [])
        if event == FaultEvent.START:
            active.append((time, evidence))
        elif active:
            start, before = active.pop(0)
            spans.append(FaultSpan(name, kind, start, time, before | evidence))
        else:
            problems.append(f"the fault {name} was healed at {time - begin:.1f} s, but nothing says that it began")
    for (name, kind), active in running.items():
        spans += [FaultSpan(name, kind, start, math.inf, evidence) for start, evidence in active]
    spans.sort(key=lambda span: (span.start, span.stop))
    for span in spans:
        which = f"the fault {span.name} (from {span.start - begin:.1f} s on)"
        if math.isinf(span.stop):
            problems.append(f"{which} was never healed: everything after its start happened under it")
        if not span.proven:
            problems.append(f"{which} left no evidence that it did anything: it proves nothing about the target")
    return spans, problems


def _evidence(text: str) -> dict[str, float | str] | None:
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, float | str])
    except msgspec.MsgspecError:
        return None
