"""Records how late this process's event loop is, and its CPU and the machine's; flushes the history every second."""

import time
from collections.abc import Callable

import gevent

from chatswarm.loadtests.system.machine import read_counters, use_between

from .live.process_figures import ProcessFigures
from .locust.stats_rows import StatsRows
from .recorder import Recorder

_STEP = 0.01  # seconds between two samples of the lag
_FLUSH = 1.0  # seconds between two flushes, and two samples of the CPU


def record_lag(recorder: Recorder) -> None:
    """Runs until killed: records how late a greenlet wakes that should wake every 10 ms: latencies include that."""
    due = time.monotonic() + _STEP
    while True:
        gevent.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        recorder.lag(now, max(0.0, now - due))
        due = now + _STEP


def flush_every_second(
    recorder: Recorder, rows: StatsRows, live: ProcessFigures | None, in_flight: Callable[[], int]
) -> None:
    """Runs until killed: every second records the CPU used, flushes the history and updates Locust's rows.

    Every process records the machine, because none knows which others are on it; the judge takes one per host.
    """
    wall, cpu, machine = time.monotonic(), time.process_time(), read_counters()
    while True:
        gevent.sleep(_FLUSH)
        now, used = time.monotonic(), time.process_time()
        recorder.cpu(now, (used - cpu) / (now - wall), in_flight())
        counters = read_counters()
        if machine is not None and counters is not None:
            recorder.machine(now, use_between(machine, counters, now - wall))
        wall, cpu, machine = now, used, counters
        if live is not None:
            live.collect()
        recorder.flush()
        rows.flush()
