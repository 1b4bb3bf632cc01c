"""One process's part of the live figures: what its recorder has recorded since the last report, in histograms.

The paths of frames and sends do no extra work: twice a second, this reads the history's columns with numpy before they
are written out. So it costs nothing unless live figures were asked for. Where frames carry texts, it is also what finds
out which messages they made visible, for Locust's rows and the progress line.
"""

import logging
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from chatswarm.loadtests.history.tables import ConnectionEvent, SendOutcome
from chatswarm.loadtests.judge.rig import LAG_SHARE, filled_in, tightest
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.swarm.recorder import Recorder

from .buckets import LAG, LATENCY, DeliveryCounts, Floats, LatencyHistogram, rows_of
from .frames_by_id import FramesById, Identified
from .frames_by_text import FramesByText
from .increment import RIG_FAILED, Increment, Send, spread
from .live_audience import LiveAudience
from .newly_shown import Intended, ShownMessages

logger = logging.getLogger(__name__)

_CODES = (1000, 1001, 1006, 1008, 1009, 1011, 1012, 1013)
CODES = (*map(str, _CODES), "other")
"""Close codes that are counted separately."""


class ProcessFigures:
    """Call `collect` before the recorder's columns are written out, and `take_increment` twice a second."""

    def __init__(
        self, recorder: Recorder, messages: ShownMessages, scenario: Scenario, intended: Intended,
        audience: LiveAudience | None = None, updates: Callable[[Floats], None] | None = None, *, watched: bool = True,
    ) -> None:  # fmt: skip
        """`updates` is given the update latencies of what frames with texts made visible; None: frames carry no texts.
        `watched`: somebody may scrape the figures. If not, there are no increments.
        """
        self._failed = False
        self.start = float("inf")  # T0 in monotonic seconds
        self.end = float("inf")  # of the measured part
        self._recorder, self._messages, self._scenario = recorder, messages, scenario
        self._audience = LiveAudience(scenario) if audience is None else audience
        self._updates, self._watched = updates, watched
        self._lag_limit = tightest(scenario.slos, scenario.update_target) * LAG_SHARE
        self._report = Increment()
        self._refetch, self._connect, self._lag = _fresh()
        self._seen: list[tuple[int, float, int, int]] = []  # dashboard, done, range of the new messages
        self._opened: dict[int, float] = {}  # when each connection opened that is not subscribed yet
        self._dashboard = array("q", [-1])  # by connection
        frames = (self._audience, scenario.dashboards, scenario.update_target, intended)
        self._by_id = FramesById(*frames) if updates is None else None
        self._by_text = None if updates is None else FramesByText(*frames)

    def begin(self, start: float) -> None:
        """T0 is known, in monotonic seconds."""
        self.start, self.end = start, start + self._scenario.duration

    def add_shown(self, dashboard: int, done: float, new: range) -> None:
        """These messages are new to a dashboard whose refetch finished at `done`."""
        self._seen.append((dashboard, done, new.start, new.stop))

    def identify(self, found: Iterable[Identified]) -> None:
        """Takes the target's ids for messages, including those that other processes sent."""
        if self._by_id is not None:
            self._by_id.identify(found)

    def collect(self) -> None:
        """Takes in what has been recorded since the last call. Raises nothing: no verdict comes from these figures, so
        a mistake in them must not cost a history. They stop there, and a note says so.
        """
        if self._failed:
            return
        try:
            self._collect()
        except Exception as error:
            self._failed = True
            logger.exception("live figures")
            detail = f"the live figures of a process stopped: {type(error).__name__}: {error}"
            self._recorder.note(time.monotonic(), "live", detail)

    def _collect(self) -> None:
        self._take_connections()
        self._take_frames()
        if not self._watched:
            return
        self._take_sends()
        started, done, version, dashboard = self._new("refetch", "started", "done", "version", "dashboard")
        good = (started >= self.start) & (started <= self.end) & (version >= 0) & (dashboard >= 0)
        self._refetch.take((done - started)[good])
        moment, lag = self._new("lag", "time", "lag")
        measured = (moment >= self.start) & (moment <= self.end + self._scenario.update_target)
        if measured.any():
            self._lag.take(filled_in(lag[measured]))
        (cpu,) = self._new("cpu", "cpu")
        if len(cpu):
            self._report.cpu = float(cpu[-1])

    def take_increment(self) -> Increment:
        """Everything since the last increment. Only if somebody watches."""
        self.collect()
        if self._failed:
            return Increment()
        increment, cpu = self._report, self._report.cpu
        if self._by_text is not None:
            increment.visible, increment.notified = self._by_text.deliveries()
        elif self._by_id is not None:
            increment.visible, increment.notified = self._visible(), self._by_id.deliveries(self.start)
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
            # Frames with texts need no ids.
            identity = -1 if self._by_id is None else message_id
            self._report.sends.append(Send(widget, n, kind, done - self.start, identity))
            if outcome == SendOutcome.ACCEPTED and identity >= 0:
                self.identify([(identity, widget, n)])

    def _take_connections(self) -> None:
        lost: Counter[str] = Counter(self._report.lost)
        for connection, dashboard, event, code, moment in zip(
            *self._recorder.since("connection", ("connection", "dashboard", "event", "code", "time")), strict=True
        ):
            if event == ConnectionEvent.OPENING:
                self._opened[connection] = moment
                self._dashboard.append(dashboard)
                continue
            if dashboard < 0:
                continue  # of a widget that sends over its socket
            opened = self._opened.pop(connection, None)
            if event == ConnectionEvent.SUBSCRIBED and opened is not None:
                self._connect.observe(moment - opened)
            elif event == ConnectionEvent.CLOSED:
                lost[str(code) if code in _CODES else "other"] += 1
        self._report.lost = dict(lost)

    def _take_frames(self) -> None:
        columns = ("announcement", "from_customer", "message_id", "widget", "n", "how")
        for number, from_customer, message_id, widget, n, how in zip(
            *self._recorder.since("announcement", columns), strict=True
        ):
            if self._by_text is not None:
                self._by_text.announce(widget, n, how)
            elif self._by_id is not None:
                self._by_id.announce(number, from_customer=bool(from_customer), message_id=message_id)
        connection, announcement, moment = self._new("frame", "connection", "announcement", "time")
        if not len(moment):
            return
        dashboard = np.asarray(self._dashboard)[connection]
        if self._by_text is not None and self._updates is not None:
            self._updates(self._by_text.take(announcement, dashboard, moment, self.start, keep=self._watched))
        elif self._by_id is not None:
            self._by_id.take(announcement, dashboard, moment)

    def _visible(self) -> list[DeliveryCounts]:
        """What refetches showed."""
        if not self._seen:
            return []
        dashboard, done, first, last = (np.asarray(column) for column in zip(*self._seen, strict=True))
        self._seen = []
        counts = last - first
        message = np.repeat(first, counts) + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        lowest = int(message.min())
        intended = np.asarray(self._messages.intended[lowest : int(message.max()) + 1])[message - lowest]
        dashboard, done = np.repeat(dashboard, counts), np.repeat(done, counts)
        due = self._audience.must_show(self._messages.keys, message, intended - self.start, dashboard)
        if due is not None:
            message, intended, done = message[due], intended[due], done[due]
        return rows_of(self._messages.keys, message, done - intended, self._scenario.update_target)


def _fresh() -> tuple[LatencyHistogram, LatencyHistogram, LatencyHistogram]:
    return LatencyHistogram.empty(LATENCY), LatencyHistogram.empty(LATENCY), LatencyHistogram.empty(LAG)
