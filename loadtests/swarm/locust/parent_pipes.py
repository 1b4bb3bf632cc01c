"""The pipes to whoever started this process: one to tell its progress on, one whose end is the end of this process."""

import json
import os
import stat
import time
from collections import deque

from chatswarm.loadtests.swarm.plan import ProcessProgress
from chatswarm.loadtests.system.children import LIFELINE, PROGRESS

_RECENT = 7  # lines over which rates are taken


def driven() -> bool:
    """Whether `chatswarm run` started this swarm, reads its progress and judges it."""
    return _pipe(os.environ.get(PROGRESS)) is not None


def lifeline() -> int | None:
    """The pipe that closes when the process that started this one ends; None if there is none."""
    return _pipe(os.environ.get(LIFELINE))


class ProgressPipe:
    """Lines of JSON for whoever watches. Says nothing where nobody does, or no longer."""

    def __init__(self) -> None:
        self.number = _pipe(os.environ.get(PROGRESS))
        self._recent: deque[tuple[float, int, int]] = deque(maxlen=_RECENT)

    def tell(self, phase: str, began: float, length: float, dashboards: int, total: ProcessProgress) -> None:
        """One line: the phase that `began` then and lasts `length` seconds, and the figures of the whole swarm."""
        if self.number is None:
            return
        now = time.monotonic()
        self._recent.append((now, total.sent, total.updates))
        then, sent, updates = self._recent[0]
        span = max(now - then, 0.001)
        line = {
            "phase": phase,
            "elapsed": now - began,
            "length": length,
            "dashboards": dashboards,
            "p99": total.p99(),
            "sent_rate": (total.sent - sent) / span,
            "update_rate": (total.updates - updates) / span,
            **{key: value for key, value in total.wire().items() if key != "latencies"},
        }
        try:
            os.write(self.number, json.dumps(line).encode() + b"\n")
        except OSError:
            self.number = None


def _pipe(number: str | None) -> int | None:
    """The descriptor with this number, if it is a pipe. A variable alone proves nothing: it may be left over, or handed
    on to a process that did not inherit the pipe.
    """
    if number is None or not (number.isascii() and number.isdecimal()):
        return None
    try:
        return int(number) if stat.S_ISFIFO(os.fstat(int(number)).st_mode) else None
    except (OSError, OverflowError):
        return None
