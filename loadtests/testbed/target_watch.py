"""Samples the target's processes once a second: those that the testbed started, the given one, their descendants."""

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from chatswarm.loadtests.faults.target_processes import Managed, tree, watchable
from chatswarm.loadtests.history.faults import ProcessSample, TargetWriter

_EVERY = 1.0  # seconds between two looks
_NEVER = float("nan")


class ProcessCounters(NamedTuple):
    """What the kernel has counted for one process."""

    created: float  # tells a process from a later one with the same pid
    name: str
    cpu: float  # seconds
    memory: int  # bytes


class TargetWatch:
    """Writes `history/target.cs1` from `begin` to `end`. Processes that start meanwhile are found at the next look."""

    def __init__(self, processes: Mapping[str, Managed], folder: Path) -> None:
        self._processes = processes
        self._folder = folder
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, run: str) -> None:
        """Begins to look, if there is anything to look at. Returns at once."""
        # Without its file, the verdict says that it is missing: no reason to end the run.
        with contextlib.suppress(OSError):
            if watchable(self._processes.values()) and self._thread is None:
                writer = TargetWriter(self._folder, run)
                self._thread = threading.Thread(target=self._look, args=(writer,), daemon=True)
                self._thread.start()

    def end(self) -> None:
        """Ends the history. Safe to call twice, and without `begin`."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self, writer: TargetWriter) -> None:
        try:
            at, before = time.monotonic(), counters_of(self._processes.values())
            while not self._over.wait(_EVERY):
                now, after = time.monotonic(), counters_of(self._processes.values())
                writer.looked(now, samples_between(before, after, now - at))
                at, before = now, after
        except Exception as error:  # noqa: BLE001 - the run goes on, and the verdict says what is missing
            why = f"{type(error).__name__}: {error}"
            writer.note(time.monotonic(), f"the target's processes could not be sampled any more: {why}")
        finally:
            writer.close()


def counters_of(processes: Iterable[Managed]) -> dict[int, ProcessCounters]:
    """The counters of these processes and their descendants, by pid. Those that have ended, or are hidden, are left
    out.
    """
    pids = [pid for process in processes if process.known for pid in tree(process.pid)]
    found = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            with process.oneshot():
                if process.status() != psutil.STATUS_ZOMBIE:
                    times = process.cpu_times()
                    found[pid] = ProcessCounters(
                        process.create_time(), process.name(), times.user + times.system, process.memory_info().rss
                    )
    return found


def samples_between(
    before: Mapping[int, ProcessCounters], after: Mapping[int, ProcessCounters], seconds: float
) -> list[ProcessSample]:
    """What each process of `after` did in the `seconds` since `before`."""
    samples = []
    for pid, now in after.items():
        then = before.get(pid)
        # It may have used its CPU long before it was found.
        same = then is not None and then.created == now.created
        cpu = max(0.0, now.cpu - then.cpu) / seconds if then is not None and same else _NEVER
        samples.append(ProcessSample(pid, now.name, cpu, now.memory))
    return samples
