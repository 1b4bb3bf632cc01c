"""From a run's folder to its verdict. Reads only the history, so a run can be judged anew as often as one likes.

Whatever could not be measured makes the verdict undecided, with the reason; it is never a pass.
"""

import tomllib
import traceback
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from . import latency, slo
from .checks import CHECKS, COUNTS, Check, Found
from .checks.late import late_without
from .history.manifest import MANIFEST, Manifest, read_manifest
from .history.schema import SendOutcome
from .ledger import Ledger, build, gather
from .rig import UNREADABLE, Delays, soundness, troubles
from .scenario import Scenario, ScenarioError
from .scenario import parse as parse_scenario
from .verdict import (
    EXIT_CODES,
    QUANTILES,
    Counts,
    Deliveries,
    ExitCode,
    Finding,
    Frames,
    Latency,
    Messages,
    Outcome,
    Rig,
    SloResult,
    Verdict,
    metric,
)

VERDICT = "verdict.json"
SCENARIO = "scenario.toml"


class NoRunError(ValueError):
    """The folder holds no run that could be judged. The text says what is missing."""


class InternalError(AssertionError):
    """The judge contradicts itself: a balance does not add up. Never the target's fault."""


def judge(folder: Path, slos: Sequence[str] | None = None) -> Verdict:
    """The verdict over the run in `folder`; `slos` replace the scenario's.

    Raises NoRunError if there is no manifest or scenario, and slo.SloError. Everything else ends in a verdict: exit
    code 70 says that the judge itself failed.
    """
    manifest, scenario = read_run(folder)
    expectations = scenario.slos if slos is None else tuple(slo.parse(text) for text in slos)
    for expectation in expectations:
        if expectation.window is not None:
            raise slo.SloError(
                f"{expectation.expect!r}: expected a fault of this run after {expectation.window[0]}, "
                f"got {expectation.window[1]!r} (there were no faults)"
            )
    verdict = _blank(folder, manifest, scenario)
    try:
        _fill(verdict, folder, manifest, scenario, expectations)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not look like the target's failure, or like a pass
        place = traceback.extract_tb(error.__traceback__)[-1]
        verdict.reasons.insert(
            0, f"internal error: {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
        )
        verdict.verdict = "undecided"
        verdict.exit_code = ExitCode.INTERNAL
    return verdict


def write_verdict(folder: Path, verdict: Verdict) -> Path:
    """Writes `verdict.json` into `folder` in one step, and returns its path."""
    path = folder / VERDICT
    new = folder / (VERDICT + ".new")
    new.write_bytes(verdict.json())
    new.replace(path)
    return path


def read_run(folder: Path) -> tuple[Manifest, Scenario]:
    """What was run in `folder`. Raises NoRunError."""
    path = folder / MANIFEST
    try:
        manifest = read_manifest(folder)
        path = folder / SCENARIO
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return manifest, parse_scenario(table, manifest.scenario, str(path))
    except FileNotFoundError:
        raise NoRunError(f"{folder}: expected the folder of a run, got no {path.name} in it") from None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise NoRunError(f"{path}: expected a readable file, got: {error}") from None
    except ScenarioError as error:
        raise NoRunError(f"{path}: expected the scenario of a run, got problems with it:\n{error}") from None


def _blank(folder: Path, manifest: Manifest, scenario: Scenario) -> Verdict:
    return Verdict(
        verdict="undecided",
        exit_code=ExitCode.UNDECIDED,
        scenario=manifest.scenario,
        target=manifest.target,
        seed=manifest.seed,
        started=manifest.started,
        seconds=0.0,
        dashboards=scenario.dashboards,
        widgets=scenario.widgets,
        messages=Messages(),
        deliveries=Deliveries(),
        frames=Frames(),
        counts=Counts(),
        latency=Latency(),
        slos=[],
        rig=Rig(reasons=[]),
        faults=[],
        findings=[],
        reasons=[],
        folder=str(folder),
    )


def _fill(verdict: Verdict, folder: Path, manifest: Manifest, scenario: Scenario, slos: Sequence[slo.Slo]) -> None:
    evidence = gather(folder, manifest)
    verdict.reasons += evidence.reasons
    if not manifest.ended:
        verdict.reasons.append("the run did not end properly: not every process said that its history is complete")
    if manifest.start is None:
        verdict.reasons.append("the measured part never began: not all dashboards subscribed, or the run was stopped")
        verdict.rig.reasons = troubles(evidence, manifest)
        verdict.rig.sound = not verdict.rig.reasons
        verdict.slos = [SloResult(expectation.expect, None, "undecided") for expectation in slos]
        return
    end = manifest.end if manifest.end is not None else manifest.start + scenario.duration
    ledger = build(evidence, manifest, scenario, manifest.start, end)
    verdict.reasons += [reason for reason in evidence.reasons if reason not in verdict.reasons]
    verdict.seconds = end - manifest.start
    _count(verdict, ledger)
    verdict.reasons += _gaps(verdict, ledger)
    verdict.rig = soundness(ledger, slos)

    found = latency.samples(ledger)
    verdict.latency = latency.table(found)
    answers = {name: _ask(name, check, ledger, verdict.reasons) for name, check in {**CHECKS, **COUNTS}.items()}
    _record(verdict, answers)
    _balance(verdict, ledger)

    delays = None if verdict.rig.sound else Delays(ledger)
    _decide_slos(verdict, ledger, slos, found, delays)
    _decide_findings(verdict, ledger, slos, answers, delays)
    _conclude(verdict)


