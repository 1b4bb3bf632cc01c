"""From what was measured to an outcome: of each SLO, of each finding, and of the run.

What was not measured decides nothing: where it could turn the outcome, the outcome is undecided. So it is where only
the rig's own delays make an SLO fail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from chatswarm.loadtests.scenario import slo
from chatswarm.loadtests.scenario.metric_names import QUANTILES, Outcome
from chatswarm.loadtests.system.units import human

from .checks import Found
from .checks.late import late_without
from .latency import Latencies
from .ledger import Ledger
from .metrics import MetricValues, Totals
from .recovery import recoveries_of
from .rig import Delays
from .verdict import Finding, Recovery, SloResult
from .windows import Window, window_of


@dataclass(frozen=True)
class DecisionInput:
    """Everything that a decision rests on. `delays` None: the rig was sound, and nothing is to be subtracted."""

    ledger: Ledger
    totals: Totals
    latencies: Latencies
    recoveries: Sequence[Recovery]
    answers: Mapping[str, Found]
    delays: Delays | None

    @cached_property
    def metrics(self) -> MetricValues:
        return MetricValues(self.totals, self.ledger, self.answers)

    @cached_property
    def without_delays(self) -> tuple[MetricValues, Latencies]:
        """What it would be without the rig's own delays."""
        latencies = Latencies(self.ledger, recoveries_of(self.ledger, self.delays), self.delays)
        return MetricValues(self.totals, self.ledger, self.answers, self.delays), latencies


def decide_slo(case: DecisionInput, expectation: slo.Slo) -> tuple[SloResult, str]:
    """An SLO's result, and why it is undecided; empty if it is not."""
    window = _window(case, expectation)
    if isinstance(window, str):
        return SloResult(expectation.expect, None, "undecided"), window
    outcome, actual, why = _judged(case, expectation, case.metrics, case.latencies, window)
    delayed = outcome == "fail" and case.delays is not None and any(map(_takes_time, expectation.metrics))
    if delayed and _judged(case, expectation, *case.without_delays, window).outcome != "fail":
        outcome, why = "undecided", "it fails, but would not without the load generator's own delays"
    return SloResult(expectation.expect, actual, outcome), why if outcome == "undecided" else ""


def _takes_time(metric: str) -> bool:
    """Whether the rig's own delays may make it worse."""
    return slo.is_latency(metric) or metric == "late"


def decide_finding(
    case: DecisionInput, name: str, slos: Sequence[slo.Slo], results: Sequence[SloResult]
) -> tuple[Finding | None, str]:
    """A finding, if there is one, and why it is undecided. It fails, unless an SLO names it, which then decides."""
    answer = case.answers[name]
    if answer.count is not None and not answer.count:
        return None, ""
    named = [result.outcome for result, expectation in zip(results, slos, strict=True) if name in expectation.metrics]
    outcome: Outcome = "undecided" if answer.count is None else "fail"
    why = ""
    if named and answer.count is not None:
        outcome = worst(named)
    elif name == "late" and (why := _excuse(case)):
        outcome = "undecided"
    return Finding(name, outcome, answer.count or 0, answer.examples), why


def _excuse(case: DecisionInput) -> str:
    """Why what was late may not be the target's doing; empty if some of it certainly is."""
    if case.delays is not None and not late_without(case.ledger, case.delays.seen).any():
        return "nothing would be late without the load generator's own delays"
    bound = case.ledger.clock_bound
    if bound and not late_without(case.ledger, np.full((1, 1), bound)).any():
        return f"nothing is by more than {human(bound)}, which is how sure the hosts' clocks are"
    return ""


def conclude(outcomes: Sequence[Outcome], *, doubted: bool) -> Outcome:
    """The outcome of the run: a fail before all, then what is undecided; a pass only if nothing speaks against it."""
    outcome = worst(outcomes)
    return "undecided" if outcome == "pass" and doubted else outcome


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """Fail before undecided before pass."""
    if "fail" in outcomes:
        return "fail"
    return "undecided" if "undecided" in outcomes else "pass"


def _window(case: DecisionInput, expectation: slo.Slo) -> Window | str | None:
    if expectation.window is None:
        return None
    kind, name = expectation.window
    whole_again = [
        float("nan") if recovery.stop is None or recovery.whole_again is None
        else case.ledger.start + recovery.stop + recovery.whole_again
        for recovery in case.recoveries
    ]  # fmt: skip
    return window_of(kind, name, case.ledger.evidence.faults, whole_again)


class _Judged(NamedTuple):
    outcome: Outcome
    actual: float | None
    why: str  # it is undecided


def _judged(
    case: DecisionInput, expectation: slo.Slo, metrics: MetricValues, latencies: Latencies, window: Window | None
) -> _Judged:
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
