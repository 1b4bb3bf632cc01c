"""Compares what a verdict says with what was planted. Values in, sentences out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chatswarm.loadtests.verdict import FINDINGS

from .catalogue import COMPANIONS, MEDIANS, TOLERANCE

_IN_DELIVERIES = ("lost", "late", "unnotified")
_COUNTED_ONLY = "recovered"


@dataclass
class Outcome:
    """One run, as far as it is compared. `problems` are empty if all is as it must be."""

    label: str
    finding: str = ""  # that was planted
    ids: bool = False
    verdict: dict[str, Any] = field(default_factory=dict)  # empty: there was none
    medians: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def found_in(verdict: Mapping[str, Any]) -> dict[str, int]:
    """How often a verdict makes each finding, without those that it does not make. -1: it could not look."""
    counts = {
        name: (verdict["deliveries"] if name in _IN_DELIVERIES else verdict["counts"])[name]
        for name in (*FINDINGS, _COUNTED_ONLY)
    }
    return {name: -1 if count is None else count for name, count in counts.items() if count != 0}


def problems_of(finding: str, truth: Mapping[str, int], verdict: Mapping[str, Any], exit_code: int) -> list[str]:
    """What of a verdict is not as the planted `truth` says, to the one. `finding` is the planted one; empty: none."""
    problems = []
    found = found_in(verdict)
    if finding and not truth.get(finding):
        problems.append(f"the plant did not break anything that is {finding}")
    for name in (*FINDINGS, _COUNTED_ONLY):
        if found.get(name, 0) != truth.get(name, 0):
            problems.append(f"{name}: {truth.get(name, 0)} planted, {found.get(name, 0)} found")
    listed = {entry["check"] for entry in verdict["findings"]}
    if listed != found.keys() - {_COUNTED_ONLY}:
        problems.append(f"counted are {sorted(found)}, but the findings are {sorted(listed)}")
    failed = {entry["check"] for entry in verdict["findings"] if entry["outcome"] == "fail"}
    if stray := failed - {finding} - COMPANIONS.get(finding, set()):
        problems.append(f"failed are {', '.join(sorted(stray))} beside {finding or 'nothing planted'}")
    if finding and finding not in failed:
        problems.append(f"{finding} did not fail")
    if verdict["exit_code"] != exit_code:
        why = "; ".join([verdict["verdict"], *verdict["reasons"]])
        problems.append(f"exit code {exit_code} expected, got {verdict['exit_code']} ({why})")
    return problems


def medians_of(verdict: Mapping[str, Any]) -> dict[str, float]:
    """The medians of a run in seconds; infinite where there is none."""
    values = {name: verdict["latency"][name]["p50"] for name in MEDIANS}
    return {name: float("inf") if value is None else value for name, value in values.items()}


def shifts(medians: Mapping[str, float], without: Mapping[str, float]) -> dict[str, float]:
    """By how much each median has moved, in seconds."""
    return {name: medians[name] - without[name] for name in MEDIANS}


def misplaced_delays(moves: Mapping[str, float], measured: Mapping[str, float]) -> list[str]:
    """Which medians have moved by another time than was planted, or were to stay and did not."""
    least, share = TOLERANCE
    return [
        f"{name}: {moves.get(name, 0) * 1000:+.0f} ms planted, {shift * 1000:+.1f} ms measured"
        for name, shift in measured.items()
        if abs(shift - moves.get(name, 0)) > max(least, share * moves.get(name, 0))
    ]
