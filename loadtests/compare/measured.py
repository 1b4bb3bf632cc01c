"""One recorded run as a comparison sees it: what was run, and its figures."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from chatswarm.loadtests.history.files import HistoryError, read
from chatswarm.loadtests.history.manifest import PROTOCOL, TARGET, history_file
from chatswarm.loadtests.judge.judge import Judged, Step, judged
from chatswarm.loadtests.judge.latency import Latencies
from chatswarm.loadtests.judge.verdict import Verdict
from chatswarm.loadtests.scenario.metric_names import CLOSED, LATENCIES, QUANTILES, Outcome
from chatswarm.loadtests.scenario.scenario import Scenario

from .floor import floor_share, waiting_quantile
from .metrics import MISHAPS, QUANTITIES, latency_of

SHARES: tuple[float, ...] = (*(round(1 - 10 ** (-step / 10), 9) for step in range(31)),)
"""The percentiles of a run's curves: ten for each nine, up to 99.9 %."""
_SPREAD = ("visible", "median_dashboard", "last_dashboard")
"""The update latencies that a dashboard's wait for its next refetch is a part of. The first dashboard hardly waits."""

_SHORTEST = 1.1
"""How many times a figure its waiting may seem to be: with few messages, both scatter."""


@dataclass(frozen=True)
class MeasuredRun:
    """A run's figures. `figures` has those that were measured: seconds or counts, infinite for never."""

    folder: Path
    outcome: Outcome
    exit_code: int
    sound: bool
    reasons: tuple[str, ...]
    target: str
    started: float
    """UNIX time."""
    seed: int
    version: str
    protocol: str
    protocol_text: str
    """Of the protocol's file; empty if it has none."""
    processes: int
    scenario: Scenario
    faults: tuple[tuple[str, str], ...]
    """The name and kind of each one that was injected, sorted."""
    cut: str
    """The history that is incomplete, and why; empty: none is."""
    by_refetch: bool
    """Whether messages are visible by a refetch."""
    figures: Mapping[str, float]
    curves: Mapping[str, tuple[float, ...]]
    """Of each latency: its value at each of SHARES, in seconds."""

    @property
    def table(self) -> Mapping[str, Any]:
        """The resolved scenario."""
        return self.scenario.table

    def figure(self, metric: str) -> float | None:
        """The metric's value. None: not measured, or the run decides nothing about it.

        What was lost was lost, but a rig that was too slow makes every latency larger.
        """
        if self.outcome == "undecided" or (latency_of(metric) is not None and not self.sound):
            return None
        return self.figures.get(metric)

    def waiting_share(self, metric: str) -> float | None:
        """How much of the figure is the wait for the dashboard's next refetch. None: none of it can be."""
        figure, latency = self.figure(metric), latency_of(metric)
        interval = self.scenario.refetch.interval
        if not figure or latency not in _SPREAD or not self.by_refetch or not interval:
            return None
        rate = self.scenario.rates.messages / self.scenario.duration
        quantiles = {f"{latency}.{key}": value for key, value in QUANTILES.items()}
        share = {"last_dashboard": 1.0, "median_dashboard": 0.5}.get(latency, quantiles[metric])
        waiting = waiting_quantile(share, interval * rate)
        # Where dashboards evidently wait less, the interval says nothing about them.
        return None if interval * waiting > _SHORTEST * figure else floor_share(figure, interval, waiting)


def measured_run(folder: Path, step: Step = lambda *_: None) -> MeasuredRun:
    """Judges the run in `folder` from its history. Raises NoRunError."""
    return figures_of_run(folder, judged(folder, step=step))


def figures_of_run(folder: Path, run: Judged) -> MeasuredRun:
    """The figures of a run that was judged."""
    verdict, manifest = run.verdict, run.manifest
    file = folder / PROTOCOL
    return MeasuredRun(
        folder=folder,
        outcome=verdict.verdict,
        exit_code=verdict.exit_code,
        sound=verdict.rig.sound,
        reasons=tuple(verdict.reasons),
        target=manifest.target,
        started=_time(manifest.started),
        seed=manifest.seed,
        version=manifest.version,
        protocol=manifest.protocol,
        protocol_text=file.read_text(encoding="utf-8") if file.exists() else "",
        processes=len(manifest.with_users),
        scenario=run.scenario,
        faults=tuple(sorted((fault.name, fault.kind) for fault in verdict.faults)),
        cut=_cut(folder, run),
        by_refetch=manifest.promises.visible == "refetch",
        figures={**_counts(verdict), **({} if run.latencies is None else _latencies(run.latencies))},
        curves={} if run.latencies is None else _curves(run.latencies),
    )


def _time(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def _cut(folder: Path, run: Judged) -> str:
    whole = set[str]()
    if run.ledger is not None:
        # Reading a history takes longer than all else here, and the judge has read them already.
        observations = run.ledger.observations
        whole = {name for name, each in zip(observations.processes, observations.whole.tolist(), strict=True) if each}
    for name in run.manifest.processes:
        if name in whole:
            continue
        path = history_file(folder, name)
        try:
            cut = read(path).cut
        except (OSError, HistoryError) as error:
            cut = str(error)
        if cut is not None and name != TARGET:
            return f"history/{path.name}: {cut}"
    return ""


def _counts(verdict: Verdict) -> dict[str, float]:
    parts = (verdict.messages, verdict.deliveries, verdict.counts)
    counts = {name: value for part in parts for name, value in msgspec.structs.asdict(part).items()}
    counts[CLOSED] = verdict.connections.closed
    return {name: float(counts[name]) for name in (*MISHAPS, *QUANTITIES) if counts[name] is not None}


def _latencies(latencies: Latencies) -> dict[str, float]:
    figures = {}
    for name in LATENCIES:
        sample = latencies.sample(name)
        for key, share in QUANTILES.items():
            low, high = sample.quantile(share, "low"), sample.quantile(share, "high")
            # What was not measured could be anything between the two.
            if low is not None and high is not None and math.isclose(low, high, rel_tol=0.01):
                figures[f"{name}.{key}"] = high
    return figures


def _curves(latencies: Latencies) -> dict[str, tuple[float, ...]]:
    curves = {}
    for name in LATENCIES:
        values = latencies.sample(name).values
        if len(values):
            ranks = np.maximum(1, np.ceil(np.array(SHARES) * len(values) - 1e-9)).astype(np.int64) - 1
            curves[name] = tuple(values[ranks].tolist())
    return curves
