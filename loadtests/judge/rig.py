"""Is the rig sound? Whether the load generator can be trusted, and how much of each latency may be its own.

A starved rig distorts fails as well as passes. So a pass on an unsound rig is undecided, and a failed latency SLO only
stays failed if it fails without the rig's own delays too.
"""

import errno
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from chatswarm.loadtests.history.manifest import PROXY, Manifest
from chatswarm.loadtests.history.tables import UNREADABLE_HERE
from chatswarm.loadtests.scenario.slo import Slo
from chatswarm.loadtests.system.rig_limits import RIG_LIMITS
from chatswarm.loadtests.system.units import human

from .ledger.arrays import Bools, Floats, Ints, blocks
from .ledger.ledger import Ledger
from .ledger.messages import SentMessages
from .ledger.observations import NO_FINAL, Observations, Samples
from .usage import machine_of
from .verdict import Rig

LAG_INTERVAL = 0.01
"""Seconds between two samples of a loop's lag."""
TIMER_ACCURACY = 0.001
"""Seconds that a loop may wake late without having slept."""
LAG_SHARE = 0.1
"""The share of the tightest limit that the rig's own delays may use."""
LATE_SENDS = 0.01
"""The share of sends that may be late by more than that."""
UNREADABLE = "unreadable"
"""The kind of trouble that is not the rig's fault: the target's response did not follow the protocol."""
_LESS_THROUGH_PROXY = "put less load through the fault proxy, which is one process"
BUSY = 0.9
"""A process that uses this much of a core is the bottleneck."""


def tightest(slos: Sequence[Slo], update_target: float) -> float:
    """The limit for the rig's own delays: the lowest of the latency SLOs', or the update target without any."""
    limits = [limit for slo in slos if (limit := slo.limit()) is not None and limit > 0]
    return min(limits, default=update_target)


def soundness(ledger: Ledger, slos: Sequence[Slo]) -> Rig:
    """Whether the rig was sound, with reasons that say what to do."""
    limit = tightest(slos, ledger.scenario.update_target) * LAG_SHARE
    rig = Rig(clock_bound=ledger.clock_bound, reasons=[])
    advice = _advice(ledger.observations)
    until = ledger.end + ledger.scenario.update_target
    for process in ledger.observations.samples:
        remedy = _LESS_THROUGH_PROXY if process.name == PROXY else advice
        _assess(process, rig, begin=ledger.start, until=until, limit=limit, advice=remedy)
    rig.machine = machine_of(ledger.observations.machines, ledger.start, until)
    if rig.machine is not None:
        rig.machine.processor = ledger.manifest.processor or None
    lateness = lateness_of(ledger.messages)
    rig.late_sends = int((lateness > limit).sum())
    if rig.late_sends > LATE_SENDS * len(lateness):
        rig.reasons.append(
            f"{rig.late_sends} of {len(lateness)} sends were more than {human(limit)} late: "
            f"the load generator was the bottleneck: {advice}"
        )
    rig.reasons += rig_problems(ledger.observations, ledger.manifest, ledger.doubts)
    rig.sound = not rig.reasons
    return rig


def lateness_of(messages: SentMessages) -> Floats:
    """Per send: how long after its intended time it was handed to a free connection, in seconds; never negative."""
    late = messages.handed - messages.intended
    return np.maximum(0, np.where(np.isnan(late), 0, late))


def lag_p99(lag: Floats) -> float:
    """The lag that a task waking at a random moment exceeds in 1 % of cases."""
    every = np.sort(filled_in(lag))
    return float(every[max(1, int(np.ceil(0.99 * len(every) - 1e-9))) - 1])


def filled_in(lag: Floats) -> Floats:
    """Adds the samples that a blocked loop could not take: in 1 s of standstill, one instead of a hundred."""
    spread = np.maximum(1, np.ceil(np.maximum(lag, 0) / LAG_INTERVAL)).astype(np.int64)
    within = np.arange(int(spread.sum())) - np.repeat(np.cumsum(spread) - spread, spread)
    return np.asarray(np.repeat(lag, spread) - within * LAG_INTERVAL)


