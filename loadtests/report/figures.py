"""What a report shows: plain values from a judged run. Every report shows these, and nothing that is not here.

Whatever stands in `verdict.json` is taken from the verdict as it is; the ledger adds what changes over time.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from chatswarm.loadtests.history.folders import SCENARIO
from chatswarm.loadtests.history.manifest import NEMESIS, PROXY
from chatswarm.loadtests.judge.checks import CHECKS
from chatswarm.loadtests.judge.judge import Judged
from chatswarm.loadtests.judge.latency import Latencies
from chatswarm.loadtests.judge.rig import LAG_SHARE, tightest
from chatswarm.loadtests.judge.verdict import Example, Verdict
from chatswarm.loadtests.scenario.metric_names import Outcome
from chatswarm.loadtests.system.text import command_line

from . import wording
from .latency_parts import Shares, shares_of
from .timeline import ProcessLag, Span, lags_of, spans_of

CURVES = ("visible", "notified", "accepted", "refetch")
FAN_OUT = ("first_dashboard", "median_dashboard", "last_dashboard")
_STEP = 0.1  # of a nine


@dataclass(frozen=True, slots=True)
class ReportCase:
    """One question that the run was asked: an SLO, a finding, or whether it can be trusted."""

    kind: Literal["slo", "finding", "run"]
    name: str
    outcome: Outcome
    actual: str
    meaning: str = ""
    why: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Curve:
    """A latency by percentile: pairs of a share below 1 and its exact quantile in seconds, infinite for never."""

    name: str
    points: tuple[tuple[float, float], ...]
    count: int
    max: float


@dataclass(frozen=True, slots=True)
class ReportFigures:
    """All of it. Without a ledger there is nothing over time."""

    verdict: Verdict
    cases: tuple[ReportCase, ...]
    repeat: str  # the command
    target: float  # seconds: the update target
    lag_limit: float  # seconds that the rig's loops may lag, at the 99th percentile
    notes: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    lags: tuple[ProcessLag, ...] = ()
    curves: tuple[Curve, ...] = ()
    fan_out: tuple[Curve, ...] = ()
    shares: tuple[Shares, ...] = ()


def figures_of(run: Judged, notes: tuple[str, ...] = ()) -> ReportFigures:
    """What is to be shown of a run. `notes` are for its reader, beside the verdict."""
    ledger, latencies = run.ledger, run.latencies
    target = run.scenario.update_target
    figures = ReportFigures(
        run.verdict, cases_of(run), repeat_of(run), target, tightest(run.slos, target) * LAG_SHARE, notes
    )
    if ledger is None or latencies is None:
        return figures
    return replace(
        figures,
        spans=tuple(spans_of(ledger)),
        lags=tuple(lags_of(ledger)),
        curves=_curves(latencies, CURVES),
        fan_out=_curves(latencies, FAN_OUT),
        shares=tuple(shares_of(ledger)),
    )


def cases_of(run: Judged) -> tuple[ReportCase, ...]:
    """Every SLO, every finding that there can be, and whether the run can be trusted.

    Some case fails exactly if the verdict is fail; none fails, and some is undecided, exactly if it is undecided.
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
            # A check without an answer is undecided, and a count of 0 would be made up.
            unasked = finding.outcome == "undecided" and not finding.count
            actual = "not measured" if unasked else f"{finding.count:,}"
            why = _reasons_of(verdict, name)
            cases.append(ReportCase("finding", name, finding.outcome, actual, meaning, why, tuple(finding.examples)))
        elif run.ledger is None:
            cases.append(
                ReportCase("finding", name, "undecided", "not measured", meaning, ("nothing could be judged",))
            )
        else:
            cases.append(ReportCase("finding", name, "pass", "0", meaning))
    doubts = tuple(dict.fromkeys([*verdict.reasons, *verdict.rig.reasons]))
    trusted: Outcome = "undecided" if doubts or not verdict.rig.sound else "pass"
    cases.append(ReportCase("run", "the run can be trusted", trusted, "no" if doubts else "yes", why=doubts))
    return tuple(cases)


def _reasons_of(verdict: Verdict, name: str) -> tuple[str, ...]:
    return tuple(reason for reason in verdict.reasons if reason.startswith((f"{name}: ", f"the check {name} ")))


def repeat_of(run: Judged) -> str:
    """The command that runs the same again: the resolved scenario, the same seed, the same number of processes."""
    manifest = run.manifest
    if manifest.command:
        return command_line(manifest.command)
    command = ["chatswarm", "run", f"{run.verdict.folder or '.'}/{SCENARIO}", "--target", manifest.target]
    command += ["--protocol", manifest.protocol, "--seed", str(manifest.seed)]
    swarm = [name for name in manifest.processes if name not in (NEMESIS, PROXY)]
    return command_line([*command, "--processes", str(max(1, len(swarm)))])


def _curves(latencies: Latencies, names: tuple[str, ...]) -> tuple[Curve, ...]:
    curves = []
    for name in names:
        values = latencies.sample(name).values
        if not len(values):
            continue
        # Up to the share at which the next rank is the maximum.
        shares = 1 - 10.0 ** -np.arange(0.0, math.log10(len(values)) + 1e-9, _STEP)
        shares = np.union1d(shares, [share for share in (0.5, 0.95, 0.99, 0.999) if share <= 1 - 1 / len(values)])
        ranks = np.maximum(1, np.ceil(shares * len(values) - 1e-9)).astype(np.int64) - 1
        points = tuple(zip(shares.tolist(), values[ranks].tolist(), strict=True))
        curves.append(Curve(name, points, len(values), float(values[-1])))
    return tuple(curves)
