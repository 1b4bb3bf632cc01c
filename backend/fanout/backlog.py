"""Computes the age of a dashboard's oldest unsent byte from byte counts and times, without I/O."""

from __future__ import annotations

from collections import deque


class Backlog:
    """Records how many bytes had been written at a few points in time, and so how long bytes have been waiting.

        written    0 ───────── 4000 ───────── 9000
        marks              (4000, t=10)   (9000, t=11)
        sent       ────── 3200 │              oldest unsent byte is older than the mark at t=10

    The age is never overstated, and understated by at most the time between two checks.
    """

    __slots__ = ("_marks", "_sent", "last_progress")

    def __init__(self, now: float) -> None:
        self._marks: deque[tuple[int, float]] = deque()
        self._sent = 0
        self.last_progress = now
        """When a check last found that the dashboard had taken bytes, or that none were waiting."""

    def age(self, written: int, unsent: int, now: float) -> float:
        """Seconds that the oldest unsent byte has waited; `written` bytes so far, of which `unsent` are left."""
        sent = written - unsent
        if sent > self._sent or not unsent:
            self._sent = sent
            self.last_progress = now
        marks = self._marks
        while marks and marks[0][0] <= sent:
            marks.popleft()
        if unsent and (not marks or marks[-1][0] < written):
            marks.append((written, now))
        return now - marks[0][1] if marks else 0.0
