"""The live figures of a run, combined from what all processes of the swarm report. Not used by the verdict.

    outcome of a send ──┐
                        ├─► accepted: count its deliveries ─► visible on all dashboards: count the last, then forget it
    DeliveryCounts ─────┘   not accepted: ignore them

Counts from another process may arrive before the outcome; they are held until it is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chatswarm.loadtests.history.tables import SendOutcome
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.swarm.plan import ProcessProgress

from .buckets import LAG, LATENCY, DeliveryCounts, LatencyHistogram
from .frames_by_id import Identified
from .increment import RIG_FAILED, Increment
from .live_audience import LiveAudience
from .process_figures import CODES


@dataclass(slots=True)
class _Open:
    """An accepted message that is not visible on all its dashboards yet."""

    expected: int
    accepted: float  # seconds after T0
    seen: int = 0
    most: float = 0.0


class CombinedFigures:
    """Times are in seconds after T0. `schedule`: each widget's intended times."""

    def __init__(
        self, scenario: Scenario, schedule: Sequence[Sequence[float]], run: str, target: str,
        audience: LiveAudience | None = None,
    ) -> None:  # fmt: skip
        self.scenario, self.run, self.target = scenario, run, target
        self.audience = LiveAudience(scenario) if audience is None else audience
        self.sent = self.subscribed = 0
        self.outcomes = dict.fromkeys((*SendOutcome, RIG_FAILED), 0)
        self.expected = self.delivered = self.late = self.late_sends = 0
        self.accepted, self.visible, self.notified = (LatencyHistogram.empty(LATENCY) for _ in range(3))
        self.last_dashboard, self.refetch, self.connect = (LatencyHistogram.empty(LATENCY) for _ in range(3))
        self.lag = LatencyHistogram.empty(LAG)
        self.lost = dict.fromkeys(CODES, 0)
        self.cpu: dict[str, float] = {}  # cores, by process
        self._schedule = schedule
        self._times = np.sort(np.concatenate([np.zeros(0), *(np.asarray(times) for times in schedule)]))
        self._outcome: dict[tuple[int, int], int] = {}
        self._open: dict[tuple[int, int], _Open] = {}
        self._waiting: dict[tuple[int, int], list[tuple[bool, DeliveryCounts]]] = {}

    def progressed(self, total: ProcessProgress) -> None:
        """Takes the progress of the whole swarm."""
        self.sent, self.subscribed = total.sent, total.subscribed

    def take(self, process: str, report: Increment) -> list[Identified]:
        """Adds a process's report. Returns the message ids that it learned, because the frames that other processes
        receive refer to messages by id.
        """
        for send in report.sends:
            self._take_outcome((send.widget, send.n), send.outcome, send.done)
        for visible, rows in ((True, report.visible), (False, report.notified)):
            for row in rows:
                self._take_counts(visible, row)
        for mine, more in (
            (self.refetch, report.refetch),
            (self.connect, report.connect),
            (self.lag, report.lag),
        ):
            mine.add(more.counts, more.seconds)
        for code, count in report.lost.items():
            self.lost[code] += count
        self.late_sends += report.late_sends
        if report.cpu is not None:
            self.cpu[process] = report.cpu
        return [
            (send.message_id, send.widget, send.n)
            for send in report.sends
            if send.message_id >= 0 and send.outcome == SendOutcome.ACCEPTED
        ]

    def intended(self, now: float) -> int:
        """The number of messages that the schedule intended by `now`."""
        return int(np.searchsorted(self._times, now, side="right"))

    def missing(self, now: float) -> int:
        """Missing deliveries of messages that were accepted longer ago than the update target."""
        since = now - self.scenario.update_target
        return sum(message.expected - message.seen for message in self._open.values() if message.accepted < since)

    def users(self, now: float) -> Mapping[str, int]:
        """The number of users of each kind that the scenario plans at `now`."""
        begun, dashboards = 0.0, self.scenario.stages[0].dashboards
        for stage in self.scenario.stages:
            if begun <= now:
                dashboards = stage.dashboards
            begun += stage.seconds
        return {"dashboard": dashboards, "widget": self.scenario.widgets}

    def _take_outcome(self, key: tuple[int, int], outcome: int, done: float) -> None:
        self._outcome[key] = outcome
        self.outcomes[outcome] += 1
        if outcome == SendOutcome.ACCEPTED:
            widget, n = key
            at = self._schedule[widget][n]
            self.accepted.observe(done - at)
            expected = self.audience.count(widget, n, at)
            self.expected += expected
            if expected:
                self._open[key] = _Open(expected, done)
        for visible, row in self._waiting.pop(key, ()):
            self._take_counts(visible, row)

    def _take_counts(self, visible: bool, row: DeliveryCounts) -> None:
        key = (row.widget, row.n)
        outcome = self._outcome.get(key)
        if outcome is None:
            self._waiting.setdefault(key, []).append((visible, row))
        elif outcome != SendOutcome.ACCEPTED:
            pass
        elif not visible:
            self.notified.add(row.counts, row.seconds)
        else:
            self._take_visible(key, row)

    def _take_visible(self, key: tuple[int, int], row: DeliveryCounts) -> None:
        message = self._open.get(key)
        if message is None:
            return
        count = sum(row.counts)
        self.visible.add(row.counts, row.seconds)
        self.delivered += count
        self.late += row.late
        message.seen += count
        message.most = max(message.most, row.most)
        if message.seen >= message.expected:
            self.last_dashboard.observe(message.most)
            del self._open[key]
