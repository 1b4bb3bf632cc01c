"""A run over time: exact quantiles, traffic, connections, the rig's lag and what was used, in equal spans.

Nothing is smoothed: the worst delivery and the worst lag of each span are always shown.
"""

import math
from dataclasses import dataclass

import numpy as np

from chatswarm.loadtests.history.tables import ConnectionEvent, SendOutcome
from chatswarm.loadtests.judge.latency import sample_of
from chatswarm.loadtests.judge.ledger import Ledger
from chatswarm.loadtests.judge.ledger.arrays import Bools, Floats, Ints, ints
from chatswarm.loadtests.judge.usage import target_cpu

SPANS = 80
"""At most this many spans, so that each is a few pixels wide."""
_SAMPLED = 1.0  # seconds between two samples of what was used
_WIDTHS = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)


@dataclass(frozen=True, slots=True)
class Span:
    """The messages intended in one span of the measured part. Times are seconds after its start.

    Latencies are in seconds, over all expected deliveries: infinite if they fall among the lost, None without samples.
    """

    begin: float
    end: float
    deliveries: int
    lost: int
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None
    accepted: int
    rejected: int
    unknown: int
    subscribed: int  # dashboards: the fewest at any moment of the span


@dataclass(frozen=True, slots=True)
class ProcessLag:
    """The worst loop lag of one process of the rig in each span, in seconds; None: not measured."""

    process: str
    worst: tuple[float | None, ...]
    cpu: float | None  # cores used, in its busiest second
    largest: float | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used in the worst second of one span. None: not measured."""

    begin: float  # seconds after the start
    end: float
    machine: float | None  # cores, of the busiest machine of the rig
    target: float | None  # cores, of all the target's processes together
    cpu_pressure: float | None  # share of the second in which some task waited, on the worst machine
    io_pressure: float | None
    memory_pressure: float | None


def edges_of(seconds: float, least: float = 0.0) -> Floats:
    """The edges of the spans: equal round widths of at least `least`, except that the last span may be shorter."""
    width = next((width for width in _WIDTHS if width >= least and seconds <= width * SPANS), seconds / SPANS)
    count = max(1, math.ceil(seconds / width - 1e-9))
    return np.append(np.arange(count) * width, max(seconds, 1e-9))


def spans_of(ledger: Ledger) -> list[Span]:
    """The measured part in spans. A message belongs to the span of its intended time."""
    edges = edges_of(ledger.end - ledger.start)
    messages = ledger.messages
    which = ints(np.clip(np.searchsorted(edges, messages.intended - ledger.start, side="right") - 1, 0, len(edges) - 2))
    counted = ledger.expected & ~ledger.excused
    subscribed = _fewest_subscribed(ledger, edges + ledger.start)
    order = np.argsort(which, kind="stable")
    rows_of = np.split(order, np.searchsorted(which[order], np.arange(1, len(edges) - 1)))
    return [
        _span(ledger, counted, rows, float(edges[number]), float(edges[number + 1]), subscribed[number])
        for number, rows in enumerate(rows_of)
    ]


def _span(ledger: Ledger, counted: Bools, rows: Ints, begin: float, end: float, subscribed: int) -> Span:
    messages = ledger.messages
    mine = ledger.deliveries.of(rows)
    mine = mine[counted[mine]]
    visible = np.where(ledger.unproven[mine], np.nan, ledger.visible[mine])
    found = sample_of(visible - messages.intended[ledger.deliveries.message[mine]])
    p50, p95, p99, worst = (
        float(found.values[max(1, math.ceil(share * len(found.values) - 1e-9)) - 1]) if len(found.values) else None
        for share in (0.5, 0.95, 0.99, 1.0)
    )
    outcomes = messages.outcome[rows]
    accepted, rejected, unknown = (
        int((outcomes[~messages.rig_failed[rows]] == outcome).sum())
        for outcome in (SendOutcome.ACCEPTED, SendOutcome.REJECTED, SendOutcome.UNKNOWN)
    )
    lost = int(np.isinf(found.values).sum())
    return Span(
        begin, end, found.count, lost, p50, p95, p99, worst, accepted, rejected, unknown, subscribed
    )  # fmt: skip


def _fewest_subscribed(ledger: Ledger, edges: Floats) -> list[int]:
    connections = ledger.observations.connections
    there = np.isfinite(connections.subscribed) & (connections.dashboard >= 0)
    there &= connections.dashboard < ledger.scenario.dashboards
    begun = connections.subscribed[there]
    # A connection that was still open when its history ended did not close then.
    ends = np.isin(
        connections.event[there], (ConnectionEvent.CLOSED, ConnectionEvent.FAILED, ConnectionEvent.STOPPED)
    ) & np.isfinite(connections.ended[there])
    over = connections.ended[there][ends]
    moments = np.concatenate([begun, over])
    steps = np.concatenate([np.ones(len(begun)), -np.ones(len(over))])
    order = np.lexsort((-steps, moments))  # a dashboard that is back in the same instant was never missing
    moments, level = moments[order], np.concatenate([[0], np.cumsum(steps[order])])
    first, last = np.searchsorted(moments, edges[:-1], side="right"), np.searchsorted(moments, edges[1:], side="left")
    return [int(level[begin : max(begin, end) + 1].min()) for begin, end in zip(first, last, strict=True)]


def lags_of(ledger: Ledger) -> list[ProcessLag]:
    """The lag and CPU of each sampled process of the rig."""
    edges = edges_of(ledger.end - ledger.start) + ledger.start
    lags: list[ProcessLag] = []
    for samples in ledger.observations.samples:
        inside = (samples.lag_time >= edges[0]) & (samples.lag_time <= edges[-1])
        time, lag = samples.lag_time[inside], samples.lag[inside]
        worst = np.full(len(edges) - 1, -np.inf)
        at = np.clip(np.searchsorted(edges, time, side="right") - 1, 0, len(worst) - 1)
        # A blocked loop was late in every span that it missed, not only in the one where it woke.
        since = np.clip(np.searchsorted(edges, time - np.maximum(lag, 0), side="right") - 1, 0, at)
        np.maximum.at(worst, at, lag)
        for number in np.flatnonzero(since < at).tolist():
            begin, end = int(since[number]), int(at[number])
            worst[begin:end] = np.maximum(worst[begin:end], lag[number])
        cpu = samples.cpu[(samples.cpu_time >= edges[0]) & (samples.cpu_time <= edges[-1])]
        lags.append(
            ProcessLag(
                samples.name,
                tuple(max(0.0, value) if math.isfinite(value) else None for value in worst.tolist()),
                float(cpu.max()) if len(cpu) else None,
                max(0.0, float(lag.max())) if len(lag) else None,
            )
        )
    return [lag for lag in lags if lag.largest is not None or lag.cpu is not None]


def usages_of(ledger: Ledger) -> list[Usage]:
    """What the rig's machines and the target's processes used; empty if neither was measured."""
    edges = edges_of(ledger.end - ledger.start, least=_SAMPLED) + ledger.start
    machines = ledger.observations.machines
    columns = [
        _worst_in(edges, [(machine.time, machine.cpu) for machine in machines]),
        _worst_in(edges, [target_cpu(ledger.observations.target_processes)]),
        _worst_in(edges, [(machine.time, machine.cpu_pressure) for machine in machines]),
        _worst_in(edges, [(machine.time, machine.io_pressure) for machine in machines]),
        _worst_in(edges, [(machine.time, machine.memory_pressure) for machine in machines]),
    ]
    if all(value is None for column in columns for value in column):
        return []
    begins, ends = ((edges - ledger.start)[part].tolist() for part in (slice(None, -1), slice(1, None)))
    return [Usage(*row) for row in zip(begins, ends, *columns, strict=True)]


def _worst_in(edges: Floats, series: list[tuple[Floats, Floats]]) -> list[float | None]:
    """The highest value in each span; None: none was measured. A sample at an edge is about the span before it."""
    worst = np.full(len(edges) - 1, -np.inf)
    for time, values in series:
        inside = (time > edges[0]) & (time <= edges[-1]) & ~np.isnan(values)
        np.maximum.at(worst, np.searchsorted(edges, time[inside], side="left") - 1, values[inside])
    return [value if math.isfinite(value) else None for value in worst.tolist()]
