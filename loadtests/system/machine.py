"""How busy this machine is, from the kernel's counters: the CPU used, and the time in which tasks waited.

CPU is that of the cores that this process may use, whoever used it: a chat on the same one of 16 cores leaves nothing
to the load generator, although the machine looks idle. Waiting is counted for the whole machine, also in a container.
"""

import math
import os
import platform
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

_CPUINFO = Path("/proc/cpuinfo")
_STAT = Path("/proc/stat")
_PRESSURE = [Path("/proc/pressure", resource) for resource in ("cpu", "io", "memory")]
_BUSY = (0, 1, 2, 5, 6)  # user, nice, system, irq and softirq; user contains the guests' time
_IN_ALL = 8  # further columns are contained in these
_NEVER = float("nan")


class MachineCounters(NamedTuple):
    """What the kernel has counted since it started, in seconds; NaN: it does not count that."""

    busy: float  # of all the cores together that this process may use
    total: float  # busy, idle, waiting for I/O, and what a hypervisor took
    cores: int
    cpu_stall: float  # time in which at least one task waited for CPU
    io_stall: float
    memory_stall: float


class MachineUse(NamedTuple):
    """What the machine did between two readings; NaN: not measured."""

    cpu: float  # cores in use, on average
    cpu_pressure: float  # share of the time in which at least one task waited for CPU, from 0 to 1
    io_pressure: float
    memory_pressure: float
    cores: int


def processor_name() -> str:
    """The name of this machine's processor, or of its kind, such as aarch64; empty: unknown."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return parse_processor(text) or platform.machine()


def parse_processor(cpuinfo: str) -> str:
    """The name of the first processor in the text of `/proc/cpuinfo`; empty if it has none, as on many ARMs."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return " ".join(value.split())
    return ""


def read_counters() -> MachineCounters | None:
    """This machine's counters now; None where there are none, as on anything but Linux."""
    try:
        stat = _STAT.read_text(encoding="ascii")
        pressure = [_text_of(path) for path in _PRESSURE]
        return parse_counters(stat, pressure, os.sysconf("SC_CLK_TCK"), os.sched_getaffinity(0))
    except (OSError, ValueError, IndexError):
        return None  # whatever imitates a kernel here must not end what else is recorded


def parse_counters(stat: str, pressure: list[str], ticks: int, cores: Collection[int]) -> MachineCounters | None:
    """The counters in the texts of `/proc/stat` and `/proc/pressure/{cpu,io,memory}`; None if there are none.

    `pressure`: an empty text where the kernel has no such file. `ticks`: clock ticks per second. `cores`: the
    numbers of those that this process may use.
    """
    lines = [line.split() for line in stat.splitlines() if line.startswith("cpu")]
    if not lines or lines[0][0] != "cpu":
        return None
    allowed = [line for line in lines[1:] if int(line[0].removeprefix("cpu")) in cores]
    # Some sandboxes number them in another way.
    chosen = allowed if 0 < len(allowed) < len(lines) - 1 else lines[:1]
    counts = [sum(column) for column in zip(*(map(int, line[1:]) for line in chosen), strict=True)]
    cpu, io, memory = map(_stall, pressure)
    busy = sum(counts[column] for column in _BUSY)
    count = len(allowed) or len(lines) - 1
    return MachineCounters(busy / ticks, sum(counts[:_IN_ALL]) / ticks, count, cpu, io, memory)


def use_between(before: MachineCounters, after: MachineCounters, seconds: float) -> MachineUse:
    """What the machine did in the `seconds` between two readings."""
    # Some sandboxes show counters that stand still: that is not a machine at rest.
    counted = after.total > before.total
    # The counters advance in ticks, so they may seem to have used more than there is.
    cpu = min(float(after.cores), max(0.0, after.busy - before.busy) / seconds) if counted else _NEVER

    def share(waited: float) -> float:
        return waited if math.isnan(waited) else min(1.0, max(0.0, waited / seconds))

    return MachineUse(
        cpu=cpu,
        cpu_pressure=share(after.cpu_stall - before.cpu_stall),
        io_pressure=share(after.io_stall - before.io_stall),
        memory_pressure=share(after.memory_stall - before.memory_stall),
        cores=after.cores,
    )


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""  # an old kernel, or one that was started without it, which then refuses to read


def _stall(pressure: str) -> float:
    """The seconds in the line `some avg10=… avg60=… avg300=… total=<microseconds>`."""
    for line in pressure.splitlines():
        if line.startswith("some "):
            return int(line.rpartition("total=")[2]) / 1e6
    return _NEVER
