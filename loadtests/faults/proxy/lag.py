"""How well the proxy itself keeps up: it stands between the swarm and its target, and its slowness is the rig's."""

import asyncio
import time
from collections import deque

_STEP = 0.01  # seconds between two looks at the loop
_KEPT = 6000  # samples, a minute of them, for whoever asks in time


class LoopLag:
    """Looks at its event loop every 10 ms."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._samples: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._asked, self._cpu = time.monotonic(), time.process_time()
        self._due = self._asked + _STEP
        loop.call_later(_STEP, self._look)

    def report(self) -> dict[str, object]:
        """Since the last report: `samples` (when the loop woke, how late, in monotonic seconds); `cpu` in cores until
        `time`.
        """
        now, cpu = time.monotonic(), time.process_time()
        used = (cpu - self._cpu) / max(now - self._asked, 0.001)
        self._asked, self._cpu = now, cpu
        samples, self._samples = list(self._samples), deque(maxlen=_KEPT)
        return {"samples": samples, "time": now, "cpu": used}

    def _look(self) -> None:
        now = time.monotonic()
        self._samples.append((now, max(0.0, now - self._due)))
        self._due = now + _STEP
        self._loop.call_later(_STEP, self._look)
