"""Frames that carry the text of a message: which message became visible on which dashboard, and when."""

import math
from array import array

import numpy as np

from chatswarm.loadtests.history.tables import Sighting

from .buckets import DeliveryCounts, Floats, Ints, rows_of
from .first_sightings import FirstSightings
from .live_audience import LiveAudience
from .newly_shown import Intended

_NOBODY = -1  # an announcement of no message of this run


class FramesByText:
    """Frames of one process. A message may have several announcements, such as a live and a replayed one."""

    def __init__(self, audience: LiveAudience, dashboards: int, target: float, intended: Intended) -> None:
        """`dashboards`: how many the scenario plans; `target`: the update target in seconds."""
        self._audience, self._dashboards, self._target, self._intended = audience, dashboards, target, intended
        self._first = FirstSightings(dashboards)
        memberships = audience.memberships
        self._edges: list[int] | None = None if memberships is None else memberships.edges.tolist()
        self._message = array("i")  # by announcement: the number of its message
        self._was_read = array("b")  # by announcement: whether it comes from a read, not from a frame
        self._numbers: dict[tuple[int, int], int] = {}
        self._keys: list[tuple[int, int]] = []  # by message
        self._when = array("d")  # by message: when it was intended
        self._room = array("i")
        self._block = array("q")  # by message: the place of dashboard 0, or of the first of all memberships
        self._visible: list[tuple[Ints, Ints, Floats]] = []  # message, announcement, latency

    def announce(self, widget: int, n: int, how: int) -> None:
        """There is a new announcement, the next in order, of the n-th message of `widget`; -1: of nobody's."""
        self._message.append(self._number(widget, n))
        self._was_read.append(how == Sighting.READ)

    def take(self, announcement: Ints, dashboard: Ints, time: Floats, start: float, *, keep: bool) -> Floats:
        """Takes frames in order of their arrival. Returns the update latencies of the messages that they made visible
        on dashboards that must show them. `start`: T0 in monotonic seconds. `keep`: for `deliveries`.
        """
        if not self._keys:  # what came is nobody's
            return np.zeros(0)
        message = np.asarray(self._message)[announcement]
        known = (message >= 0) & (dashboard >= 0) & (dashboard < self._dashboards)
        memberships = self._audience.memberships
        place: Ints | None = None
        if memberships is None:
            index = np.flatnonzero(known)
            slot = np.asarray(self._block)[message[index]] + dashboard[index]
        else:
            place = memberships.place(np.asarray(self._room)[message], dashboard)
            index = np.flatnonzero(known & (place >= 0))
            place = place[index]
            slot = np.asarray(self._block)[message[index]] + place
        first = self._first.take(slot)
        index = index[first]
        message, dashboard = message[index], dashboard[index]
        intended = np.asarray(self._when)[message]
        if not self._audience.simple:
            sender = self._senders(message)
            due = self._audience.settled(intended - start, dashboard, sender, None if place is None else place[first])
            index, message, intended = index[due], message[due], intended[due]
        latency: Floats = time[index] - intended
        if keep and len(latency):
            self._visible.append((message, announcement[index], latency))
        return latency

    def deliveries(self) -> tuple[list[DeliveryCounts], list[DeliveryCounts]]:
        """Those since the last call: of messages that became visible, and of those that did so by a frame."""
        if not self._visible:
            return [], []
        message, announcement, latency = (np.concatenate(column) for column in zip(*self._visible, strict=True))
        self._visible = []
        visible = rows_of(self._keys, message, latency, self._target)
        was_read = np.asarray(self._was_read)[announcement] == 1
        if not was_read.any():
            return visible, visible
        return visible, rows_of(self._keys, message[~was_read], latency[~was_read], self._target)

    def _number(self, widget: int, n: int) -> int:
        number = self._numbers.get((widget, n))
        if number is not None:
            return number
        intended = self._intended(widget, n) if widget >= 0 else None
        if intended is None or not math.isfinite(intended):
            return _NOBODY
        room = self._audience.room(widget, n)
        if self._edges is None:
            block = self._first.reserve(self._dashboards)
        elif room >= 0:
            first = self._edges[room]
            block = self._first.reserve(self._edges[room + 1] - first) - first
        else:
            return _NOBODY
        number = self._numbers[widget, n] = len(self._keys)
        self._keys.append((widget, n))
        self._when.append(intended)
        self._room.append(room)
        self._block.append(block)
        return number

    def _senders(self, message: Ints) -> Ints:
        lowest = int(message.min(initial=len(self._keys)))
        return np.array([widget for widget, _ in self._keys[lowest:]], np.int64)[message - lowest]
