"""How much of a figure is the scenario's own waiting, which says nothing about the chat."""

import math
from collections.abc import Sequence

HIDES = 0.8
"""From this share on, a figure hides the chat: one that takes twice as long moves it by less than 20 %."""


def floor_share(figure: float, refetch_interval: float, quantile: float = 1.0) -> float:
    """The share of a latency that is waiting for the dashboard's next refetch, from 0 to 1.

    A message comes at any moment of the interval (seconds, as the scenario says), so a quantile of the waiting alone is
    that part of the interval; 1 is for figures of the last of many dashboards. An infinite figure is not waiting.
    Raises ValueError for a figure that is not above 0.
    """
    if not figure > 0:
        raise ValueError(f"expected a figure above 0, got {figure:g}")
    return min(1.0, refetch_interval * quantile / figure)


def hides_the_chat(shares: Sequence[float]) -> bool:
    """Whether the waiting is so much of a figure, in more than half of the runs, that a stage beside it must decide."""
    return sum(share > HIDES for share in shares) * 2 > len(shares)


def waiting_quantile(quantile: float, messages: float) -> float:
    """The quantile of the waiting alone, as a part of the refetch interval: from 0 to 1.

    `messages`: how many come in an interval, on average, at moments that nothing orders. The first one after a quiet
    interval is read at once; those of the interval after it wait for its end, each equally likely for any part of it.
    """
    waits = messages / (messages + math.exp(-messages)) if messages > 0 else 0.0
    return max(0.0, 1 - (1 - quantile) / waits) if waits else 0.0
