"""Estimates the offset of another machine's monotonic clock from ours, with an error bound.

An exchange of messages shows: when the other clock showed `there`, ours showed something between `sent` and `received`.
The quickest exchange is the most exact. Clocks drift, so they are read before and after a run, and the bound covers
both readings.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Exchange(NamedTuple):
    """One request and its reply, in monotonic seconds of the clock that each is read from."""

    sent: float  # ours
    there: float  # the other clock
    received: float  # ours


class ClockOffset(NamedTuple):
    """The other clock shows ours + `seconds`, ± `bound` seconds."""

    seconds: float
    bound: float


def estimate(exchanges: Sequence[Exchange]) -> ClockOffset:
    """The offset by the quickest exchange. Raises ValueError if there are none."""
    if not exchanges:
        raise ValueError("expected at least one exchange with the other clock, got none")
    best = min(exchanges, key=lambda exchange: exchange.received - exchange.sent)
    return ClockOffset(best.there - (best.sent + best.received) / 2, (best.received - best.sent) / 2)


def both(before: ClockOffset, after: ClockOffset) -> ClockOffset:
    """An offset whose bound covers two estimates, and so the drift between them."""
    low = min(before.seconds - before.bound, after.seconds - after.bound)
    high = max(before.seconds + before.bound, after.seconds + after.bound)
    return ClockOffset((low + high) / 2, (high - low) / 2)
