"""The limit on sends per second and chat: a token bucket for each chat that sent lately."""

from __future__ import annotations

import math


class RateLimit:
    """Allows each chat `per_second` sends, and as many at once (at least one). Times are seconds on a steady clock."""

    def __init__(self, per_second: float, remember: int = 10_000) -> None:
        self._per_second = per_second
        self._burst = max(1.0, per_second)
        self._remember = remember
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, chat_id: str, now: float) -> int:
        """0 if this send may pass, and it is counted; else whole seconds after which to try again."""
        tokens, then = self._buckets.pop(chat_id, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._per_second)
        allowed = tokens >= 1
        self._buckets[chat_id] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > self._remember:
            # The one that was quiet for longest goes; dicts keep the order in which buckets were last touched.
            del self._buckets[next(iter(self._buckets))]
        return 0 if allowed else math.ceil((1 - tokens) / self._per_second)
