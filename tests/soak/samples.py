"""Samples the memory and the open files of a run's processes, by part."""

import statistics
import time
from dataclasses import dataclass, field

import psutil

PARTS = {
    "backend": "chatswarm.backend",
    "swarm": "locustfile.py",
    "proxy": "chatswarm.loadtests.faults.proxy",
}
"""The parts of the run, each with a text that identifies its processes' command lines."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of all processes of a part together."""

    time: float  # seconds since the run started
    pid: int  # of the first one
    memory: int  # bytes; unique set size
    files: int  # open files, sockets included


@dataclass
class Samples:
    """All samples of one run."""

    began: float = field(default_factory=time.monotonic)
    parts: dict[str, list[Sample]] = field(default_factory=lambda: {name: [] for name in PARTS})

    def take(self, pid: int) -> None:
        """Takes one sample of the descendants of `pid`."""
        found: dict[str, list[psutil.Process]] = {name: [] for name in PARTS}
        try:
            for process in psutil.Process(pid).children(recursive=True):
                for name in part_of(process.cmdline()):
                    found[name].append(process)
            now = time.monotonic() - self.began
            for name, processes in found.items():
                if processes:
                    memory = sum(process.memory_full_info().uss for process in processes)
                    files = sum(process.num_fds() for process in processes)
                    self.parts[name].append(Sample(now, processes[0].pid, memory, files))
        except psutil.Error:
            pass  # a process ended in the meantime


def part_of(command: list[str]) -> list[str]:
    """The part that a process belongs to, by its command line; empty if none."""
    return [name for name, mark in PARTS.items() if any(mark in word for word in command)]


@dataclass(frozen=True, slots=True)
class Trend:
    """Memory at the middle and end of a span, and open files at its beginning and end; all are medians."""

    half: float
    end: float
    files_before: float
    files_after: float

    @property
    def growth(self) -> float:
        """The growth of memory over the second half, as a fraction."""
        return self.end / self.half - 1


def trend(samples: list[Sample], start: float, end: float) -> Trend | None:
    """The trend from `start` to `end`, in seconds. None if a part that it needs has no samples."""
    tenth = (end - start) / 10

    def between(first: float, last: float) -> list[Sample]:
        return [sample for sample in samples if start + first * tenth <= sample.time <= start + last * tenth]

    parts = [between(5, 6), between(9, 10), between(0, 0.15)]
    if not all(parts):
        return None
    half, last, first = parts
    return Trend(
        statistics.median(sample.memory for sample in half),
        statistics.median(sample.memory for sample in last),
        statistics.median(sample.files for sample in first),
        statistics.median(sample.files for sample in last),
    )
