"""From a run's folder to its verdict. Reads only the history, so a run can be judged anew as often as one likes.

Whatever could not be measured makes the verdict undecided, with the reason; it is never a pass.
"""

import contextlib
import tomllib
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from chatswarm.loadtests.history.folders import SCENARIO, VERDICT
from chatswarm.loadtests.history.manifest import MANIFEST, Manifest, read_manifest
from chatswarm.loadtests.scenario import slo
from chatswarm.loadtests.scenario.metric_names import Outcome
from chatswarm.loadtests.scenario.scenario import Scenario, ScenarioError
from chatswarm.loadtests.scenario.scenario import parse as parse_scenario
from chatswarm.loadtests.system.exit_code import ExitCode

from . import checks
from .balance import counts_in, deliveries_in, frames_in, gaps, messages_in
from .checks import CHECKS, Found
from .connections import connections_of
from .decisions import DecisionInput, conclude, decide_finding, decide_slo
from .latency import Latencies
from .ledger import Ledger, Observations, build, merge_histories
from .ledger.faults import FaultSpan
from .metrics import totals_of
from .recovery import recoveries_of
from .rig import Delays, soundness, troubles
from .verdict import (
    EXIT_CODES,
    Connections,
    Counts,
    Deliveries,
    FaultSummary,
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
    run = _Run(folder, manifest, scenario, expectations)
    progress = _Progress(step, len(manifest.processes) + len(CHECKS) + len(checks.COUNTS) + 3)
    try:
        evidence = merge_histories(folder, manifest, lambda process: progress.next(f"reading the history of {process}"))
        # Where the nemesis's history is not whole, a fault may have been there that nobody wrote down.
        if slos is not None and evidence.all_faults:
            _know_faults(expectations, {fault.name for fault in evidence.faults} | scenario.fault_names)
        return run.never_began(evidence) if manifest.start is None else run.judged(evidence, manifest.start, progress)
    except slo.SloError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not look like the target's failure, or like a pass
        place = traceback.extract_tb(error.__traceback__)[-1]
        return run.failed(f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})")


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


