"""How old a dashboard's oldest unsent byte is: a pure decision over byte counts and times."""

from __future__ import annotations

from collections import deque


class Backlog:
    """Remembers how much had been written at a few moments, and so how long bytes have been waiting.

        written    0 ───────── 4000 ───────── 9000
        marks              (4000, t=10)   (9000, t=11)
        sent       ────── 3200 │              oldest unsent byte is older than the mark at t=10

    The age is never overstated, and understated by at most the time between two looks.
    """

    __slots__ = ("_marks", "_sent", "moved_at")

    def __init__(self, now: float) -> None:
        self._marks: deque[tuple[int, float]] = deque()
        self._sent = 0
        self.moved_at = now
        """When a look last found that the dashboard had taken bytes, or that it had none to take."""

    def age(self, written: int, unsent: int, now: float) -> float:
        """Seconds that the oldest unsent byte has waited, with `written` bytes so far and `unsent` of them left."""
        sent = written - unsent
        if sent > self._sent or not unsent:
            self._sent = sent
            self.moved_at = now
        marks = self._marks
        while marks and marks[0][0] <= sent:
            marks.popleft()
        if unsent and (not marks or marks[-1][0] < written):
            marks.append((written, now))
        return now - marks[0][1] if marks else 0.0
