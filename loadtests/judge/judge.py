"""From a run's folder to its verdict. Reads only the history, so a run can be judged any number of times.

Anything that could not be measured makes the verdict undecided, with the reason; it never passes.
"""

import contextlib
import tomllib
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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
from .balance import counts_in, deliveries_in, frames_in, measurement_gaps, messages_in
from .checks import CHECKS, CheckResult
from .connections import connections_of
from .decisions import DecisionInput, conclude, decide_finding, decide_slo
from .evidence import evidence_of
from .explanation import FindingCauses, explain, explain_slow, sentence_of
from .latency import Latencies
from .ledger import Ledger, Observations, build, merge_histories
from .ledger.faults import FaultSpan
from .load import load_of
from .metrics import totals_of
from .recovery import recoveries_of
from .rig import Delays, rig_problems, soundness
from .usage import target_processes_of
from .verdict import (
    EXIT_CODES,
    Connections,
    Counts,
    Deliveries,
    FaultSummary,
    Frames,
    Latency,
    Messages,
    Recovery,
    Rig,
    SloResult,
    Verdict,
)

Step = Callable[[str, int, int], None]
"""Called before each step: its description, how many steps are done, and how many there are."""


class NoRunError(ValueError):
    """The folder holds no run that can be judged. The text says what is missing."""


@dataclass(slots=True)
class Judged:
    """A verdict and what it is based on, so that reports need not compute anything again."""

    verdict: Verdict
    manifest: Manifest
    scenario: Scenario
    slos: tuple[slo.Slo, ...]
    ledger: Ledger | None = None  # None: the measured part never began, or the judge itself failed
    latencies: Latencies | None = None  # None if the ledger is
    causes: dict[str, FindingCauses] = field(default_factory=dict)  # of each finding that was made


def judge(folder: Path, slos: Sequence[str] | None = None, step: Step = lambda *_: None) -> Verdict:
    """The verdict on the run in `folder`. See `judged`."""
    return judged(folder, slos, step).verdict


def judged(folder: Path, slos: Sequence[str] | None = None, step: Step = lambda *_: None) -> Judged:
    """The verdict on the run in `folder`. `slos` replace the scenario's; `step` is called before each step.

    Raises NoRunError if there is no manifest or scenario, and slo.SloError for an invalid SLO or one with a window
    around a fault that the run did not have. Everything else ends in a verdict: exit code 70 means that the judge
    itself failed.
    """
    manifest, scenario = read_run(folder)
    expectations = scenario.slos if slos is None else tuple(slo.parse(text) for text in slos)
    run = _Run(folder, manifest, scenario, expectations)
    progress = _Progress(step, len(manifest.processes) + len(CHECKS) + len(checks.COUNTS) + 3)
    try:
        observations = merge_histories(
            folder, manifest, lambda process: progress.next(f"reading the history of {process}")
        )
        # If the nemesis's history is incomplete, there may have been a fault that is not in it.
        if slos is not None and observations.all_faults:
            _require_known_faults(expectations, {fault.name for fault in observations.faults} | scenario.fault_names)
        if (why := manifest.void or manifest.wrong_protocol) is not None:
            return run.unjudged(observations, why)
        if manifest.start is None:
            never = "the measured part never began: not all dashboards subscribed, or the run was stopped"
            return run.unjudged(observations, never)
        return run.judged(observations, manifest.start, progress)
    except slo.SloError:
        raise
    except Exception as error:  # noqa: BLE001 - no error of ours may look like the target's failure, or like a pass
        return run.failed(_described(error))


class _Progress:
    """Counts the steps and reports them."""

    def __init__(self, step: Step, total: int) -> None:
        self._step, self._done, self._total = step, 0, total

    def next(self, text: str) -> None:
        self._step(text, self._done, self._total)
        self._done += 1


def _require_known_faults(slos: Sequence[slo.Slo], known: set[str]) -> None:
    problems = [problem for expectation in slos if (problem := expectation.unknown_fault(known))]
    if problems:
        raise slo.SloError("\n".join(problems))


