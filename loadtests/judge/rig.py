"""Is the rig sound? Whether the load-generating side can be trusted, and how much of a latency may be its own.

A starved rig only ever adds to what is measured. So it endangers fails as well as passes: a pass on an unsound rig is
undecided, and a failed latency only stays failed if it still fails without the rig's own delays.
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
from chatswarm.loadtests.system.rig_limits import OWN
from chatswarm.loadtests.system.units import human

from .ledger.arrays import Floats, Ints, ints
from .ledger.ledger import Ledger
from .ledger.messages import SentMessages
from .ledger.observations import NO_FINAL, Observations, Samples
from .verdict import Rig

LAG_INTERVAL = 0.01
"""A loop is asked for its lag every so many seconds."""
LAG_SHARE = 0.1
"""The share of the tightest limit that the rig may take for itself."""
LATE_SENDS = 0.01
"""The share of sends that may be handed over later than that."""
UNREADABLE = "unreadable"
"""The kind of trouble that is no trouble of the rig: the target answered something that is not its protocol."""
_LESS_THROUGH_PROXY = "put less load through the fault proxy, which is one process"
BUSY = 0.9
"""A process that takes this much of a core is the bottleneck."""


def tightest(slos: Sequence[Slo], update_target: float) -> float:
    """The limit that the rig's own delays are measured against: the lowest of the latency SLOs', else the target."""
    limits = [limit for slo in slos if (limit := slo.limit()) is not None and limit > 0]
    return min(limits, default=update_target)


def soundness(ledger: Ledger, slos: Sequence[Slo]) -> Rig:
    """Whether the rig was sound, with reasons that say what to do."""
    limit = tightest(slos, ledger.scenario.update_target) * LAG_SHARE
    rig = Rig(clock_bound=ledger.clock_bound, reasons=[])
    advice = _advice(ledger.evidence)
    until = ledger.end + ledger.scenario.update_target
    for process in ledger.evidence.samples:
        proxied = process.name == PROXY
        _process(process, ledger.start, until, limit, _LESS_THROUGH_PROXY if proxied else advice, rig)
    lateness = lateness_of(ledger.messages)
    rig.late_sends = int((lateness > limit).sum())
    if rig.late_sends > LATE_SENDS * len(lateness):
        rig.reasons.append(
            f"{rig.late_sends} of {len(lateness)} sends left more than {human(limit)} after their time: "
            f"the load generator was the bottleneck: {advice}"
        )
    rig.reasons += troubles(ledger.evidence, ledger.manifest, ledger.doubts)
    rig.sound = not rig.reasons
    return rig


def lateness_of(messages: SentMessages) -> Floats:
    """Per send: how long after its intended time it was handed to a free connection, in seconds; never negative."""
    late = messages.handed - messages.intended
    return np.maximum(0, np.where(np.isnan(late), 0, late))


def lag_p99(lag: Floats) -> float:
    """The lag that a task which wakes at a random moment exceeds in 1 % of the cases."""
    every = np.sort(filled_in(lag))
    return float(every[max(1, int(np.ceil(0.99 * len(every) - 1e-9))) - 1])


def filled_in(lag: Floats) -> Floats:
    """A loop that stood still for a second gave one sample where there should have been a hundred: with those."""
    spread = np.maximum(1, np.ceil(np.maximum(lag, 0) / LAG_INTERVAL)).astype(np.int64)
    within = np.arange(int(spread.sum())) - np.repeat(np.cumsum(spread) - spread, spread)
    return np.asarray(np.repeat(lag, spread) - within * LAG_INTERVAL)


def _process(samples: Samples, start: float, until: float, limit: float, advice: str, rig: Rig) -> None:
    lag = samples.lag[(samples.lag_time >= start) & (samples.lag_time <= until)]
    cpu = samples.cpu[(samples.cpu_time >= start) & (samples.cpu_time <= until)]
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


def troubles(evidence: Observations, manifest: Manifest, doubts: Sequence[str]) -> list[str]:
    """What went wrong with the rig in its own words. An answer that cannot be read is the target's doing.

    `doubts`: what is wrong with the histories, such as one that was cut, or a fault that cannot be trusted.
    """
    own = [f"{process}: {detail or kind}" for process, kind, detail in evidence.troubles if kind != UNREADABLE]
    return [*_own_limits(evidence), *own, *manifest.troubles, *doubts]


def _own_limits(evidence: Observations) -> list[str]:
    """What the rig's own machine refused it, by errno, each with what met it and what to do."""
    connections = evidence.connections
    met = {
        "send": evidence.sends.status,
        "connection": connections.code[connections.rig_failed],
        "refetch": evidence.refetches.status,
        "final read": evidence.finals.status[evidence.finals.status < NO_FINAL],
    }
    counts = {what: Counter(status[status < 0].tolist()) for what, status in met.items()}
    reasons = []
    for status in sorted({status for found in counts.values() for status in found}, reverse=True):
        parts = [_many(found[status], what) for what, found in counts.items() if found[status]]
        failed = ", ".join(parts)
        if status == UNREADABLE_HERE:
            reasons.append(f"the load generator could not read what came ({failed}), though a browser might have")
            continue
        limit = OWN.get(-status)
        code = errno.errorcode.get(-status, str(-status))
        name = f"{limit.name} ({code})" if limit else code
        remedy = f": {limit.remedy}" if limit else ""
        reasons.append(f"the load generator's own limit, {name}: {failed} failed on it{remedy}")
    return reasons


def _many(count: int, what: str) -> str:
    if count == 1:
        return f"1 {what}"
    return f"{count:,} {what}{'es' if what.endswith('ch') else 's'}"


