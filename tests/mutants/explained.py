"""Compares what `chatswarm why` says of a run with what was planted, without I/O.

The first cause of a finding is what counts. In the table of all runs at least 95 % must be right, none that is wrong
may be called proven, and nothing may be claimed of a run in which nothing is to be found.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LEAST_RIGHT = 0.95
"""The share of the expected causes that must be found."""

PROVEN = frozenset({
    "never_stored", "no_replay", "nobody_asked", "never_reconnected", "silent_socket", "list_fails", "deleted",
    "stored_twice", "listed_twice", "announced_twice", "stored_out_of_order",
})  # fmt: skip
"""Causes that a history shows directly: where one is right, to call it probable is not enough."""

_FAULT = "fault"
_PROVEN = "proven"
_PART_OF = {"gap": "lost"}  # findings that may be explained as part of another


@dataclass(frozen=True)
class Explanation:
    """What was said first of one finding of a run, and what should have been."""

    label: str
    variant: str
    finding: str
    expected: str  # an id, or several with " or " between them; empty: it must be called unexplained
    first: str = ""  # empty: no cause
    certainty: str = ""
    coverage: float | None = None
    unexplained: int = 0  # cases of the run
    problem: str = ""  # why there is nothing to compare

    @property
    def right(self) -> bool:
        """The cause is as planted, and proven where it must be."""
        if self.problem or self.first not in self.expected.split(" or "):
            return False
        if not self.expected:
            return self.unexplained > 0
        return self.first not in PROVEN or self.certainty == _PROVEN

    @property
    def falsely_proven(self) -> bool:
        """Called proven, and is not what was planted."""
        return self.certainty == _PROVEN and self.first not in self.expected.split(" or ")


def expectations(finding: str, cause: str, cause_of_lost: str = "") -> dict[str, str]:
    """The causes that must come first, by finding. `finding` empty: there are none."""
    return ({"lost": cause_of_lost} if cause_of_lost else {}) | ({finding: cause} if finding else {})


def first_cause(why: Mapping[str, Any], finding: str) -> Mapping[str, Any]:
    """The first cause of a finding, or if it has none of the finding that it is part of; empty: there is none."""
    for name in (finding, _PART_OF.get(finding)):
        for cause in why["causes"]:
            if cause["finding"] == name:
                return dict(cause)
    return {}


def explained(
    label: str, variant: str, expected: Mapping[str, str], why: Mapping[str, Any], problem: str
) -> list[Explanation]:
    """One for each finding with an expected cause. `problem`: why there is no `why`; empty: there is one."""
    found = []
    for finding, wanted in expected.items():
        first = {} if problem else first_cause(why, finding)
        unexplained = 0 if problem else why["unexplained"]["count"]
        found.append(
            Explanation(
                label, variant, finding, wanted, first.get("id", ""), first.get("certainty", ""), first.get("coverage"),
                unexplained, problem,
            )
        )  # fmt: skip
    return found


def claims(why: Mapping[str, Any]) -> list[str]:
    """All that is claimed, as texts: nothing may be where nothing was planted."""
    return [f"{cause['finding']}: {cause['id']}, {cause['certainty']}" for cause in why["causes"]]


def blamed_faults(why: Mapping[str, Any]) -> list[str]:
    """Where a fault is blamed that changed nothing: it comes first, or is called proven."""
    blamed, seen = [], set[str]()
    for cause in why["causes"]:
        first = cause["finding"] not in seen
        seen.add(cause["finding"])
        if cause["id"] == _FAULT and (first or cause["certainty"] == _PROVEN):
            blamed.append(
                f"{cause['finding']}: the fault, {cause['certainty']}{', as the first cause' if first else ''}"
            )
    return blamed


@dataclass
class Score:
    """The result over all runs. The lists are texts for people."""

    explanations: list[Explanation] = field(default_factory=list)
    answered: int = 0  # runs
    unanswered: list[str] = field(default_factory=list)  # runs of which nothing was said
    claimed: list[str] = field(default_factory=list)  # where nothing was to be found
    blamed: list[str] = field(default_factory=list)  # faults that changed nothing

    @property
    def right(self) -> int:
        return sum(each.right for each in self.explanations)

    @property
    def falsely_proven(self) -> int:
        return sum(each.falsely_proven for each in self.explanations)

    @property
    def met(self) -> bool:
        """Whether all is as it must be. Without a single answer, nothing is."""
        wrong = self.falsely_proven or self.unanswered or self.claimed or self.blamed
        return not wrong and self.answered > 0 and self.right >= LEAST_RIGHT * len(self.explanations)

    def lines(self) -> list[str]:
        """For people, each with what must be."""
        total = len(self.explanations)
        share = f" ({self.right / total:.1%})" if total else ""
        return [
            f"right: {self.right} of {total}{share}, at least {LEAST_RIGHT:.0%} must be",
            f"wrong but called proven: {self.falsely_proven}, must be 0",
            f"runs without an answer: {len(self.unanswered)}, must be 0",
            f"causes claimed where nothing was found: {len(self.claimed)}, must be 0",
            f"faults blamed that changed nothing: {len(self.blamed)}, must be 0",
            *(f"  {text}" for text in (*self.claimed, *self.blamed)),
        ]


def alike(explanations: Iterable[Explanation]) -> list[list[Explanation]]:
    """Groups for one line of the table each: the same plant, finding and answer, in the order in which they come."""
    groups: dict[tuple[str, ...], list[Explanation]] = {}
    for each in explanations:
        key = (each.label, each.finding, each.first, each.certainty, each.problem)
        groups.setdefault(key, []).append(each)
    return list(groups.values())
