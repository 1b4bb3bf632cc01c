"""The progress line: a line of JSON with the swarm's figures, for whoever started the swarm and watches."""

import time
from collections import deque

import msgspec

from chatswarm.loadtests.swarm.plan import ProcessProgress

_RECENT = 7  # lines over which rates are taken


class ProgressLine(msgspec.Struct, frozen=True, kw_only=True):
    """All that the line says. Times are in seconds, rates per second."""

    phase: str
    elapsed: float  # since the phase began
    length: float  # that the phase should take
    dashboards: int  # that the scenario plans
    subscribed: int
    arrived: int
    widgets: int
    sent: int
    accepted: int
    refused: int
    rig_failed: int
    in_flight: int
    frames: int
    updates: int
    p99: float | None  # update latency in seconds
    sent_rate: float
    update_rate: float


class ProgressLines:
    """Builds one line after the other: rates are taken over the last few."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, int, int]] = deque(maxlen=_RECENT)  # moment, sent, updates

    def next(self, phase: str, began: float, length: float, dashboards: int, total: ProcessProgress) -> bytes:
        """The line for a phase that began at `began`, in monotonic seconds; `total` is the whole swarm's."""
        now = time.monotonic()
        self._recent.append((now, total.sent, total.updates))
        then, sent, updates = self._recent[0]
        span = max(now - then, 0.001)
        line = ProgressLine(
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
        return msgspec.json.encode(line) + b"\n"
