"""What the processes of a run take, sampled from outside: memory and open files, by what each process is."""

import statistics
import time
from dataclasses import dataclass, field

import psutil

PARTS = {
    "backend": "chatswarm.backend",
    "swarm": "locustfile.py",
    "proxy": "chatswarm.loadtests.faults.proxy",
}
"""Of the run: what its command line has in it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at all processes of a part together."""

    time: float  # seconds since the run was started
    pid: int  # of the first of them
    memory: int  # bytes that are theirs alone
    files: int  # open files, sockets included


@dataclass
class Samples:
    """All looks at one run."""

    began: float = field(default_factory=time.monotonic)
    parts: dict[str, list[Sample]] = field(default_factory=lambda: {name: [] for name in PARTS})

    def look(self, pid: int) -> None:
        """At the processes that `pid` started."""
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
            pass  # one of them ended while it was looked at


def part_of(command: list[str]) -> list[str]:
    """Which part a process is; empty for one that is none."""
    return [name for name, sign in PARTS.items() if any(sign in word for word in command)]


@dataclass(frozen=True, slots=True)
class Trend:
    """Memory at the middle and at the end of a span, open files at its beginning and at its end; medians each."""

    half: float
    end: float
    files_before: float
    files_after: float

    @property
    def growth(self) -> float:
        """Of memory over the second half, as a share."""
        return self.end / self.half - 1


def trend(samples: list[Sample], start: float, end: float) -> Trend | None:
    """Over the seconds from `start` to `end`, in tenths of it; None without samples where they are needed."""
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
