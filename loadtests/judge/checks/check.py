"""The interface of a check: a function from the ledger to a count and the worst examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Floats, Ints, ints
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.judge.verdict import Example

WORST = 32
"""At most this many examples per finding."""


class CaseKind(NamedTuple):
    """How the check saw one case go wrong: a cause by its id, and words that this cause's sentence asks for."""

    cause: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found. `count` None: the run does not hold enough to tell.

    Not `applies`: this kind of chat cannot answer the question at all, which makes no run undecided.

    Each case that can be dated has a span, in monotonic seconds, which assigns it to windows (see `windows.py`).
    """

    count: int | None
    examples: list[Example] = field(default_factory=list)
    starts: Floats = field(default_factory=lambda: np.zeros(0))
    ends: Floats = field(default_factory=lambda: np.zeros(0))
    applies: bool = True
    # For the causes, as far as the check can tell cases apart: one entry each. -1: no message, or no dashboard.
    messages: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    dashboards: Ints | None = None  # None: the cases are not about single dashboards
    kinds: Sequence[CaseKind] = ()

    @property
    def undated(self) -> int:
        """How many cases have no span."""
        return (self.count or 0) - len(self.starts)


def result_for_messages(
    ledger: Ledger,
    rows: Sequence[int] | Ints,
    examples: list[Example],
    undated: int = 0,
    kinds: Sequence[CaseKind] = (),
) -> CheckResult:
    """A result about messages, each dated by its send, plus `undated` cases. `kinds`: one per message, then per undated
    case.
    """
    rows = ints(rows)
    return CheckResult(
        len(rows) + undated, examples, ledger.messages.intended[rows], ledger.answered[rows],
        messages=np.append(rows, np.full(undated, -1)) if kinds else rows, kinds=kinds,
    )  # fmt: skip


Check = Callable[[Ledger], CheckResult]
