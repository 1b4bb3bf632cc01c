"""Compares a verdict with what was planted, without I/O."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from chatswarm.loadtests.judge.verdict import FINDINGS
from tests.plants.plant import Count, Truth, most

from .catalogue import COMPANIONS, COUNTED, MEDIANS, TOLERANCE

NULL = -1
"""Stands for a count that is `null`, because it was not measured."""
_IN_DELIVERIES = ("lost", "gap", "late", "unnotified")
_COUNTED_ONLY = "recovered"
_FAILS_AS = {"gap": "lost"}


@dataclass
class Outcome:
    """The parts of a run that are compared. `problems` is empty if all is as planted."""

    label: str
    finding: str = ""  # the planted finding
    variant: str = "original"
    verdict: dict[str, Any] = field(default_factory=dict)  # empty if there is none
    medians: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    expected: dict[str, str] = field(default_factory=dict)  # by finding: its first cause, as a plant states it
    why: dict[str, Any] = field(default_factory=dict)  # what `chatswarm why` says; empty if nothing
    not_explained: str = ""  # why that is so
    under_fault: bool = False  # one that changes nothing
    seconds: float = 0.0
    folder: str = ""


def found_in(verdict: Mapping[str, Any]) -> dict[str, int]:
    """The counts of a verdict's findings that are not 0."""
    counts = {
        name: (verdict["deliveries"] if name in _IN_DELIVERIES else verdict["counts"])[name]
        for name in (*COUNTED, _COUNTED_ONLY)
    }
    return {name: NULL if count is None else count for name, count in counts.items() if count != 0}


def problems_of(
    finding: str, truth: Truth, verdict: Mapping[str, Any], exit_code: int,
    unmeasured: Collection[str] = (),
) -> list[str]:  # fmt: skip
    """Where a verdict differs from the planted `truth`. `finding` is the planted one; empty: none. The counts of
    `unmeasured` must be null.
    """
    found, planted = found_in(verdict), {**dict.fromkeys(unmeasured, NULL), **truth}
    problems = [
        f"{name}: {_shown(planted.get(name, 0))} planted, {_shown(found.get(name, 0))} found"
        for name in (*COUNTED, _COUNTED_ONLY)
        if not _agrees(planted.get(name, 0), found.get(name, 0))
    ]
    if finding and not most(truth.get(finding, 0)):
        problems.append(f"the plant caused no {finding}")
    listed = {entry["check"] for entry in verdict["findings"]}
    if listed != (found.keys() & set(FINDINGS)) - set(unmeasured):
        problems.append(f"counts: {sorted(found)}, but findings: {sorted(listed)}")
    failed = {entry["check"] for entry in verdict["findings"] if entry["outcome"] == "fail"}
    if stray := failed - {finding} - COMPANIONS.get(finding, set()):
        problems.append(f"{', '.join(sorted(stray))} failed beside {finding or 'nothing planted'}")
    if finding and _FAILS_AS.get(finding, finding) not in failed:
        problems.append(f"{finding} did not fail")
    if verdict["exit_code"] != exit_code:
        why = "; ".join([verdict["verdict"], *verdict["reasons"]])
        problems.append(f"expected exit code {exit_code}, got {verdict['exit_code']} ({why})")
    return problems


def outside_faults(truth: Truth) -> Truth:
    """The truth of a run with a fault that changes nothing: refused sends count only outside it."""
    return {name: range(1, most(count) + 1) if name == "refused" else count for name, count in truth.items()}


def _agrees(planted: Count, found: int) -> bool:
    return found in planted if isinstance(planted, range) else found == planted


def _shown(count: Count) -> str:
    if isinstance(count, range):
        return f"{count.start} to {count.stop - 1}"
    return "null" if count == NULL else str(count)


def medians_of(verdict: Mapping[str, Any], names: Sequence[str] = MEDIANS) -> dict[str, float]:
    """These medians of a run in seconds; infinite if there is none."""
    values = {name: verdict["latency"][name]["p50"] for name in names}
    return {name: float("inf") if value is None else value for name, value in values.items()}


def without_delay(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The medians without a delay, averaged over the runs."""
    return {name: fmean(run[name] for run in runs) for name in runs[0]}


def shifts(medians: Mapping[str, float], without: Mapping[str, float]) -> dict[str, float]:
    """How much each median has moved, in seconds."""
    return {name: medians[name] - moment for name, moment in without.items()}


def is_off(planted: float, measured: float) -> bool:
    """Whether a median's shift differs from the planted one."""
    least, share = TOLERANCE
    # `not <=`, so that infinity and NaN are off.
    return not abs(measured - planted) <= max(least, share * planted)


def wrong_shifts(moves: Mapping[str, float], measured: Mapping[str, float]) -> list[str]:
    """The medians whose shift differs from the planted one, which may be 0."""
    return [
        f"{name}: {moves.get(name, 0) * 1000:+.0f} ms planted, {shift * 1000:+.1f} ms measured"
        for name, shift in measured.items()
        if is_off(moves.get(name, 0), shift)
    ]
