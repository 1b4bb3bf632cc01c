"""What a check is: a question asked of the ledger, answered with a count and the worst examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Floats, Ints, ints
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.judge.verdict import Example

WORST = 32
"""So many examples a finding carries at the most."""


@dataclass(frozen=True, slots=True)
class Found:
    """A check's answer. `count` None: this run could not be asked.

    Each case that can be dated has a span, in monotonic seconds, by which it belongs to a window (see `windows.py`).
    """

    count: int | None
    examples: list[Example] = field(default_factory=list)
    begun: Floats = field(default_factory=lambda: np.zeros(0))
    over: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def undated(self) -> int:
        """How many of the cases have no span."""
        return (self.count or 0) - len(self.begun)


def about(ledger: Ledger, rows: Sequence[int] | Ints, examples: list[Example], undated: int = 0) -> Found:
    """An answer about messages, each dated by its send, and some that nobody can date."""
    rows = ints(rows)
    return Found(len(rows) + undated, examples, ledger.messages.intended[rows], ledger.answered[rows])


Check = Callable[[Ledger], Found]