def write_verdict(folder: Path, verdict: Verdict) -> Path:
    """Writes `verdict.json` into `folder` atomically; returns its path. Raises OSError, keeping the old file."""
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
    """The manifest and the scenario of the run in `folder`. Raises NoRunError."""
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
    """The run to be judged. Each of its methods ends in a verdict."""

    folder: Path
    manifest: Manifest
    scenario: Scenario
    slos: tuple[slo.Slo, ...]

    def failed(self, error: str) -> Judged:
        """The judge itself failed."""
        reasons = [f"internal error: {error}"]
        verdict = self._verdict("undecided", exit_code=ExitCode.INTERNAL, reasons=reasons, rig=Rig())
        return Judged(verdict, self.manifest, self.scenario, self.slos)

    def unjudged(self, observations: Observations, reason: str) -> Judged:
        """Nothing was measured that could be judged."""
        doubts = self._doubts(observations)
        reasons = [*doubts, *self._unfinished(), reason]
        problems = rig_problems(observations, self.manifest, doubts)
        verdict = self._verdict(
            "undecided",
            reasons=_unique([*reasons, *problems]),
            rig=Rig(sound=not problems, reasons=problems),
            slos=[SloResult(expectation.expect, None, "undecided") for expectation in self.slos],
            notes=observations.notes,
        )
        return Judged(verdict, self.manifest, self.scenario, self.slos)

    def judged(self, observations: Observations, start: float, progress: "_Progress") -> Judged:
        """Judges what was measured from `start` on, in monotonic seconds."""
        observations = replace(observations, reasons=self._doubts(observations))
        end = self.manifest.end if self.manifest.end is not None else start + self.scenario.duration
        progress.next("finding out what became of every message on every dashboard")
        ledger = build(observations, self.manifest, self.scenario, start, end)
        rig = soundness(ledger, self.slos)
        recoveries = recoveries_of(ledger)
        progress.next("taking the latencies")
        latencies = Latencies(ledger, recoveries)
        results, crashed = _run_checks(ledger, progress)
        progress.next("deciding")
        messages, deliveries, counts = messages_in(ledger), deliveries_in(ledger, results), counts_in(results)
        totals = totals_of(self.scenario, messages, deliveries, counts)
        case = DecisionInput(
            ledger=ledger,
            totals=totals,
            latencies=latencies,
            recoveries=recoveries,
            results=results,
            delays=None if rig.sound else Delays(ledger),
        )
        slos = [decide_slo(case, expectation) for expectation in self.slos]
        slo_results = [result for result, _ in slos]
        decided = [decide_finding(case, name, self.slos, slo_results) for name in CHECKS]
        findings = [finding for finding, _ in decided if finding is not None]
        causes, failed = _causes(ledger, results, recoveries, self.slos, slo_results)
        for finding in findings:
            if finding.check in causes:
                finding.cause = sentence_of(causes[finding.check], finding.check)
        for result in slo_results:
            if result.expect in causes:
                result.cause = sentence_of(causes[result.expect], f"over {result.expect}")
        reasons = [
            *ledger.doubts,
            *self._unfinished(),
            *measurement_gaps(ledger),
            *crashed,
            *(f"{result.expect}: {why}" for result, why in slos if result.outcome == "undecided"),
            *(f"{finding.check}: {why}" for finding, why in decided if finding is not None and why),
        ]
        outcomes = [*(result.outcome for result in slo_results), *(finding.outcome for finding in findings)]
        outcome = conclude(outcomes, doubted=bool(reasons) or not rig.sound)
        if outcome == "undecided":
            reasons += rig.reasons
        verdict = self._verdict(
            outcome,
            reasons=_unique(reasons),
            rig=rig,
            seconds=end - start,
            messages=messages,
            deliveries=deliveries,
            frames=frames_in(ledger),
            counts=counts,
            latency=latencies.table(),
            connections=connections_of(ledger),
            slos=slo_results,
            faults=[_fault(fault, ledger) for fault in observations.faults],
            recoveries=recoveries,
            findings=findings,
            notes=[*observations.notes, *failed],
            target_processes=target_processes_of(
                observations.target_processes, start, end + self.scenario.update_target
            ),
            evidence=evidence_of(ledger),
        )
        return Judged(
            verdict, self.manifest, self.scenario, self.slos, ledger=ledger, latencies=latencies, causes=causes
        )

    def _doubts(self, observations: Observations) -> list[str]:
        """What is wrong with the histories, and the faults of the scenario that are missing from them."""
        never = self.scenario.fault_names - {fault.name for fault in observations.faults}
        return [*observations.reasons, *(f"the fault {name} of the scenario never began" for name in sorted(never))]

    def _unfinished(self) -> list[str]:
        reason = "the run did not end properly: not every process said that its history is complete"
        return [] if self.manifest.ended else [reason]

    def _rooms(self) -> int | None:
        rooms = self.scenario.rooms_for(self.manifest.promises)
        return None if rooms is None else rooms.count

    def _verdict(self, outcome: Outcome, *, reasons: list[str], rig: Rig, **measured: Any) -> Verdict:  # noqa: ANN401
        """A verdict. Whatever is not in `measured` was not measured."""
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
            rooms=self._rooms(),
            load=load_of(self.manifest, self.scenario),
            rig=rig,
            reasons=reasons,
            folder=str(self.folder),
            **{**nothing, **measured},
        )


