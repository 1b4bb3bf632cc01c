"""Decides the outcome of each SLO, each finding and the run from what was measured.

An outcome is undecided if what was not measured could change it, or if an SLO fails only because of the rig's own
delays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from chatswarm.loadtests.scenario import slo
from chatswarm.loadtests.scenario.metric_names import QUANTILES, Outcome
from chatswarm.loadtests.system.units import human

from .checks import CheckResult
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
    """Everything that a decision depends on. `delays` None: the rig was sound, so nothing is subtracted."""

    ledger: Ledger
    totals: Totals
    latencies: Latencies
    recoveries: Sequence[Recovery]
    results: Mapping[str, CheckResult]
    delays: Delays | None

    @cached_property
    def metrics(self) -> MetricValues:
        return MetricValues(self.totals, self.ledger, self.results)

    @cached_property
    def without_delays(self) -> tuple[MetricValues, Latencies]:
        """The metrics and latencies without the rig's own delays."""
        recoveries = recoveries_of(self.ledger, self.delays)
        latencies = Latencies(self.ledger, recoveries, self.delays, self.latencies)
        return MetricValues(self.totals, self.ledger, self.results, self.delays), latencies


def decide_slo(case: DecisionInput, expectation: slo.Slo) -> tuple[SloResult, str]:
    """An SLO's result, and why it is undecided; empty if it is decided."""
    window = _window(case, expectation)
    if isinstance(window, str):
        return SloResult(expectation.expect, None, "undecided"), window
    outcome, actual, why = _decide(case, expectation, case.metrics, case.latencies, window)
    if window is not None and (bound := case.ledger.fault_bound):
        edges = [_decide(case, expectation, case.metrics, case.latencies, window.widened(by)) for by in (-bound, bound)]
        if {edge.outcome for edge in edges} != {outcome}:
            outcome, actual = "undecided", None
            why = why or f"something is within {human(bound)} of the fault's edge, the uncertainty of the hosts' clocks"
    delayed = outcome == "fail" and case.delays is not None and any(map(_takes_time, expectation.metrics))
    if delayed and _decide(case, expectation, *case.without_delays, window).outcome != "fail":
        outcome, why = "undecided", "it fails, but would not without the load generator's own delays"
    return SloResult(expectation.expect, actual, outcome), why if outcome == "undecided" else ""


def _takes_time(metric: str) -> bool:
    """Whether the rig's own delays can worsen the metric."""
    return slo.is_latency(metric) or metric == "late"


def decide_finding(
    case: DecisionInput, name: str, slos: Sequence[slo.Slo], slo_results: Sequence[SloResult]
) -> tuple[Finding | None, str]:
    """A finding, if there is one, and why it is undecided. It fails, unless an SLO names it: then the SLO decides."""
    result = case.results[name]
    if result.count == 0 or not result.applies:
        return None, ""
    named = [
        slo_result.outcome
        for slo_result, expectation in zip(slo_results, slos, strict=True)
        if name in expectation.metrics
    ]
    outcome: Outcome = "undecided" if result.count is None else "fail"
    why = ""
    if named and result.count is not None:
        outcome = worst(named)
    elif name == "late" and (why := _excuse(case)):
        outcome = "undecided"
    return Finding(name, outcome, result.count or 0, result.examples), why


def _excuse(case: DecisionInput) -> str:
    """Why late deliveries may not be the target's doing; empty if at least one certainly is."""
    if case.delays is not None and not late_without(case.ledger, case.delays.seen).any():
        return "nothing would be late without the load generator's own delays"
    bound = case.ledger.clock_bound
    if bound and not late_without(case.ledger, np.full(1, bound)).any():
        return f"nothing is late by more than {human(bound)}, the uncertainty of the hosts' clocks"
    return ""


def conclude(outcomes: Sequence[Outcome], *, doubted: bool) -> Outcome:
    """The outcome of the run: fail, else undecided, else pass; a pass that is `doubted` is undecided."""
    outcome = worst(outcomes)
    return "undecided" if outcome == "pass" and doubted else outcome


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """Fail before undecided before pass."""
    if "fail" in outcomes:
        return "fail"
    return "undecided" if "undecided" in outcomes else "pass"


_ROUNDED = 1e-6
"""How far two figures that were rounded to the microsecond may be off together. The last message that missed its target
ends a recovery, and belongs to it.
"""


def _window(case: DecisionInput, expectation: slo.Slo) -> Window | str | None:
    if expectation.window is None:
        return None
    kind, name = expectation.window
    whole_again = [
        float("nan") if recovery.stop is None or recovery.whole_again is None
        else case.ledger.start + recovery.stop + recovery.whole_again + _ROUNDED
        for recovery in case.recoveries
    ]  # fmt: skip
    return window_of(kind, name, case.ledger.observations.faults, whole_again)


class _SloDecision(NamedTuple):
    outcome: Outcome
    actual: float | None
    why: str  # why it is undecided


def _decide(
    case: DecisionInput, expectation: slo.Slo, metrics: MetricValues, latencies: Latencies, window: Window | None
) -> _SloDecision:
    """Undecided if what was not measured could change the outcome."""
    low, high = (metrics.lookup(latencies, side, window) for side in ("low", "high"))
    outcome, at_low = expectation.judge(low)
    other, at_high = expectation.judge(high)
    if outcome != other or expectation.crosses(low, high):
        return _SloDecision("undecided", None, "what was not measured could decide it either way")
    bound = case.ledger.clock_bound
    if bound and {expectation.judge(_shifted(low, by))[0] for by in (-bound, bound)} != {outcome}:
        return _SloDecision(
            "undecided", None, f"it is within {human(bound)} of the limit, the uncertainty of the hosts' clocks"
        )
    why = ""
    if outcome == "undecided":
        unmeasured = [name for name in sorted(expectation.metrics) if high(name) is None]
        where = f" {window.kind} {window.name}" if window else ""
        why = f"{', '.join(unmeasured) or 'a part of it'} was not measured{where}"
    return _SloDecision(outcome, at_high if at_low == at_high else None, why)


def _shifted(lookup: slo.Lookup, by: float) -> slo.Lookup:
    """The metrics if the hosts' clocks were another `by` seconds apart."""

    def value(name: str) -> float | None:
        found = lookup(name)
        kind, _, key = name.partition(".")
        # A metric that one process measures alone is unaffected.
        alone = kind in ("accepted", "refetch", "connect") or key not in QUANTILES
        return found if found is None or alone else found + by

    return value
