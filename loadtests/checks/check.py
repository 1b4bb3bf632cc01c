"""What a check is: a question asked of the ledger, answered with a count and the worst examples."""

from collections.abc import Callable
from dataclasses import dataclass, field

from chatswarm.loadtests.ledger.ledger import Ledger
from chatswarm.loadtests.verdict import Example

WORST = 32
"""So many examples a finding carries at the most."""


@dataclass(frozen=True, slots=True)
class Found:
    """A check's answer. `count` None: this run could not be asked."""

    count: int | None
    examples: list[Example] = field(default_factory=list)


Check = Callable[[Ledger], Found]
