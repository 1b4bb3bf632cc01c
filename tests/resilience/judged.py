"""Compares a verdict with the expected one. No I/O."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from chatswarm.loadtests.judge.verdict import FINDINGS

Kind = Literal["reference", "without", "clean", "unharmed"]
"""The reference backend; the broken counterpart; the clean chat; the counterpart without the fault."""

Start = Literal["run", "headless", "processes", "namespaces", "page"]
"""How a run is started: by `chatswarm run`; by `locust --headless`, without and with `--processes 2`; by a master with
two workers in another network namespace; from Locust's page."""

STARTS: tuple[Start, ...] = get_args(Start)

_EXIT_CODES = {"pass": 0, "fail": 1, "undecided": 3}
_COMPARISONS = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass
class Outcome:
    """One run. `problems` is empty if it ended as expected."""

    scenario: str
    kind: Kind
    label: str
    start: Start = "run"
    fault: str = ""
    verdict: dict[str, Any] = field(default_factory=dict)  # empty: no verdict
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    folder: str = ""


@dataclass(frozen=True)
class Ended:
    """What is left of a run."""

    code: int
    verdict: dict[str, Any]  # empty: there is none
    has_report: bool
    said: str  # on standard error


def problems_of_end(ended: Ended) -> list[str]:
    """What is missing after a run, whatever its verdict is."""
    if not ended.verdict:
        return [f"no verdict, exit code {ended.code}: {ended.said[-500:].strip()}"]
    problems = []
    outcome = ended.verdict["verdict"]
    if ended.code != _EXIT_CODES[outcome]:
        problems.append(f"expected exit code {_EXIT_CODES[outcome]} for {outcome}, got {ended.code}")
    if not ended.has_report:
        problems.append("expected report.html in the run's folder, got none")
    return problems


def problems_of(kind: Kind, shows: Mapping[str, str], verdict: Mapping[str, Any]) -> list[str]:
    """How a verdict differs from the expected one."""
    expected = "fail" if kind == "without" else "pass"
    if verdict["verdict"] != expected:
        return [f"{expected} expected, got {verdict['verdict']}", *why(verdict)]
    return unmet(shows, verdict) if kind == "without" else []


def unmet(shows: Mapping[str, str], verdict: Mapping[str, Any]) -> list[str]:
    """What is missing from a failing verdict."""
    problems = []
    for name, wanted in shows.items():
        if name == "slo":
            failed = [slo["expect"] for slo in verdict["slos"] if slo["outcome"] == "fail"]
            if not any(wanted in expect for expect in failed):
                problems.append(f"expected a failing SLO with {wanted!r} in it, got {', '.join(failed) or 'none'}")
            continue
        sign, number = wanted.split()
        got = figure(verdict, name)
        if got is None or not _COMPARISONS[sign](got, float(number)):
            problems.append(f"expected {name} {wanted}, got {'nothing' if got is None else f'{got:g}'}")
    return [*problems, *why(verdict)] if problems else []


def figure(verdict: Mapping[str, Any], name: str) -> float | None:
    """A finding's count, or the number at a dotted path. None: it was not measured, or does not exist."""
    if name in FINDINGS:
        value = {**verdict["counts"], **verdict["deliveries"]}[name]
        return None if value is None else float(value)
    found: Any = verdict
    for step in name.split("."):
        try:
            found = found[int(step)] if isinstance(found, list) else found[step]
        except (KeyError, IndexError, TypeError):
            return None
    return float(found) if isinstance(found, int | float) else None


def why(verdict: Mapping[str, Any]) -> list[str]:
    """Explains a verdict: its reasons, the findings and SLOs that did not pass, the rig's problems, the recoveries."""
    findings = [
        f"{finding['check']}: {finding['count']} ({finding['outcome']})"
        for finding in verdict["findings"]
        if finding["outcome"] != "pass"
    ]
    slos = [
        f"SLO {slo['expect']}: {slo['outcome']}, got {slo['actual']}"
        for slo in verdict["slos"]
        if slo["outcome"] != "pass"
    ]
    unsound = [f"rig: {reason}" for reason in verdict["rig"]["reasons"]]
    recoveries = [f"{one['name']}: {one['reason']}" for one in verdict["recoveries"] if one["reason"]]
    return [*verdict["reasons"], *findings, *slos, *unsound, *recoveries]