def _advice(evidence: Observations) -> str:
    busy = sum(samples.busy for samples in evidence.samples)
    return f"use --processes {2 * max(1, busy)}, or less load"


@dataclass(frozen=True, slots=True)
class _Worst:
    """The worst lag in any span of time, in two look-ups: a sparse table over one process's samples.

    Level k of the table holds, for each sample, the worst of the 2^k samples from there on.
    """

    woke: Floats
    due: Floats  # when it should have woken
    table: Floats  # flat: level by level
    level: Ints  # by number of samples: the highest level that fits into them

    @staticmethod
    def of(samples: Samples) -> "_Worst":
        order = np.argsort(samples.lag_time, kind="stable")
        time, lag = samples.lag_time[order], samples.lag[order]
        levels = [lag]
        width = 1
        while 2 * width <= len(lag):
            half = levels[-1]
            levels.append(np.append(np.maximum(half[:-width], half[width:]), half[len(half) - width :]))
            width *= 2
        level = np.frexp(np.maximum(1, np.arange(len(lag) + 1)))[1] - 1
        return _Worst(time, np.maximum.accumulate(time - lag), np.concatenate(levels), ints(level))

    def first(self, begun: Floats) -> Ints:
        """The first sample that a span from then on overlaps."""
        return ints(np.searchsorted(self.woke, begun))

    def after(self, over: Floats) -> Ints:
        """The sample after the last one that a span until then overlaps."""
        return ints(np.searchsorted(self.due, over, side="right"))

    def between(self, first: Ints, after: Ints) -> Floats:
        """The worst lag of the samples [first, after); 0 where there are none."""
        if not len(self.woke):
            return np.zeros(np.broadcast(first, after).shape)
        count = np.maximum(0, after - first)
        level = self.level[count]
        row = level * len(self.woke)
        width = np.left_shift(1, level)
        # Where there are none, any place will do.
        one = self.table[row + np.minimum(first, len(self.woke) - 1)]
        other = self.table[row + np.maximum(0, after - width)]
        return np.where(count > 0, np.maximum(one, other), 0.0)


class Delays:
    """How much of each latency may be the rig's own: the send's lateness and the worst lag of the loops on its way."""

    def __init__(self, ledger: Ledger) -> None:
        evidence = ledger.evidence
        names = {name: number for number, name in enumerate(evidence.processes)}
        self._ledger = ledger
        self._messages = ledger.messages
        self._lateness = lateness_of(ledger.messages)
        self._worst = {names[samples.name]: _Worst.of(samples) for samples in evidence.samples}
        self._proxy = names.get(PROXY)  # it is on everybody's way
        self._home = np.full(ledger.expected.shape[1], -1, np.int64)
        for dashboard, process in (
            (evidence.connections.dashboard, evidence.connections.process),
            (evidence.refetches.dashboard, evidence.refetches.process),
        ):
            known = (dashboard >= 0) & (dashboard < len(self._home))
            self._home[dashboard[known]] = process[known]

    def of(self, process: Ints, begun: Floats, over: Floats) -> Floats:
        """The worst lag of each one's process in its span. What never ended waited for nothing of the rig's."""
        out = np.zeros(len(process))
        over = np.where(np.isfinite(over), over, begun)
        for number, worst in self._worst.items():
            here = np.full(len(process), True) if number == self._proxy else process == number
            out[here] += worst.between(worst.first(begun[here]), worst.after(over[here]))
        return out

    def sends(self, done: Floats) -> Floats:
        """Per message, until `done`."""
        return self._lateness + self.of(self._messages.process, self._messages.intended, done)

    @cached_property
    def seen(self) -> Floats:
        """Messages × dashboards, until each was visible. Of no meaning where it never was."""
        reads, read = self._ledger.reads.done, self._ledger.sight.read

        def after(worst: _Worst) -> _After:
            # There are far fewer refetches than deliveries.
            of_read = np.append(worst.after(reads), 0)
            return lambda part: of_read[read[part]]

        delays = self._deliveries(after)
        if self._ledger.hindrance.any:
            # At worst, all of the time that it took.
            delays[self._ledger.held_up & np.isfinite(self._ledger.visible)] = np.inf
        return delays

    def notified(self) -> Floats:
        """Messages × dashboards, until each was notified. Of no meaning where it never was."""
        notified = self._ledger.announced.notified
        return self._deliveries(lambda worst: lambda part: worst.after(notified[part]))

    def _deliveries(self, after_of: "Callable[[_Worst], _After]") -> Floats:
        """The send's lateness, plus the worst lag of the widget's process, the dashboard's, and the fault proxy."""
        messages = self._messages
        everyone, everything = np.arange(len(self._home)), np.arange(len(messages))
        out = np.repeat(self._lateness[:, None], len(everyone), axis=1)
        for number, worst in self._worst.items():
            first, after = worst.first(messages.intended)[:, None], after_of(worst)
            sent_here, at_home = np.flatnonzero(messages.process == number), np.flatnonzero(self._home == number)
            parts = ((sent_here, everyone), (everything, at_home))
            for rows, columns in ((everything, everyone),) if number == self._proxy else parts:
                for edge in range(0, len(rows), _BLOCK):
                    part = np.ix_(rows[edge : edge + _BLOCK], columns)
                    out[part] += worst.between(first[rows[edge : edge + _BLOCK]], after(part))
        return out


_Part = tuple[Ints, ...]
"""Some messages on some dashboards, as `np.ix_` makes it."""
_After = Callable[[_Part], Ints]
_BLOCK = 500
"""So many messages at once: what is worked out for them on the way stays small."""
