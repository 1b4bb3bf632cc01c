"""How well this process keeps up: a late loop makes every latency look longer than it was."""

import time
from collections.abc import Callable

import gevent

from .live.process_figures import Live
from .locust.stats_rows import StatsRows
from .recorder import Recorder

_STEP = 0.01  # seconds between two looks at the loop
_FLUSH = 1.0  # seconds between two writes of the history, and two looks at the CPU


def watch_loop(recorder: Recorder) -> None:
    """Runs until killed: records how late a greenlet wakes that should wake every 10 ms."""
    due = time.monotonic() + _STEP
    while True:
        gevent.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        recorder.lag(now, max(0.0, now - due))
        due = now + _STEP


def keep_books(recorder: Recorder, rows: StatsRows, live: Live | None, in_flight: Callable[[], int]) -> None:
    """Runs until killed: every second writes the history out, records the CPU used, and fills Locust's rows."""
    wall, cpu = time.monotonic(), time.process_time()
    while True:
        gevent.sleep(_FLUSH)
        now, used = time.monotonic(), time.process_time()
        recorder.cpu(now, (used - cpu) / (now - wall), in_flight())
        wall, cpu = now, used
        if live is not None:
            live.look()
        recorder.flush()
        rows.flush()
