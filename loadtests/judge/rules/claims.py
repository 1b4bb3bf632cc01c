"""What rules return, and what they are asked about."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from chatswarm.loadtests.judge.ledger.arrays import Ints

from .cases import Cases
from .facts import Facts

Certainty = Literal["proven", "probable"]
"""Proven: a relation of times or sets that holds for every case claimed. Probable: a concentration far above chance."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The cases that one cause explains, as rows of the cases that the rule was asked about."""

    cause: str
    rows: Ints
    certainty: Certainty = "proven"
    words: dict[str, str] = field(default_factory=dict)  # for the fields of the cause's sentence
    evidence: tuple[str, ...] = ()
    best: int = 0  # which of `rows` shows it most clearly
    witness: str = ""  # what happened to that one; empty: its times say it


Rule = Callable[[Facts, Cases], Claim | None]
"""Explains some of the cases, or none. Is asked about those that no rule before it has explained."""
