"""The faults of a run, from when to when each was there, as the nemesis wrote them down."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from chatswarm.loadtests.history.tables import FaultEvent

Row = tuple[str, str, int, float, str]
"""A fault's name and kind, its FaultEvent, the time, and the evidence as JSON."""


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """One fault, once. Times are monotonic seconds; `stop` is infinite for one that was never healed."""

    name: str
    kind: str
    start: float
    stop: float
    evidence: dict[str, float | str] = field(default_factory=dict)

    @property
    def proven(self) -> bool:
        """Its evidence says that it did something: a number that is not 0, or a text."""
        return any(self.evidence.values())

    def overlaps(self, begun: float, over: float) -> bool:
        """Whether it was there at some moment of a span, the ends included."""
        return begun <= self.stop and over >= self.start


def faults_of(rows: Sequence[Row], begin: float) -> tuple[list[FaultSpan], list[str]]:
    """The faults in the order of their starts, and what is wrong with them in plain words.

    A stop heals the oldest fault of its name and kind that is not healed yet. `begin` is the start of the run, from
    which the words count their seconds.
    """
    problems: list[str] = []
    running: dict[tuple[str, str], list[tuple[float, dict[str, float | str]]]] = {}
    spans: list[FaultSpan] = []
    for name, kind, event, time, text in sorted(rows, key=lambda row: row[3]):
        evidence = _evidence(text)
        if evidence is None:
            problems.append(f"the evidence of the fault {name} cannot be read: expected a JSON object, got {text!r}")
            evidence = {}
        open_ones = running.setdefault((name, kind), [])
        if event == FaultEvent.START:
            open_ones.append((time, evidence))
        elif open_ones:
            start, before = open_ones.pop(0)
            spans.append(FaultSpan(name, kind, start, time, before | evidence))
        else:
            problems.append(f"the fault {name} was healed at {time - begin:.1f} s, but nothing says that it began")
    for (name, kind), open_ones in running.items():
        spans += [FaultSpan(name, kind, start, math.inf, evidence) for start, evidence in open_ones]
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
