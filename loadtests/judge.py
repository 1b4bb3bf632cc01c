"""From a run's folder to its verdict. Reads only the history, so a run can be judged anew as often as one likes.

Whatever could not be measured makes the verdict undecided, with the reason; it is never a pass.
"""

import contextlib
import tomllib
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from . import slo, tally
from .checks import CHECKS, COUNTS, Check, Found
from .closings import connections_of
from .decide import Case, conclude, decide_findings, decide_slos
from .history.manifest import MANIFEST, Manifest, read_manifest
from .latency import Latencies
from .ledger import Evidence, Ledger, build, gather
from .ledger.faults import FaultSpan
from .metrics import Metrics
from .recovery import recoveries_of
from .rig import Delays, soundness, troubles
from .runs import SCENARIO, VERDICT
from .scenario import Scenario, ScenarioError
from .scenario import parse as parse_scenario
from .verdict import (
    Connections,
    Counts,
    Deliveries,
    ExitCode,
    Fault,
    Frames,
    Latency,
    Messages,
    Rig,
    SloResult,
    Verdict,
)

Step = Callable[[str, int, int], None]
"""Hears what the judge is about to do, how many steps are done, and of how many."""


class NoRunError(ValueError):
    """The folder holds no run that could be judged. The text says what is missing."""


@dataclass(slots=True)
class Judged:
    """A verdict, and what it rests on: for reports, so that nothing is worked out twice."""

    verdict: Verdict
    manifest: Manifest
    scenario: Scenario
    slos: tuple[slo.Slo, ...]
    ledger: Ledger | None = None  # None: the measured part never began, or the judge itself failed
    latencies: Latencies | None = None  # there if the ledger is


def judge(folder: Path, slos: Sequence[str] | None = None, step: Step = lambda *_: None) -> Verdict:
    """The verdict over the run in `folder`, as `judged` has it."""
    return judged(folder, slos, step).verdict


def judged(folder: Path, slos: Sequence[str] | None = None, step: Step = lambda *_: None) -> Judged:
    """The verdict over the run in `folder`; `slos` replace the scenario's; `step` hears how far it is.

    Raises NoRunError if there is no manifest or scenario, and slo.SloError, also for a window around a fault that the
    run did not have. Everything else ends in a verdict: exit code 70 says that the judge itself failed.
    """
    manifest, scenario = read_run(folder)
    expectations = scenario.slos if slos is None else tuple(slo.parse(text) for text in slos)
    verdict = _blank(folder, manifest, scenario)
    whole = Judged(verdict, manifest, scenario, expectations)
    progress = _Progress(step, len(manifest.processes) + len(CHECKS) + len(COUNTS) + 3)
    try:
        evidence = gather(folder, manifest, lambda process: progress.next(f"reading the history of {process}"))
        # Where the nemesis's history is not whole, a fault may have been there that nobody wrote down.
        if slos is not None and evidence.all_faults:
            _know_faults(expectations, {fault.name for fault in evidence.faults} | scenario.fault_names)
        _fill(whole, evidence, progress)
    except slo.SloError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not look like the target's failure, or like a pass
        place = traceback.extract_tb(error.__traceback__)[-1]
        verdict.reasons.insert(
            0, f"internal error: {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
        )
        verdict.verdict = "undecided"
        verdict.exit_code = ExitCode.INTERNAL
        whole.ledger = whole.latencies = None
    return whole


class _Progress:
    """Counts the steps."""

    def __init__(self, step: Step, total: int) -> None:
        self._step, self._done, self._total = step, 0, total

    def next(self, text: str) -> None:
        self._step(text, self._done, self._total)
        self._done += 1


def _know_faults(slos: Sequence[slo.Slo], known: set[str]) -> None:
    problems = [problem for expectation in slos if (problem := expectation.unknown_fault(known))]
    if problems:
        raise slo.SloError("\n".join(problems))


def write_verdict(folder: Path, verdict: Verdict) -> Path:
    """Writes `verdict.json` into `folder` in one step; returns its path. Raises OSError, having changed nothing."""
    path = folder / VERDICT
    new = folder / (VERDICT + ".new")
    try:
        new.write_bytes(verdict.json())
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    return path


def read_run(folder: Path) -> tuple[Manifest, Scenario]:
    """What was run in `folder`. Raises NoRunError."""
    path = folder / MANIFEST
    try:
        manifest = read_manifest(folder)
        path = folder / SCENARIO
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return manifest, parse_scenario(table, manifest.scenario, str(path), recorded=True)
    except (FileNotFoundError, NotADirectoryError):
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
        connections=Connections(),
        slos=[],
        rig=Rig(reasons=[]),
        faults=[],
        recoveries=[],
        findings=[],
        reasons=[],
        folder=str(folder),
    )


def _fill(whole: Judged, evidence: Evidence, progress: _Progress) -> None:
    verdict, manifest, scenario, slos = whole.verdict, whole.manifest, whole.scenario, whole.slos
    never = scenario.fault_names - {fault.name for fault in evidence.faults}
    evidence.reasons.extend(f"the fault {name} of the scenario never began" for name in sorted(never))
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
    progress.next("finding out what became of every message on every dashboard")
    ledger = build(evidence, manifest, scenario, manifest.start, end)
    verdict.reasons += [reason for reason in evidence.reasons if reason not in verdict.reasons]
    verdict.seconds = end - manifest.start
    tally.count(verdict, ledger)
    verdict.connections = connections_of(ledger)
    verdict.reasons += tally.gaps(verdict, ledger)
    verdict.rig = soundness(ledger, slos)
    verdict.faults = [_fault(fault, ledger) for fault in evidence.faults]
    verdict.recoveries = recoveries_of(ledger)

    progress.next("taking the latencies")
    latencies = Latencies(ledger, verdict.recoveries)
    verdict.latency = latencies.table()
    answers = {}
    for name, check in {**CHECKS, **COUNTS}.items():
        progress.next(f"looking for {name}")
        answers[name] = _ask(name, check, ledger, verdict.reasons)
    tally.record(verdict, answers)
    tally.balance(verdict, ledger)

    progress.next("deciding")
    delays = None if verdict.rig.sound else Delays(ledger)
    case = Case(verdict, ledger, Metrics(verdict, ledger, answers), latencies, answers, delays)
    decide_slos(case, slos)
    decide_findings(case, slos)
    conclude(verdict)
    whole.ledger, whole.latencies = ledger, latencies


def _fault(span: FaultSpan, ledger: Ledger) -> Fault:
    start = ledger.after_start(span.start) or 0.0
    return Fault(span.name, span.kind, start, ledger.after_start(span.stop), span.evidence)


def _ask(name: str, check: Check, ledger: Ledger, reasons: list[str]) -> Found:
    try:
        return check(ledger)
    except Exception as error:  # noqa: BLE001 - a check that crashed is undecided, and the others still count
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        reasons.append(f"the check {name} crashed: {type(error).__name__}: {error} ({where})")
        return Found(None)


__all__ = ["Judged", "NoRunError", "Step", "judge", "judged", "read_run", "write_verdict"]