def _ask(name: str, check: Check, ledger: Ledger, reasons: list[str]) -> Found:
    try:
        return check(ledger)
    except Exception as error:  # noqa: BLE001 - a check that crashed is undecided, and the others still count
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        reasons.append(f"the check {name} crashed: {type(error).__name__}: {error} ({where})")
        return Found(None)


def _count(verdict: Verdict, ledger: Ledger) -> None:
    messages, announced = ledger.messages, ledger.announced
    verdict.messages = Messages(
        intended=int(ledger.intended.sum()),
        sent=len(messages),
        accepted=int(messages.accepted.sum()),
        rejected=int((messages.outcome == SendOutcome.REJECTED).sum()),
        unknown=int((messages.outcome == SendOutcome.UNKNOWN).sum()),
    )
    delivered = ledger.delivered
    measured = ledger.announced.notified[ledger.expected]
    verdict.deliveries = Deliveries(
        expected=int(ledger.expected.sum()),
        visible=int(delivered.sum()),
        lost=int(ledger.lost.sum()),
        excused=int(ledger.excused.sum()),
        unproven=int(ledger.unproven.sum()),
        notified=None if np.isnan(measured).any() else int(np.isfinite(measured).sum()),
        seen_as_text=int((delivered & ledger.sight.as_text).sum()),
    )
    balance = announced.balance
    verdict.frames = Frames(balance.due, balance.received, balance.matched, balance.missed, balance.extra)


def _gaps(verdict: Verdict, ledger: Ledger) -> list[str]:
    """Why less was measured than planned."""
    reasons: list[str] = []
    if ledger.manifest.cut_short:
        reasons.append(f"the run was cut short: {ledger.manifest.cut_short}")
    widget = ledger.messages.widget
    widgets = max(len(ledger.intended), int(widget.max(initial=-1)) + 1)
    sent = np.bincount(widget, minlength=widgets)
    intended = np.append(ledger.intended, np.zeros(widgets - len(ledger.intended), np.int64))
    missing, extra = int(np.maximum(0, intended - sent).sum()), int(np.maximum(0, sent - intended).sum())
    if missing and not ledger.manifest.cut_short:
        reasons.append(
            f"{missing} of {intended.sum()} messages of the schedule were never sent: "
            "the load generator did not keep up"
        )
    if extra and not ledger.manifest.cut_short:
        reasons.append(f"{extra} messages were sent that the schedule does not have: the load generator is at fault")
    reasons += [
        f"an answer could not be read: {detail}" for _, kind, detail in ledger.evidence.troubles if kind == UNREADABLE
    ]
    if not verdict.messages.accepted:
        reasons.append("no message was accepted: there is nothing to judge")
    unread = np.flatnonzero((ledger.evidence.chat_widget >= 0) & ~ledger.copies.read)
    if len(unread):
        chat = int(unread[0])
        status, detail = int(ledger.evidence.finals.status[chat]), ledger.evidence.finals.detail.get(chat, "")
        why = "there was none" if status == -1 and not detail else f"status {status}{', ' + detail if detail else ''}"
        reasons.append(
            f"the final read of {len(unread)} chats failed, so losses in them cannot be proven "
            f"(chat {ledger.chat(chat)}: {why})"
        )
    if verdict.deliveries.unproven:
        reasons.append(f"{verdict.deliveries.unproven} deliveries were neither seen nor provably lost")
    return reasons


def _record(verdict: Verdict, answers: dict[str, Found]) -> None:
    for name, answer in answers.items():
        if name in Counts.__struct_fields__:
            setattr(verdict.counts, name, answer.count)
    verdict.deliveries.unnotified = answers["unnotified"].count
    verdict.deliveries.late = answers["late"].count or 0


