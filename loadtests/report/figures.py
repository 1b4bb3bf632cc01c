"""The figures of a report, as plain values computed from a judged run. All reports show these, and nothing else.

Figures of `verdict.json` are taken from the verdict unchanged; the ledger adds what varies over time.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from chatswarm.loadtests.history.folders import SCENARIO
from chatswarm.loadtests.judge.checks import CHECKS
from chatswarm.loadtests.judge.explanation import FindingCauses
from chatswarm.loadtests.judge.judge import Judged
from chatswarm.loadtests.judge.latency import Latencies
from chatswarm.loadtests.judge.rig import LAG_SHARE, tightest
from chatswarm.loadtests.judge.verdict import Counts, Example, Verdict
from chatswarm.loadtests.scenario.metric_names import Outcome
from chatswarm.loadtests.system.text import command_line

from . import wording
from .latency_parts import LatencyBreakdown, breakdowns_of
from .timeline import ProcessLag, Span, Usage, lags_of, spans_of, usages_of

CURVES = ("visible", "notified", "accepted", "refetch")
FAN_OUT = ("first_dashboard", "median_dashboard", "last_dashboard")
_UNMEASURED = "not measured: this chat cannot tell"
_STEP = 0.1  # of a nine, between two points of a curve


@dataclass(frozen=True, slots=True)
class ReportCase:
    """One test case: an SLO, a check, or whether the run can be trusted."""

    kind: Literal["slo", "finding", "run"]
    name: str
    outcome: Outcome
    actual: str
    meaning: str = ""
    why: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    cause: str = ""  # of a finding: why, in a sentence
    skipped: str = ""  # why it does not count, such as a question that this kind of chat cannot answer


@dataclass(frozen=True, slots=True)
class Curve:
    """A latency by percentile: pairs of a share below 1 and its exact quantile in seconds; infinite means never."""

    name: str
    points: tuple[tuple[float, float], ...]
    count: int
    max: float


@dataclass(frozen=True, slots=True)
class ReportFigures:
    """All figures of a report. Without a ledger, everything over time is empty."""

    verdict: Verdict
    cases: tuple[ReportCase, ...]
    repeat: str  # the command that repeats the run
    target: float  # seconds: the update target
    lag_limit: float  # seconds: highest allowed p99 of the rig's loop lag
    notes: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    lags: tuple[ProcessLag, ...] = ()
    usages: tuple[Usage, ...] = ()
    curves: tuple[Curve, ...] = ()
    fan_out: tuple[Curve, ...] = ()
    breakdowns: tuple[LatencyBreakdown, ...] = ()
    causes: Mapping[str, FindingCauses] = field(default_factory=dict)  # by finding


def figures_of(run: Judged, notes: tuple[str, ...] = ()) -> ReportFigures:
    """The figures of a judged run. `notes` are shown beside the verdict."""
    ledger, latencies = run.ledger, run.latencies
    target = run.scenario.update_target
    figures = ReportFigures(
        verdict=run.verdict,
        cases=cases_of(run),
        repeat=repeat_of(run),
        target=target,
        lag_limit=tightest(run.slos, target) * LAG_SHARE,
        notes=notes,
        causes=run.causes,
    )
    if ledger is None or latencies is None:
        return figures
    return replace(
        figures,
        spans=tuple(spans_of(ledger)),
        lags=tuple(lags_of(ledger)),
        usages=tuple(usages_of(ledger)),
        curves=_curves(latencies, CURVES),
        fan_out=_curves(latencies, FAN_OUT),
        breakdowns=tuple(breakdowns_of(ledger)),
    )


def cases_of(run: Judged) -> tuple[ReportCase, ...]:
    """A case for every SLO, for every check, and for whether the run can be trusted.

    The verdict is fail if and only if a case fails, and undecided if and only if none fails and one is undecided.
    """
    verdict = run.verdict
    cases = [
        ReportCase(
            "slo", result.expect, result.outcome, wording.actual(result), why=_reasons_of(verdict, result.expect)
        )
        for result in verdict.slos
    ]
    found = {finding.check: finding for finding in verdict.findings}
    for name in CHECKS:
        meaning = wording.MEANINGS[name]
        if (finding := found.get(name)) is not None:
            # A check that could not decide has no count: 0 would be made up.
            unknown = finding.outcome == "undecided" and not finding.count
            actual = "not measured" if unknown else f"{finding.count:,}"
            why = _reasons_of(verdict, name)
            examples = tuple(finding.examples)
            cases.append(
                ReportCase("finding", name, finding.outcome, actual, meaning, why, examples, cause=finding.cause)
            )
        elif run.ledger is None:
            cases.append(
                ReportCase("finding", name, "undecided", "not measured", meaning, ("nothing could be judged",))
            )
        elif _figure(verdict, name) is None:
            cases.append(ReportCase("finding", name, "pass", "not measured", meaning, skipped=_UNMEASURED))
        else:
            cases.append(ReportCase("finding", name, "pass", "0", meaning))
    doubts = tuple(dict.fromkeys([*verdict.reasons, *verdict.rig.reasons]))
    trusted: Outcome = "undecided" if doubts or not verdict.rig.sound else "pass"
    cases.append(ReportCase("run", "the run can be trusted", trusted, "no" if doubts else "yes", why=doubts))
    return tuple(cases)


def _figure(verdict: Verdict, name: str) -> int | None:
    """The count of a finding; None: not measured."""
    of = verdict.counts if name in Counts.__struct_fields__ else verdict.deliveries
    value: int | None = getattr(of, name)
    return value


def _reasons_of(verdict: Verdict, name: str) -> tuple[str, ...]:
    return tuple(reason for reason in verdict.reasons if reason.startswith((f"{name}: ", f"the check {name} ")))


def repeat_of(run: Judged) -> str:
    """The command that repeats the run: resolved scenario, same seed, same number of processes."""
    manifest = run.manifest
    if manifest.command:
        return command_line(manifest.command)
    command = ["chatswarm", "run", f"{run.verdict.folder or '.'}/{SCENARIO}", "--target", manifest.target]
    command += ["--protocol", manifest.protocol, "--seed", str(manifest.seed)]
    return command_line([*command, "--processes", str(max(1, len(manifest.with_users)))])


def _curves(latencies: Latencies, names: tuple[str, ...]) -> tuple[Curve, ...]:
    curves = []
    for name in names:
        values = latencies.sample(name).values
        if not len(values):
            continue
        # Up to the last share below the maximum.
        shares = 1 - 10.0 ** -np.arange(0.0, math.log10(len(values)) + 1e-9, _STEP)
        shares = np.union1d(shares, [share for share in (0.5, 0.95, 0.99, 0.999) if share <= 1 - 1 / len(values)])
        ranks = np.maximum(1, np.ceil(shares * len(values) - 1e-9)).astype(np.int64) - 1
        points = tuple(zip(shares.tolist(), values[ranks].tolist(), strict=True))
        curves.append(Curve(name, points, len(values), float(values[-1])))
    return tuple(curves)