def _assess(samples: Samples, rig: Rig, *, begin: float, until: float, limit: float, advice: str) -> None:
    """Adds one process's lag and CPU to `rig`, with the reasons if it did not keep up."""
    lag = samples.lag[(samples.lag_time >= begin) & (samples.lag_time <= until)]
    cpu = samples.cpu[(samples.cpu_time >= begin) & (samples.cpu_time <= until)]
    busiest = float(cpu.max()) if len(cpu) else None
    if busiest is not None:
        rig.cpu = max(rig.cpu or 0.0, busiest)
    if not len(lag):
        if samples.busy:
            rig.reasons.append(f"{samples.name}: its loop's lag was not measured: nothing shows that it kept up")
        return
    p99 = lag_p99(lag)
    rig.lag_p99 = max(rig.lag_p99 or 0.0, p99)
    if p99 > limit:
        late = f"{samples.name}: its loop woke {human(p99)} late or more, 1 % of the time ({human(limit)} allowed)"
        if busiest is None or busiest >= BUSY:
            rig.reasons.append(f"{late}: the load generator was the bottleneck: {advice}")
        else:
            rig.reasons.append(
                f"{late}: the load generator was stopped or short of CPU (it got {busiest:.0%} of a core at most): "
                f"stop other programs, or {advice}"
            )


def rig_problems(observations: Observations, manifest: Manifest, doubts: Sequence[str]) -> list[str]:
    """What went wrong with the rig, as sentences. A response that cannot be read is the target's doing.

    `doubts`: what is wrong with the histories, for example that one was cut.
    """
    own = [
        f"{trouble.process}: {trouble.detail or trouble.kind}"
        for trouble in observations.troubles
        if trouble.kind != UNREADABLE
    ]
    return [*_own_limits(observations), *own, *manifest.troubles, *doubts]


def _own_limits(observations: Observations) -> list[str]:
    """The limits of the rig's own machine that it ran into, by errno, with what failed and what to do."""
    connections = observations.connections
    statuses = {
        "send": observations.sends.status,
        "connection": connections.code[connections.rig_failed],
        "refetch": observations.refetches.status,
        "final read": observations.finals.status[observations.finals.status < NO_FINAL],
    }
    counts = {what: Counter(status[status < 0].tolist()) for what, status in statuses.items()}
    reasons = []
    for status in sorted({status for found in counts.values() for status in found}, reverse=True):
        parts = [_with_noun(found[status], what) for what, found in counts.items() if found[status]]
        failed = ", ".join(parts)
        if status == UNREADABLE_HERE:
            reasons.append(
                f"the load generator could not read what it received ({failed}), though a browser might have"
            )
            continue
        limit = RIG_LIMITS.get(-status)
        code = errno.errorcode.get(-status, str(-status))
        name = f"{limit.name} ({code})" if limit else code
        remedy = f": {limit.remedy}" if limit else ""
        reasons.append(f"the load generator's own limit, {name}: {failed} failed on it{remedy}")
    return reasons


def _with_noun(count: int, what: str) -> str:
    if count == 1:
        return f"1 {what}"
    return f"{count:,} {what}{'es' if what.endswith('ch') else 's'}"


def _advice(observations: Observations) -> str:
    busy = sum(samples.busy for samples in observations.samples)
    return f"use --processes {2 * max(1, busy)}, or less load"


def longest_sleeps(observations: Observations, process: Ints, starts: Floats, ends: Floats) -> Floats:
    """The longest sleep of each one's process in its span, and of the fault proxy. What came before another sleep was
    read when the process woke.
    """
    out = np.zeros(len(process))
    for number, samples in _by_number(observations).items():
        some = np.flatnonzero(_passed(observations, number, process == number))
        if not len(some):
            continue
        order = np.argsort(samples.lag_time, kind="stable")
        woke, lag = samples.lag_time[order], samples.lag[order]
        due = np.maximum.accumulate(woke - lag)
        # The samples that overlap a span are those from the first to before the last.
        first, last = np.searchsorted(woke, starts[some]), np.searchsorted(due, ends[some], side="right")
        some, first, last = (each[last > first] for each in (some, first, last))
        edges = np.stack([first, last], axis=1).ravel()
        # With a sample more, because reduceat takes no index behind the end.
        out[some] += np.maximum.reduceat(np.append(lag, 0.0), edges)[::2]
    return out


def _by_number(observations: Observations) -> dict[int, Samples]:
    """The samples of each process, by its number."""
    numbers = {name: number for number, name in enumerate(observations.processes)}
    return {numbers[samples.name]: samples for samples in observations.samples}


def _passed(observations: Observations, number: int, chosen: Bools) -> Bools:
    """What passed through a process: everything if it is the fault proxy, else what was chosen."""
    return np.ones_like(chosen) if observations.processes[number] == PROXY else chosen


def homes_of(observations: Observations, dashboards: int) -> Ints:
    """Per dashboard: the process that it lived in, as its connections and refetches tell; -1: they do not."""
    homes = np.full(dashboards, -1, np.int64)
    for dashboard, process in (
        (observations.connections.dashboard, observations.connections.process),
        (observations.refetches.dashboard, observations.refetches.process),
    ):
        known = (dashboard >= 0) & (dashboard < dashboards)
        homes[dashboard[known]] = process[known]
    return homes


