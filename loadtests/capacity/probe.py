"""What one probe shows: whether the load held, and what was used meanwhile."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from chatswarm.loadtests.compare.curve import backlog_grows, backlog_growth
from chatswarm.loadtests.judge.judge import Judged
from chatswarm.loadtests.judge.ledger import Ledger
from chatswarm.loadtests.judge.ledger.observations import answered
from chatswarm.loadtests.judge.usage import target_cpu
from chatswarm.loadtests.judge.verdict import Verdict
from chatswarm.loadtests.system.exit_code import ExitCode

from .record import CapacityProbe

_REASONS = 3


def fill_in(probe: CapacityProbe, run: Judged, precision: float) -> CapacityProbe:
    """The probe with what its run showed."""
    verdict, ledger = run.verdict, run.ledger
    probe.rig_sound = not _rig_reasons(verdict)
    probe.deliveries, probe.lost = verdict.deliveries.expected, verdict.deliveries.lost
    probe.p50, probe.p99 = verdict.latency.visible.p50, verdict.latency.visible.p99
    if ledger is not None:
        probe.backlog = backlog_growth(*medians_of(ledger))
        _use(probe, ledger)
    probe.held, probe.why = holds(verdict, probe.backlog, precision)
    return probe


def holds(verdict: Verdict, backlog: float | None, precision: float) -> tuple[bool | None, list[str]]:
    """Whether a run's load held, and why it did not; None: it is undecided.

    It holds if everything expected was proven and no backlog grew. Where the rig was not sound, or did not send all, it
    did not hold: this load cannot be had from this rig, whoever is to blame.
    """
    if verdict.exit_code == ExitCode.INTERNAL:
        return None, verdict.reasons
    if (of_rig := _rig_reasons(verdict)) or verdict.verdict == "fail":
        return False, [*of_rig, *_failures(verdict)][:_REASONS]
    if verdict.verdict == "undecided":
        return None, verdict.reasons
    if backlog is None:
        return None, ["a growing backlog could not be excluded: fewer than 5 seconds had a message"]
    if backlog_grows(backlog, precision):
        return False, [f"a backlog grew: each second added {backlog:.3g} s of latency ({precision:g} allowed)"]
    return True, []


def _rig_reasons(verdict: Verdict) -> list[str]:
    """Why the load was not what was asked for; empty if the rig was sound."""
    found = list(verdict.rig.reasons) if not verdict.rig.sound else []
    if (missing := verdict.messages.intended - verdict.messages.sent) > 0:
        found.append(f"the load generator did not send {missing:,} of {verdict.messages.intended:,} messages in time")
    return found


def medians_of(ledger: Ledger) -> tuple[list[float], list[float]]:
    """Each second of the measured part, and its median update latency: NaN without a message, infinite if lost."""
    counted = ledger.expected & ~ledger.excused & ~ledger.unproven
    intended = ledger.messages.intended[ledger.deliveries.message] - ledger.start
    seconds = np.arange(int(ledger.end - ledger.start))
    which = np.floor(intended).astype(np.int64)
    medians = []
    for second in seconds.tolist():
        latencies = ledger.visible[mine := counted & (which == second)] - (intended[mine] + ledger.start)
        # The lower median: between a latency and infinity there is no mean.
        medians.append(float(np.sort(latencies)[(len(latencies) - 1) // 2]) if len(latencies) else float("nan"))
    return seconds.astype(float).tolist(), medians


def _failures(verdict: Verdict) -> list[str]:
    slos = [result.expect for result in verdict.slos if result.outcome == "fail"]
    named = {word for expect in slos for word in expect.replace(".", " ").split()}
    found = [
        f"{finding.count:,} {finding.check}"
        for finding in verdict.findings
        if finding.outcome == "fail" and finding.check not in named
    ]
    return [*(f"not {expect}" for expect in slos), *found]


def _use(probe: CapacityProbe, ledger: Ledger) -> None:
    """Adds what was used while it was measured."""
    observations, (begin, end) = ledger.observations, (ledger.start, ledger.end)
    if observations.machines:
        # The busiest, as the verdict has it.
        shares = [
            (_median(one.cpu, one.time, begin, end) or 0.0) / max(1, one.cores.max()) for one in observations.machines
        ]
        machine = observations.machines[int(np.argmax(shares))]
        probe.machine_cpu = _median(machine.cpu, machine.time, begin, end)
        probe.cpu_pressure = _median(machine.cpu_pressure, machine.time, begin, end)
        probe.cores = int(machine.cores.max())
    probe.rig_cpu = _sum(_median(one.cpu, one.cpu_time, begin, end) for one in observations.samples)
    times, used = target_cpu(observations.target_processes)
    probe.target_cpu = _median(used, times, begin, end)
    reads = observations.refetches
    read = (reads.dashboard >= 0) & answered(reads.status) & (reads.started >= begin) & (reads.started <= end)
    probe.list_bytes = float(reads.size[read].mean()) if read.any() else None


def _median(values: npt.NDArray[np.float64], times: npt.NDArray[np.float64], begin: float, end: float) -> float | None:
    inside = values[(times >= begin) & (times <= end) & ~np.isnan(values)]
    return float(np.median(inside)) if len(inside) else None


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
