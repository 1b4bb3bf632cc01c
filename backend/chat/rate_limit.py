"""The limit on sends per second and chat: a token bucket for each recently active chat."""

from __future__ import annotations

import math


class RateLimit:
    """Allows each chat `per_second` sends, and a burst of the same size (at least 1). Times: monotonic, in seconds."""

    def __init__(self, per_second: float, remember: int = 10_000) -> None:
        self._per_second = per_second
        self._burst = max(1.0, per_second)
        self._remember = remember
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, chat_id: str, now: float) -> int:
        """0 if this send is allowed, and count it; otherwise whole seconds to wait before a retry."""
        tokens, then = self._buckets.pop(chat_id, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._per_second)
        allowed = tokens >= 1
        self._buckets[chat_id] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > self._remember:
            # Evict the chat that has been quiet longest: the dict keeps buckets in order of last use.
            del self._buckets[next(iter(self._buckets))]
        return 0 if allowed else math.ceil((1 - tokens) / self._per_second)