@dataclass(frozen=True, slots=True)
class _Asleep:
    """How long one process's loop slept in any span of time, by a running sum. Samples that are missing are sleep, and
    what is within the accuracy of timers is none.
    """

    woke: Floats
    total: Floats  # until each sample

    @staticmethod
    def of(samples: Samples) -> "_Asleep":
        order = np.argsort(samples.lag_time, kind="stable")
        woke, lag = samples.lag_time[order], samples.lag[order]
        since = np.diff(woke, prepend=woke[:1])
        slept = np.minimum(np.maximum(lag, since - LAG_INTERVAL), since)
        return _Asleep(woke, np.cumsum(np.where(slept > TIMER_ACCURACY, slept, 0.0)))

    def until(self, times: Floats) -> Floats:
        """How long it had slept by then, altogether. A sleep that goes on counts in part."""
        return np.interp(times, self.woke, self.total) if len(self.woke) else np.zeros(len(times))

    def between(self, starts: Floats, ends: Floats) -> Floats:
        """In each span, at most all of it."""
        return np.clip(self.until(ends) - self.until(starts), 0.0, np.maximum(ends - starts, 0.0))


class Delays:
    """How much of each latency may be the rig's own: the late send, and what each loop on its path slept after it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._messages = ledger.messages
        self._lateness = lateness_of(ledger.messages)
        self._handed = ledger.messages.intended + self._lateness
        self._asleep = {number: _Asleep.of(each) for number, each in _by_number(ledger.observations).items()}
        self._home = homes_of(ledger.observations, ledger.deliveries.dashboards)

    def of(self, process: Ints, starts: Floats, ends: Floats) -> Floats:
        """How long each one's process slept in its span. One that never ended was not waiting for the rig."""
        out = np.zeros(len(process))
        ends = np.where(np.isfinite(ends), ends, starts)
        for number, asleep in self._asleep.items():
            here = _passed(self._ledger.observations, number, process == number)
            out[here] += asleep.between(starts[here], ends[here])
        return out

    def sends(self, done: Floats) -> Floats:
        """Per message, until `done`."""
        return self._lateness + self.of(self._messages.process, self._handed, done)

    @cached_property
    def seen(self) -> Floats:
        """Per delivery, until it was visible. Meaningless where it never was."""
        reads, read = self._ledger.reads.done, self._ledger.visibility.read

        def until(asleep: _Asleep) -> _Until:
            if self._ledger.by_frames:
                return lambda part: asleep.until(self._ledger.visible[part])
            # There are far fewer refetches than deliveries.
            by_read = np.append(asleep.until(reads), 0.0)
            return lambda part: by_read.take(read[part])

        delays = self._deliveries(until)
        if self._ledger.rig_outages.any:
            # In the worst case, the whole latency.
            delays[self._ledger.held_up & np.isfinite(self._ledger.visible)] = np.inf
        return delays

    def of_deliveries(self, some: Ints) -> Floats:
        """For these deliveries, until they were visible: the send's lateness, and how long a loop on the way slept: of
        several, the one that slept most. Meaningless where it never was visible.
        """
        ledger = self._ledger
        message, seen = ledger.deliveries.message[some], ledger.visible[some]
        handed = self._handed[message]
        sender, home = self._messages.process[message], self._home[ledger.deliveries.dashboard[some]]
        slept = np.zeros(len(some))
        for number, asleep in self._asleep.items():
            here = _passed(self._ledger.observations, number, (sender == number) | (home == number))
            slept[here] = np.maximum(slept[here], asleep.between(handed[here], seen[here]))
        return np.asarray(self._lateness[message] + slept)

    def notified(self) -> Floats:
        """Per delivery, until it was notified. Meaningless where it never was."""
        notified = self._ledger.announcements.notified
        return self._deliveries(lambda asleep: lambda part: asleep.until(notified[part]))

    def _deliveries(self, until_of: "Callable[[_Asleep], _Until]") -> Floats:
        """The send's lateness, plus what the widget's process slept, the dashboard's if it is another, and the fault
        proxy.
        """
        messages, deliveries = self._messages, self._ledger.deliveries
        out = deliveries.over(self._lateness)
        on_its_way = [(asleep.until(self._handed), until_of(asleep), number) for number, asleep in self._asleep.items()]
        for part in blocks(len(out)):
            sender = messages.process.take(deliveries.message[part])
            home = self._home.take(deliveries.dashboard[part])
            for before, until, number in on_its_way:
                here = _passed(self._ledger.observations, number, (sender == number) | (home == number))
                some = part if here.all() else np.flatnonzero(here) + part.start
                out[some] += np.maximum(until(some) - before.take(deliveries.message[some]), 0.0)
        return out


_Until = Callable[[Ints | slice], Floats]
"""For these deliveries: how long a loop had slept by their end."""
