"""Builds the progress line: a line of JSON with the swarm's current figures, for the process that started it."""

import time
from collections import deque

from chatswarm.loadtests.swarm.plan import ProcessProgress
from chatswarm.loadtests.system.progress import RunProgress

_RECENT = 7  # lines over which rates are taken


class ProgressLines:
    """Builds one line after another, with rates taken over the last few."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, int, int]] = deque(maxlen=_RECENT)  # moment, sent, updates

    def next(self, phase: str, began: float, length: float, dashboards: int, total: ProcessProgress) -> RunProgress:
        """The line for a phase that began at `began`, in monotonic seconds; `total` is the whole swarm's."""
        now = time.monotonic()
        self._recent.append((now, total.sent, total.updates))
        then, sent, updates = self._recent[0]
        span = max(now - then, 0.001)
        return RunProgress(
            phase=phase,
            elapsed=now - began,
            length=length,
            dashboards=dashboards,
            subscribed=total.subscribed,
            arrived=total.arrived,
            widgets=total.widgets,
            sent=total.sent,
            accepted=total.accepted,
            refused=total.refused,
            rig_failed=total.rig_failed,
            in_flight=total.in_flight,
            frames=total.frames,
            updates=total.updates,
            p99=total.p99(),
            sent_rate=(total.sent - sent) / span,
            update_rate=(total.updates - updates) / span,
        )
