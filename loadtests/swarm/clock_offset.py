"""How far another machine's monotonic clock is from ours, and how sure of that one can be.

One exchange of messages says: when the other clock showed `there`, ours showed something between `sent` and `received`.
The quickest exchange says it best. Clocks drift, so it is asked before a run and after it, and both answers must fit.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Exchange(NamedTuple):
    """One question and its answer, in monotonic seconds of the clock that each is read from."""

    sent: float  # ours
    there: float  # the other one's
    received: float  # ours


class ClockOffset(NamedTuple):
    """The other clock shows ours + `seconds`, give or take `bound` seconds."""

    seconds: float
    bound: float


def estimate(exchanges: Sequence[Exchange]) -> ClockOffset:
    """What the quickest of the exchanges says. Raises ValueError if there are none."""
    if not exchanges:
        raise ValueError("expected at least one exchange with the other clock, got none")
    best = min(exchanges, key=lambda exchange: exchange.received - exchange.sent)
    return ClockOffset(best.there - (best.sent + best.received) / 2, (best.received - best.sent) / 2)


def both(before: ClockOffset, after: ClockOffset) -> ClockOffset:
    """An offset with a bound that covers two estimates, and with them the drift between."""
    low = min(before.seconds - before.bound, after.seconds - after.bound)
    high = max(before.seconds + before.bound, after.seconds + after.bound)
    return ClockOffset((low + high) / 2, (high - low) / 2)