def _unique(reasons: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(reasons))


def _fault(span: FaultSpan, ledger: Ledger) -> FaultSummary:
    start = ledger.after_start(span.start) or 0.0
    stop = ledger.after_start(span.stop)
    return FaultSummary(span.name, span.kind, start, stop, span.evidence, ledger.fault_bound)


def _run_checks(ledger: Ledger, progress: "_Progress") -> tuple[dict[str, CheckResult], list[str]]:
    """The checks' results, and a reason per check that crashed: it is undecided, and the others still count."""
    results, crashed = {}, []
    for name, check in {**CHECKS, **checks.COUNTS}.items():
        progress.next(f"looking for {name}")
        try:
            results[name] = check(ledger)
        except Exception as error:  # noqa: BLE001 - a crash must not end the judgement
            results[name] = CheckResult(None)
            crashed.append(f"the check {name} crashed: {_described(error)}")
    return results, crashed


_SEEN = ("visible", "first_dashboard", "median_dashboard", "last_dashboard")
"""The latencies that end when a message is visible."""


def _causes(
    ledger: Ledger, results: dict[str, CheckResult], recoveries: list[Recovery], slos: Sequence[slo.Slo],
    slo_results: Sequence[SloResult],
) -> tuple[dict[str, FindingCauses], list[str]]:  # fmt: skip
    """The causes of the findings and of missed SLOs on the update latency, and a note if a rule crashed: the verdict
    does not depend on them.
    """
    try:
        causes = explain(ledger, results, recoveries)
        for expectation, result in zip(slos, slo_results, strict=True):
            limit, (metric, *others) = expectation.limit(), sorted(expectation.metrics)
            plain = not others and expectation.window is None and metric.partition(".")[0] in _SEEN
            if result.outcome == "fail" and plain and limit is not None and limit < ledger.scenario.update_target:
                found = explain_slow(ledger, recoveries, limit, expectation.expect)
                causes |= {expectation.expect: found} if found is not None else {}
        return causes, []
    except Exception as error:  # noqa: BLE001 - a crash must not end the judgement
        return {}, [f"the causes of the findings could not be worked out: {_described(error)}"]


def _described(error: Exception) -> str:
    """The error, and where it was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"


__all__ = ["Judged", "NoRunError", "Step", "judge", "judged", "read_run", "write_verdict"]
