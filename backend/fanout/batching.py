"""Decides when the next broadcast is due: frames are joined under load, and a lone one goes out at once."""

from __future__ import annotations

_QUIET_PER_BUSY = 9
"""After a broadcast that took t, collect for 9 t: writing then takes a tenth of the loop's time at any scale."""


class BatchingDelay:
    """Decides without I/O. Times are seconds on a monotonic clock."""

    __slots__ = ("_due", "_longest")

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._due = 0.0

    def delay(self, now: float) -> float:
        """How long a frame should wait to be joined with others; 0: write it at once."""
        return max(0.0, self._due - now)

    def wrote(self, started: float, ended: float) -> None:
        """Record a broadcast."""
        self._due = ended + min(_QUIET_PER_BUSY * (ended - started), self._longest)
