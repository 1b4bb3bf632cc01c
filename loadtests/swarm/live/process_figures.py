"""One process's part of the live figures: what its recorder took down since the last look, counted into buckets.

Nothing is noted a second time on the way of a frame or a send: this reads the columns of the history before they are
written out, twice a second and in numpy. So it costs nothing where nobody watches.
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
"""The close codes that are told apart."""
_MAX_IDS = 16384  # ids of messages that are remembered
_TRACKED = 2048  # announcements of which it is remembered who had them
_NOT_YET = -1
_PATIENCE = 10.0  # seconds that a frame waits for somebody to say which message its id is

Identified = tuple[int, int, int]
"""The id that the target gave a message, its widget, and its number there."""


class ProcessFigures:
    """Call `look` before the recorder's columns are written out, and `report` twice a second."""

    def __init__(self, recorder: Recorder, messages: ShownMessages, scenario: Scenario, intended: Intended) -> None:
        self.start = float("inf")  # T0 in monotonic seconds
        self.end = float("inf")  # of the measured part
        self._recorder, self._messages, self._scenario, self._intended = recorder, messages, scenario, intended
        self._lag_limit = tightest(scenario.slos, scenario.update_target) * LAG_SHARE
        self._all_dashboards_due = len({stage.dashboards for stage in scenario.stages}) == 1
        self._report = Increment()
        self._refetch, self._connect, self._lag = _fresh()
        self._seen: list[tuple[int, float, int, int]] = []  # dashboard, done, first and last of the new messages
        self._opened: dict[int, float] = {}  # connections that are not subscribed yet
        self._dashboard = array("q", [-1])  # by connection
        self._ids: dict[int, tuple[int, int]] = {}
        self._unnamed: dict[int, int] = {}  # announcement → message id of nobody's yet
        self._keys: list[tuple[int, int]] = []  # by announcement
        self._when = array("d")  # by announcement: when its message was intended; NaN: whose it is, is not known
        # By announcement and dashboard: the place of its first frame among those that were looked at with it.
        self._had = np.full((_TRACKED, scenario.dashboards), _NOT_YET, np.int32)
        self._frames: list[tuple[Ints, Ints, Floats]] = []

    def begin(self, start: float) -> None:
        """T0 is known, in monotonic seconds."""
        self.start, self.end = start, start + self._scenario.duration

    def add_shown(self, dashboard: int, done: float, new: range) -> None:
        """These messages are new to a dashboard whose refetch was done then."""
        self._seen.append((dashboard, done, new.start, new.stop))

    def identify(self, found: Iterable[Identified]) -> None:
        """Other processes' messages got these ids from the target."""
        for message_id, widget, n in found:
            self._ids[message_id] = (widget, n)
        while len(self._ids) > _MAX_IDS:
            del self._ids[next(iter(self._ids))]

    def collect(self) -> None:
        """Takes in what the recorder has taken down since the last look."""
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
        """All since the last one."""
        self.collect()
        take_increment, cpu = self._report, self._report.cpu
        take_increment.visible, take_increment.notified = self._visible(), self._notified()
        take_increment.refetch, take_increment.connect, take_increment.lag = map(
            spread, (self._refetch, self._connect, self._lag)
        )
        self._refetch, self._connect, self._lag = _fresh()
        self._report = Increment(cpu=cpu)
        return take_increment

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
        """Of the dashboards that must show the message."""
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
        # The first frame of each message on each dashboard: they stand in the order in which they came.
        there = (dashboard < self._had.shape[1]) & (announcement > len(self._keys) - _TRACKED)
        dashboard, announcement, time = dashboard[there], announcement[there], time[there]
        spot = announcement % _TRACKED * self._had.shape[1] + dashboard
        place, had = np.arange(len(spot), dtype=np.int32), self._had.ravel()
        new = had[spot] == _NOT_YET
        spot, place = spot[new], place[new]
        # The last one to write its place wins: backwards, the first frame.
        had[spot[::-1]] = place[::-1]
        first = place[had[spot] == place]
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
