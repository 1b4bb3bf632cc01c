"""The interface of a check: a function from the ledger to a count and the worst examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Floats, Ints, ints
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.judge.verdict import Example

WORST = 32
"""At most this many examples per finding."""


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

    @property
    def undated(self) -> int:
        """How many cases have no span."""
        return (self.count or 0) - len(self.starts)


def result_for_messages(
    ledger: Ledger, rows: Sequence[int] | Ints, examples: list[Example], undated: int = 0
) -> CheckResult:
    """A result about messages, each dated by its send, plus `undated` cases."""
    rows = ints(rows)
    return CheckResult(len(rows) + undated, examples, ledger.messages.intended[rows], ledger.answered[rows])


Check = Callable[[Ledger], CheckResult]
