"""Measures the proxy's event loop lag, because the proxy is part of the rig."""

import asyncio
import time
from collections import deque

_INTERVAL = 0.01  # seconds between samples
_KEPT = 6000  # samples: one minute


class LoopLag:
    """Samples the lag of its event loop every 10 ms."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._samples: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._reported, self._cpu = time.monotonic(), time.process_time()
        self._due = self._reported + _INTERVAL
        loop.call_later(_INTERVAL, self._sample)

    def report(self) -> dict[str, object]:
        """Since the last report: `samples` of (when the loop woke, how late), in monotonic seconds; `cpu`: cores used
        until `time`.
        """
        now, cpu = time.monotonic(), time.process_time()
        used = (cpu - self._cpu) / max(now - self._reported, 0.001)
        self._reported, self._cpu = now, cpu
        samples, self._samples = list(self._samples), deque(maxlen=_KEPT)
        return {"samples": samples, "time": now, "cpu": used}

    def _sample(self) -> None:
        now = time.monotonic()
        self._samples.append((now, max(0.0, now - self._due)))
        self._due = now + _INTERVAL
        self._loop.call_later(_INTERVAL, self._sample)
