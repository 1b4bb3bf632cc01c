"""From what was measured to an outcome: of each SLO, of each finding, and of the run.

What was not measured decides nothing: where it could turn the outcome, the outcome is undecided. So it is where only
the rig's own delays make an SLO fail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from . import slo
from .checks import CHECKS, Found
from .checks.late import late_without
from .latency import Latencies
from .ledger import Ledger
from .metric_names import QUANTILES, Outcome
from .metrics import Metrics
from .recovery import recoveries_of
from .rig import Delays
from .units import human
from .verdict import EXIT_CODES, Finding, SloResult, Verdict
from .windows import Window, window_of


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that a decision rests on. `delays` None: the rig was sound, and nothing is to be subtracted."""

    verdict: Verdict
    ledger: Ledger
    metrics: Metrics
    latencies: Latencies
    answers: dict[str, Found]
    delays: Delays | None


def decide_slos(case: Case, slos: Sequence[slo.Slo]) -> None:
    """Fills in the SLOs' results, and the reasons of those that are undecided."""
    without: tuple[Metrics, Latencies] | None = None
    for expectation in slos:
        window = _window(case, expectation)
        if isinstance(window, str):
            _add(case.verdict, expectation, None, "undecided", window)
            continue
        outcome, actual, why = _judged(case, expectation, case.metrics, case.latencies, window)
        if outcome == "fail" and case.delays is not None and any(map(_takes_time, expectation.metrics)):
            # It may only be the rig's own delays that fail it.
            without = without or _without(case, case.delays)
            if _judged(case, expectation, *without, window).outcome != "fail":
                outcome, why = "undecided", "it fails, but would not without the load generator's own delays"
        _add(case.verdict, expectation, actual, outcome, why)


def _takes_time(metric: str) -> bool:
    """Whether the rig's own delays may make it worse."""
    return slo.is_latency(metric) or metric == "late"


def _without(case: Case, delays: Delays) -> tuple[Metrics, Latencies]:
    """What it would be without the rig's own delays."""
    latencies = Latencies(case.ledger, recoveries_of(case.ledger, delays), delays)
    return Metrics(case.verdict, case.ledger, case.answers, delays), latencies


def decide_findings(case: Case, slos: Sequence[slo.Slo]) -> None:
    """Fills in the findings. Each with a count above 0 fails, unless an SLO names it, which then decides."""
    for name in CHECKS:
        answer = case.answers[name]
        if answer.count is not None and not answer.count:
            continue
        named = [
            result.outcome
            for result, expectation in zip(case.verdict.slos, slos, strict=True)
            if name in expectation.metrics
        ]
        outcome: Outcome = "undecided" if answer.count is None else "fail"
        if named and answer.count is not None:
            outcome = worst(named)
        elif name == "late" and (excuse := _excuse(case)):
            outcome = "undecided"
            case.verdict.reasons.append(f"late: {excuse}")
        case.verdict.findings.append(Finding(name, outcome, answer.count or 0, answer.examples))


def _excuse(case: Case) -> str:
    """Why what was late may not be the target's doing; empty if some of it certainly is."""
    if case.delays is not None and not late_without(case.ledger, case.delays.seen).any():
        return "nothing would be late without the load generator's own delays"
    bound = case.ledger.clock_bound
    if bound and not late_without(case.ledger, np.full((1, 1), bound)).any():
        return f"nothing is by more than {human(bound)}, which is how sure the hosts' clocks are"
    return ""


def conclude(verdict: Verdict) -> None:
    """The outcome of the run: a fail before all, then what is undecided; a pass only if nothing speaks against it."""
    outcome = worst([*(result.outcome for result in verdict.slos), *(finding.outcome for finding in verdict.findings)])
    if outcome == "pass" and (verdict.reasons or not verdict.rig.sound):
        outcome = "undecided"
    if not verdict.rig.sound and outcome == "undecided":
        verdict.reasons += [reason for reason in verdict.rig.reasons if reason not in verdict.reasons]
    verdict.verdict = outcome
    verdict.exit_code = EXIT_CODES[outcome]


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """Fail before undecided before pass."""
    if "fail" in outcomes:
        return "fail"
    return "undecided" if "undecided" in outcomes else "pass"


def _window(case: Case, expectation: slo.Slo) -> Window | str | None:
    if expectation.window is None:
        return None
    kind, name = expectation.window
    whole_again = [
        float("nan") if recovery.stop is None or recovery.whole_again is None
        else case.ledger.start + recovery.stop + recovery.whole_again
        for recovery in case.verdict.recoveries
    ]  # fmt: skip
    return window_of(kind, name, case.ledger.evidence.faults, whole_again)


class _Judged(NamedTuple):
    outcome: Outcome
    actual: float | None
    why: str  # it is undecided


def _judged(case: Case, expectation: slo.Slo, metrics: Metrics, latencies: Latencies, window: Window | None) -> _Judged:
    """Decided only if what was not measured could not change the outcome."""
    low, high = (metrics.lookup(latencies, side, window) for side in ("low", "high"))
    outcome, least = expectation.judge(low)
    other, most = expectation.judge(high)
    if outcome != other or expectation.crosses(low, high):
        return _Judged("undecided", None, "what was not measured could decide it either way")
    bound = case.ledger.clock_bound
    if bound and {expectation.judge(_shifted(low, by))[0] for by in (-bound, bound)} != {outcome}:
        return _Judged("undecided", None, f"it is within {human(bound)}, which is how sure the hosts' clocks are")
    why = ""
    if outcome == "undecided":
        unmeasured = [name for name in sorted(expectation.metrics) if high(name) is None]
        place = f" {window.kind} {window.name}" if window else ""
        why = f"{', '.join(unmeasured) or 'a part of it'} was not measured{place}"
    return _Judged(outcome, most if least == most else None, why)


def _shifted(lookup: slo.Lookup, by: float) -> slo.Lookup:
    """The metrics if the clocks of different hosts were `by` seconds further apart."""

    def value(name: str) -> float | None:
        found = lookup(name)
        kind, _, key = name.partition(".")
        # What one process measured alone has no part in it.
        alone = kind in ("accepted", "refetch", "connect") or key not in QUANTILES
        return found if found is None or alone else found + by

    return value


def _add(verdict: Verdict, expectation: slo.Slo, actual: float | None, outcome: Outcome, why: str) -> None:
    verdict.slos.append(SloResult(expectation.expect, actual, outcome))
    if outcome == "undecided":
        verdict.reasons.append(f"{expectation.expect}: {why}")
