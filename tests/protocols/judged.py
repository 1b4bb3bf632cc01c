"""Compares a verdict with what a row expects. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.resilience.judged import Ended, figure, problems_of_end, unmet, why

from .catalogue import Row


@dataclass
class Outcome:
    """One run. `problems` is empty if it ended as expected."""

    row: Row
    version: str = ""
    verdict: dict[str, Any] = field(default_factory=dict)  # empty: no verdict
    problems: list[str] = field(default_factory=list)
    skipped: str = ""
    """Why there was none."""
    seconds: float = 0.0
    folder: str = ""


def problems_of(row: Row, ended: Ended) -> list[str]:
    """How a run differs from the expected one."""
    problems = problems_of_end(ended)
    return [*problems, *_differences(row, ended.verdict)] if ended.verdict else problems


def _differences(row: Row, verdict: Mapping[str, Any]) -> list[str]:
    wanted = "pass" if row.expected == "only gap" else row.expected
    if verdict["verdict"] != wanted:
        return [f"{wanted} expected, got {verdict['verdict']}", *why(verdict)]
    differences = unmet(row.shows, verdict)
    found = found_in(verdict)
    if found != set(row.findings):
        differences += [f"expected the findings {_named(row.findings)}, got {_named(found)}", *why(verdict)]
    tenths = verdict["messages"]["accepted"] // 10
    for name, times in row.each_tenth.items():
        if (count := figure(verdict, name)) != tenths * times:
            differences.append(f"expected {name} = {times} for each of {tenths} tenth messages, got {count}")
    return differences


def found_in(verdict: Mapping[str, Any]) -> set[str]:
    """The findings that failed the run."""
    return {finding["check"] for finding in verdict["findings"] if finding["outcome"] == "fail"}


def _named(findings: object) -> str:
    return ", ".join(sorted(findings)) if isinstance(findings, (set, tuple)) and findings else "none"
