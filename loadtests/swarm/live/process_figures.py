"""One process's part of the live figures: what its recorder has recorded since the last report, in histograms.

The paths of frames and sends do no extra work: twice a second, this reads the history's columns with numpy before they
are written out. So it costs nothing unless live figures were asked for.
"""

from array import array
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from chatswarm.loadtests.history.tables import ConnectionEvent, SendOutcome
from chatswarm.loadtests.judge.rig import LAG_SHARE, filled_in, tightest
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.swarm.recorder import Recorder

from .buckets import LAG, LATENCY, DeliveryCounts, Floats, Ints, LatencyHistogram, rows_of
from .increment import RIG_FAILED, Increment, Send, spread
from .newly_shown import Intended, ShownMessages

_CODES = (1000, 1001, 1006, 1008, 1009, 1011, 1012, 1013)
CODES = (*map(str, _CODES), "other")
"""Close codes that are counted separately."""
_MAX_IDS = 16384  # message ids to remember
_TRACKED = 2048  # announcements for which to remember the dashboards that got them
_NOT_YET = -1
_PATIENCE = 10.0  # seconds for which a frame waits until the message of its id is known

Identified = tuple[int, int, int]
"""The target's id for a message, the message's widget, and its number n there."""


class ProcessFigures:
    """Call `collect` before the recorder's columns are written out, and `take_increment` twice a second."""

    def __init__(self, recorder: Recorder, messages: ShownMessages, scenario: Scenario, intended: Intended) -> None:
        self.start = float("inf")  # T0 in monotonic seconds
        self.end = float("inf")  # of the measured part
        self._recorder, self._messages, self._scenario, self._intended = recorder, messages, scenario, intended
        self._lag_limit = tightest(scenario.slos, scenario.update_target) * LAG_SHARE
        self._all_dashboards_due = len({stage.dashboards for stage in scenario.stages}) == 1
        self._report = Increment()
        self._refetch, self._connect, self._lag = _fresh()
        self._seen: list[tuple[int, float, int, int]] = []  # dashboard, done, range of the new messages
        self._opened: dict[int, float] = {}  # when each connection opened that is not subscribed yet
        self._dashboard = array("q", [-1])  # by connection
        self._ids: dict[int, tuple[int, int]] = {}
        self._unnamed: dict[int, int] = {}  # announcement → a message id whose message is not known yet
        self._keys: list[tuple[int, int]] = []  # by announcement
        self._when = array("d")  # by announcement: when its message was intended; NaN: not known yet
        # By announcement and dashboard: the index of its first frame in the batch that was collected with it.
        self._had = np.full((_TRACKED, scenario.dashboards), _NOT_YET, np.int32)
        self._frames: list[tuple[Ints, Ints, Floats]] = []

    def begin(self, start: float) -> None:
        """T0 is known, in monotonic seconds."""
        self.start, self.end = start, start + self._scenario.duration

    def add_shown(self, dashboard: int, done: float, new: range) -> None:
        """These messages are new to a dashboard whose refetch finished at `done`."""
        self._seen.append((dashboard, done, new.start, new.stop))

    def identify(self, found: Iterable[Identified]) -> None:
        """Takes the target's ids for messages, including those that other processes sent."""
        for message_id, widget, n in found:
            self._ids[message_id] = (widget, n)
        while len(self._ids) > _MAX_IDS:
            del self._ids[next(iter(self._ids))]

    def collect(self) -> None:
        """Takes in what has been recorded since the last call."""
        self._take_connections()
        self._take_sends()
        self._take_frames()
        started, done, version, dashboard = self._new("refetch", "started", "done", "version", "dashboard")
        good = (started >= self.start) & (started <= self.end) & (version >= 0) & (dashboard >= 0)
        self._refetch.take((done - started)[good])
        time, lag = self._new("lag", "time", "lag")
        measured = (time >= self.start) & (time <= self.end + self._scenario.update_target)
        if measured.any():
            self._lag.take(filled_in(lag[measured]))
        (cpu,) = self._new("cpu", "cpu")
        if len(cpu):
            self._report.cpu = float(cpu[-1])

    def take_increment(self) -> Increment:
        """Everything since the last increment."""
        self.collect()
        increment, cpu = self._report, self._report.cpu
        increment.visible, increment.notified = self._visible(), self._notified()
        increment.refetch, increment.connect, increment.lag = map(spread, (self._refetch, self._connect, self._lag))
        self._refetch, self._connect, self._lag = _fresh()
        self._report = Increment(cpu=cpu)
        return increment

    def _new(self, table: str, *columns: str) -> list[Any]:
        return [np.asarray(column) for column in self._recorder.since(table, columns)]

    def _take_sends(self) -> None:
        columns = ("widget", "n", "intended", "handed", "done", "outcome", "status", "message_id")
        for widget, n, intended, handed, done, outcome, status, message_id in zip(
            *self._recorder.since("send", columns), strict=True
        ):
            self._report.late_sends += handed - intended > self._lag_limit
            kind = RIG_FAILED if status < 0 else outcome
            self._report.sends.append(Send(widget, n, kind, done - self.start, message_id))
            if outcome == SendOutcome.ACCEPTED and message_id >= 0:
                self.identify([(message_id, widget, n)])

    def _take_connections(self) -> None:
        lost: Counter[str] = Counter(self._report.lost)
        for connection, dashboard, event, code, time in zip(
            *self._recorder.since("connection", ("connection", "dashboard", "event", "code", "time")), strict=True
        ):
            if event == ConnectionEvent.OPENING:
                self._opened[connection] = time
                self._dashboard.append(dashboard)
                continue
            opened = self._opened.pop(connection, None)
            if event == ConnectionEvent.SUBSCRIBED and opened is not None:
                self._connect.observe(time - opened)
            elif event == ConnectionEvent.CLOSED:
                lost[str(code) if code in _CODES else "other"] += 1
        self._report.lost = dict(lost)

    # Visible.

    def _visible(self) -> list[DeliveryCounts]:
        if not self._seen:
            return []
        dashboard, done, first, last = (np.asarray(column) for column in zip(*self._seen, strict=True))
        self._seen = []
        counts = last - first
        message = np.repeat(first, counts) + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        lowest = int(message.min())
        intended = np.asarray(self._messages.intended[lowest : int(message.max()) + 1])[message - lowest]
        return self._rows(self._messages.keys, message, intended, np.repeat(dashboard, counts), np.repeat(done, counts))

    def _rows(
        self, keys: list[tuple[int, int]], message: Ints, intended: Floats, dashboard: Ints, time: Floats
    ) -> list[DeliveryCounts]:
        """The deliveries, without those to dashboards that need not show the message."""
        if not self._all_dashboards_due:
            due = {at: self._scenario.eligible(at - self.start) for at in np.unique(intended).tolist()}
            planned = dashboard < np.array([due[at] for at in intended.tolist()])
            message, intended, time = message[planned], intended[planned], time[planned]
        return rows_of(keys, message, time - intended, self._scenario.update_target)

    # Notified.

    def _take_frames(self) -> None:
        for number, from_customer, message_id in zip(
            *self._recorder.since("announcement", ("announcement", "from_customer", "message_id")), strict=True
        ):
            self._keys.append((-1, -1))
            self._when.append(float("nan"))
            self._had[number % _TRACKED] = _NOT_YET
            if from_customer and message_id >= 0:
                self._unnamed[number] = message_id
        connection, announcement, time = self._new("frame", "connection", "announcement", "time")
        if not len(time):
            return
        dashboard = np.asarray(self._dashboard)[connection]
        # Keep the first frame of each message on each dashboard; frames are in order of arrival.
        tracked = (dashboard < self._had.shape[1]) & (announcement > len(self._keys) - _TRACKED)
        dashboard, announcement, time = dashboard[tracked], announcement[tracked], time[tracked]
        slot = announcement % _TRACKED * self._had.shape[1] + dashboard
        index, had = np.arange(len(slot), dtype=np.int32), self._had.ravel()
        new = had[slot] == _NOT_YET
        slot, index = slot[new], index[new]
        # numpy keeps the last value written to a slot: written backwards, that is the first frame.
        had[slot[::-1]] = index[::-1]
        first = index[had[slot] == index]
        self._frames.append((dashboard[first], announcement[first], time[first]))

    def _notified(self) -> list[DeliveryCounts]:
        for number, message_id in list(self._unnamed.items()):
            if message_id in self._ids:
                del self._unnamed[number]
                widget, n = self._ids[message_id]
                if (intended := self._intended(widget, n)) is not None:
                    self._keys[number], self._when[number] = (widget, n), intended
        while len(self._unnamed) > _TRACKED:
            del self._unnamed[next(iter(self._unnamed))]
        if not self._frames:
            return []
        dashboard, announcement, time = (np.concatenate(column) for column in zip(*self._frames, strict=True))
        lowest = int(announcement.min(initial=len(self._when)))
        intended = np.asarray(self._when[lowest:])[announcement - lowest]
        known = np.isfinite(intended)
        waits = ~known & (time > time.max(initial=-np.inf) - _PATIENCE)
        self._frames = [(dashboard[waits], announcement[waits], time[waits])] if waits.any() else []
        if not known.any():
            return []
        return self._rows(self._keys, announcement[known], intended[known], dashboard[known], time[known])


def _fresh() -> tuple[LatencyHistogram, LatencyHistogram, LatencyHistogram]:
    return LatencyHistogram.empty(LATENCY), LatencyHistogram.empty(LATENCY), LatencyHistogram.empty(LAG)