@dataclass(frozen=True, slots=True)
class _Run:
    """What is judged, before anything is known of it. Each way to a verdict builds it once, from values."""

    folder: Path
    manifest: Manifest
    scenario: Scenario
    slos: tuple[slo.Slo, ...]

    def failed(self, error: str) -> Judged:
        """The judge itself failed."""
        reasons = [f"internal error: {error}"]
        verdict = self._verdict("undecided", exit_code=ExitCode.INTERNAL, reasons=reasons, rig=Rig())
        return Judged(verdict, self.manifest, self.scenario, self.slos)

    def never_began(self, evidence: Observations) -> Judged:
        """There is no measured part."""
        doubts = self._doubts(evidence)
        reasons = [
            *doubts,
            *self._unended(),
            "the measured part never began: not all dashboards subscribed, or the run was stopped",
        ]
        wrong = troubles(evidence, self.manifest, doubts)
        verdict = self._verdict(
            "undecided",
            reasons=_once([*reasons, *wrong]),
            rig=Rig(sound=not wrong, reasons=wrong),
            slos=[SloResult(expectation.expect, None, "undecided") for expectation in self.slos],
            notes=evidence.notes,
        )
        return Judged(verdict, self.manifest, self.scenario, self.slos)

    def judged(self, evidence: Observations, start: float, progress: "_Progress") -> Judged:
        """What was measured from `start` on, in monotonic seconds."""
        evidence = replace(evidence, reasons=self._doubts(evidence))
        end = self.manifest.end if self.manifest.end is not None else start + self.scenario.duration
        progress.next("finding out what became of every message on every dashboard")
        ledger = build(evidence, self.manifest, self.scenario, start, end)
        rig = soundness(ledger, self.slos)
        recoveries = recoveries_of(ledger)
        progress.next("taking the latencies")
        latencies = Latencies(ledger, recoveries)
        answers, crashed = _ask_all(ledger, progress)
        progress.next("deciding")
        messages, deliveries, counts = messages_in(ledger), deliveries_in(ledger, answers), counts_in(answers)
        totals = totals_of(self.scenario, messages, deliveries, counts)
        case = DecisionInput(ledger, totals, latencies, recoveries, answers, None if rig.sound else Delays(ledger))
        slos = [decide_slo(case, expectation) for expectation in self.slos]
        results = [result for result, _ in slos]
        found = [decide_finding(case, name, self.slos, results) for name in CHECKS]
        findings = [finding for finding, _ in found if finding is not None]
        reasons = [
            *ledger.doubts,
            *self._unended(),
            *gaps(ledger),
            *crashed,
            *(f"{result.expect}: {why}" for result, why in slos if result.outcome == "undecided"),
            *(f"{finding.check}: {why}" for finding, why in found if finding is not None and why),
        ]
        outcomes = [*(result.outcome for result in results), *(finding.outcome for finding in findings)]
        outcome = conclude(outcomes, doubted=bool(reasons) or not rig.sound)
        if outcome == "undecided":
            reasons += rig.reasons
        verdict = self._verdict(
            outcome,
            reasons=_once(reasons),
            rig=rig,
            seconds=end - start,
            messages=messages,
            deliveries=deliveries,
            frames=frames_in(ledger),
            counts=counts,
            latency=latencies.table(),
            connections=connections_of(ledger),
            slos=results,
            faults=[_fault(fault, ledger) for fault in evidence.faults],
            recoveries=recoveries,
            findings=findings,
            notes=evidence.notes,
        )
        return Judged(verdict, self.manifest, self.scenario, self.slos, ledger, latencies)

    def _doubts(self, evidence: Observations) -> list[str]:
        """What is wrong with the histories, and faults of the scenario that they do not have."""
        never = self.scenario.fault_names - {fault.name for fault in evidence.faults}
        return [*evidence.reasons, *(f"the fault {name} of the scenario never began" for name in sorted(never))]

    def _unended(self) -> list[str]:
        said = "the run did not end properly: not every process said that its history is complete"
        return [] if self.manifest.ended else [said]

    def _verdict(self, outcome: Outcome, *, reasons: list[str], rig: Rig, **given: Any) -> Verdict:  # noqa: ANN401
        """With nothing measured where nothing is given."""
        nothing = {
            "seconds": 0.0, "messages": Messages(), "deliveries": Deliveries(), "frames": Frames(), "counts": Counts(),
            "latency": Latency(), "connections": Connections(), "slos": [], "faults": [], "recoveries": [],
            "findings": [], "notes": [], "exit_code": EXIT_CODES[outcome],
        }  # fmt: skip
        return Verdict(
            verdict=outcome,
            scenario=self.manifest.scenario,
            target=self.manifest.target,
            seed=self.manifest.seed,
            started=self.manifest.started,
            dashboards=self.scenario.dashboards,
            widgets=self.scenario.widgets,
            rig=rig,
            reasons=reasons,
            folder=str(self.folder),
            **{**nothing, **given},
        )


def _once(reasons: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(reasons))


def _fault(span: FaultSpan, ledger: Ledger) -> FaultSummary:
    start = ledger.after_start(span.start) or 0.0
    return FaultSummary(span.name, span.kind, start, ledger.after_start(span.stop), span.evidence)


def _ask_all(ledger: Ledger, progress: "_Progress") -> tuple[dict[str, Found], list[str]]:
    """The checks' answers, and which of them crashed: these are undecided, and the others still count."""
    answers, crashed = {}, []
    for name, check in {**CHECKS, **checks.COUNTS}.items():
        progress.next(f"looking for {name}")
        try:
            answers[name] = check(ledger)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no answer
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            answers[name] = Found(None)
            crashed.append(f"the check {name} crashed: {type(error).__name__}: {error} ({where})")
    return answers, crashed


__all__ = ["Judged", "NoRunError", "Step", "judge", "judged", "read_run", "write_verdict"]
