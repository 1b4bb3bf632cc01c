"""Frames that announce a message by its id: which message on which dashboard, and when, for the live figures."""

from array import array
from collections.abc import Iterable

import numpy as np

from .buckets import DeliveryCounts, Floats, Ints, rows_of
from .first_sightings import FirstSightings
from .live_audience import LiveAudience
from .newly_shown import Intended

Identified = tuple[int, int, int]
"""The target's id for a message, the message's widget, and its number n there."""

_MAX_IDS = 16384  # message ids to remember
_MAX_UNNAMED = 2048  # announcements to remember whose message is not known yet
_PATIENCE = 10.0  # seconds for which a frame waits until the message of its id is known


class FramesById:
    """Frames of one process. They may come before it is known which message has the id that they name."""

    def __init__(self, audience: LiveAudience, dashboards: int, target: float, intended: Intended) -> None:
        """`dashboards`: how many the scenario plans; `target`: the update target in seconds."""
        self._audience, self._dashboards, self._target, self._intended = audience, dashboards, target, intended
        self._first = FirstSightings(dashboards)
        self._ids: dict[int, tuple[int, int]] = {}
        self._unnamed: dict[int, int] = {}  # announcement → a message id whose message is not known yet
        self._keys: list[tuple[int, int]] = []  # by announcement
        self._when = array("d")  # by announcement: when its message was intended; NaN: not known yet
        self._block = array("q")  # by announcement: the place of dashboard 0
        self._frames: list[tuple[Ints, Ints, Floats]] = []

    def identify(self, found: Iterable[Identified]) -> None:
        """Takes the target's ids for messages, including those that other processes sent."""
        for message_id, widget, n in found:
            self._ids[message_id] = (widget, n)
        while len(self._ids) > _MAX_IDS:
            del self._ids[next(iter(self._ids))]

    def announce(self, number: int, *, from_customer: bool, message_id: int) -> None:
        """There is a new announcement, the next in order; `message_id` -1: without an id."""
        self._keys.append((-1, -1))
        self._when.append(float("nan"))
        self._block.append(self._first.reserve(self._dashboards))
        if from_customer and message_id >= 0:
            self._unnamed[number] = message_id

    def take(self, announcement: Ints, dashboard: Ints, time: Floats) -> None:
        """Takes frames in order of their arrival, and keeps the first of each announcement on each dashboard."""
        known = (dashboard >= 0) & (dashboard < self._dashboards)
        announcement, dashboard, time = announcement[known], dashboard[known], time[known]
        first = self._first.take(np.asarray(self._block)[announcement] + dashboard)
        self._frames.append((dashboard[first], announcement[first], time[first]))

    def deliveries(self, start: float) -> list[DeliveryCounts]:
        """Those since the last call whose message is known by now. `start`: T0 in monotonic seconds."""
        for number, message_id in list(self._unnamed.items()):
            if message_id in self._ids:
                del self._unnamed[number]
                widget, n = self._ids[message_id]
                if (intended := self._intended(widget, n)) is not None:
                    self._keys[number], self._when[number] = (widget, n), intended
        while len(self._unnamed) > _MAX_UNNAMED:
            del self._unnamed[next(iter(self._unnamed))]
        if not self._frames:
            return []
        dashboard, announcement, time = (np.concatenate(column) for column in zip(*self._frames, strict=True))
        lowest = int(announcement.min(initial=len(self._when)))
        intended = np.asarray(self._when[lowest:])[announcement - lowest]
        known = np.isfinite(intended)
        waits = ~known & (time > time.max(initial=-np.inf) - _PATIENCE)
        self._frames = [(dashboard[waits], announcement[waits], time[waits])] if waits.any() else []
        announcement, intended, dashboard, time = announcement[known], intended[known], dashboard[known], time[known]
        due = self._audience.must_show(self._keys, announcement, intended - start, dashboard)
        if due is not None:
            announcement, intended, time = announcement[due], intended[due], time[due]
        return rows_of(self._keys, announcement, time - intended, self._target)