def _balance(verdict: Verdict, ledger: Ledger) -> None:
    """Raises InternalError if what was counted apart does not add up."""
    found, frames = verdict.deliveries, ledger.announced.balance
    parts = found.visible + found.lost + found.excused + found.unproven
    if found.expected != parts:
        raise InternalError(f"deliveries: {found.expected} expected, but visible + lost + excused + unproven = {parts}")
    if frames.due != frames.matched + frames.missed:
        raise InternalError(f"frames: {frames.due} due, but matched + missed = {frames.matched + frames.missed}")
    if frames.received != frames.matched + frames.extra:
        raise InternalError(
            f"frames: {frames.received} received, but matched + extra = {frames.matched + frames.extra}"
        )


class _Metrics:
    """The metrics of a verdict, at the lower or the upper end of what is possible where something was not measured."""

    def __init__(self, verdict: Verdict, ledger: Ledger, found: dict[str, latency.Sample], side: latency.Side) -> None:
        self._verdict, self._found, self._side = verdict, found, side
        notified = ledger.announced.notified[ledger.expected]
        known = int(np.isfinite(notified).sum())
        unmeasured = int(np.isnan(notified).sum())
        self._notified = known if side == "low" else known + unmeasured - ledger.announced.not_notified

    def __call__(self, name: str) -> float | None:
        kind, dot, key = name.partition(".")
        if dot and key in QUANTILES:
            return self._found[kind].quantile(QUANTILES[key], self._side)
        if dot:
            return float(len(self._found[kind].values))
        if name == "notified":
            return float(self._notified)
        return metric(self._verdict, name)


def _decide_slos(
    verdict: Verdict,
    ledger: Ledger,
    slos: Sequence[slo.Slo],
    found: dict[str, latency.Sample],
    delays: Delays | None,
) -> None:
    without = latency.samples(ledger, delays) if delays is not None and slos else found
    for expectation in slos:
        outcome, actual = _judged(verdict, ledger, expectation, found)
        timed = any("." in name for name in expectation.metrics)
        if outcome == "fail" and delays is not None and timed:
            # It may only be the rig's own delays that fail it.
            outcome = "fail" if _judged(verdict, ledger, expectation, without)[0] == "fail" else "undecided"
        verdict.slos.append(SloResult(expectation.expect, actual, outcome))
        if outcome == "undecided":
            verdict.reasons.append(f"{expectation.expect}: {_why_undecided(verdict, expectation, delays)}")


def _judged(
    verdict: Verdict, ledger: Ledger, expectation: slo.Slo, found: dict[str, latency.Sample]
) -> tuple[Outcome, float | None]:
    """Decided only if what was not measured could not change the outcome."""
    low, high = _Metrics(verdict, ledger, found, "low"), _Metrics(verdict, ledger, found, "high")
    outcome, least = expectation.judge(low)
    other, most = expectation.judge(high)
    if outcome != other or expectation.crosses(low, high):
        return "undecided", None
    return outcome, most if least == most else None


def _why_undecided(verdict: Verdict, expectation: slo.Slo, delays: Delays | None) -> str:
    unmeasured = [name for name in sorted(expectation.metrics) if metric(verdict, name) is None]
    if unmeasured:
        return f"{', '.join(unmeasured)} was not measured"
    if delays is not None:
        return "it fails, but would not without the load generator's own delays"
    return "what was not measured could decide it either way"


def _decide_findings(
    verdict: Verdict,
    ledger: Ledger,
    slos: Sequence[slo.Slo],
    answers: dict[str, Found],
    delays: Delays | None,
) -> None:
    for name in CHECKS:
        answer = answers[name]
        if answer.count is not None and not answer.count:
            continue
        named = [
            result.outcome
            for result, expectation in zip(verdict.slos, slos, strict=True)
            if name in expectation.metrics
        ]
        outcome: Outcome = "undecided" if answer.count is None else "fail"
        if named and answer.count is not None:
            outcome = worst(named)
        elif name == "late" and delays is not None and not late_without(ledger, delays.deliveries(ledger.visible)):
            outcome = "undecided"
            verdict.reasons.append("late: nothing would be late without the load generator's own delays")
        verdict.findings.append(Finding(name, outcome, answer.count or 0, answer.examples))


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """Fail before undecided before pass."""
    if "fail" in outcomes:
        return "fail"
    return "undecided" if "undecided" in outcomes else "pass"


def _conclude(verdict: Verdict) -> None:
    outcome = worst([*(result.outcome for result in verdict.slos), *(finding.outcome for finding in verdict.findings)])
    if outcome == "pass" and (verdict.reasons or not verdict.rig.sound):
        outcome = "undecided"
    if not verdict.rig.sound and outcome == "undecided":
        verdict.reasons += [reason for reason in verdict.rig.reasons if reason not in verdict.reasons]
    verdict.verdict = outcome
    verdict.exit_code = EXIT_CODES[outcome]


__all__ = ["InternalError", "NoRunError", "judge", "read_run", "worst", "write_verdict"]
