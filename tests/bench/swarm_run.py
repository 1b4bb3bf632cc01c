"""Runs `chatswarm run` for a row, and takes the CPU of its processes from T0 to the end of the drain.

So neither the start nor the judge is measured. An opponent that runs beside it is measured over the same time.
"""

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import msgspec
import numpy as np
import psutil

from chatswarm.loadtests.history.files import read
from chatswarm.loadtests.history.manifest import Manifest, read_manifest
from chatswarm.loadtests.judge.verdict import Verdict
from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.system.children import Child, free_port, python
from chatswarm.loadtests.testbed.reference_chat import ReferenceBackend

from .row import NotMeasuredError, Sample

SCENARIOS = Path(__file__).parent / "scenarios"
_BEGINS_WITHIN = 60.0  # seconds until T0
_ENDS_WITHIN = 60.0  # seconds for the final read and the judge


@dataclass(frozen=True)
class SwarmFigures:
    """What a run cost and found. CPU is in seconds, from T0 to the end of the drain."""

    cpu: float
    """Of the swarm, its testbed, and the chat that it starts without a target: not of the command itself, which loads
    the judge during the drain.
    """
    cpu_of_machine: float
    beside: float
    """How much what was read beside it has grown in that time."""
    memory: int
    """Resident bytes of the same processes, at the end of the drain."""
    seconds: float
    """From T0 to the end of the drain."""
    verdict: Verdict
    reads: int
    """How often a dashboard got frames; those that come together are got at once."""
    refetches: int
    """How often a dashboard read the list again, from T0 on."""

    @property
    def lost(self) -> list[str]:
        """The problem that deliveries were lost; empty if none were."""
        return ["lost deliveries"] if self.verdict.deliveries.lost else []

    @property
    def problems(self) -> list[str]:
        """What a run must not have if chat, rig and machine are fast enough."""
        late = ["late deliveries"] if self.verdict.deliveries.late else []
        return [*self.lost, *late, *([] if self.verdict.rig.sound else ["unsound rig"])]


@dataclass(frozen=True)
class SwarmRun:
    """A command `chatswarm run`, whose scenario is in `scenarios/` or shipped."""

    scenario: str
    flags: Mapping[str, object]
    environment: Mapping[str, str] | None = None

    def perform(self, beside: Callable[[], float] = lambda: 0.0) -> SwarmFigures:
        """Runs it to its verdict. `beside`: a reading that grows, such as the CPU seconds of an opponent.

        Raises NotMeasuredError if there is no verdict.
        """
        with self._running() as (child, folder):
            manifest = _begun(child, folder)
            assert manifest.start is not None
            readings: list[Callable[[], float]] = [lambda: _cpu_of(_below(child)), cpu_of_machine, beside]
            _sleep_until(manifest.start)
            before = [reading() for reading in readings]
            length = self._length()
            _sleep_until(manifest.start + length)
            cpu, machine, grown = (reading() - former for reading, former in zip(readings, before, strict=True))
            memory = sum(process.memory_info().rss for process in _below(child))
            return SwarmFigures(
                cpu,
                machine,
                grown,
                memory,
                length,
                _judged(child, folder),
                _reads(folder),
                _refetches(folder, manifest.start),
            )

    def _length(self) -> float:
        """Seconds from T0 to the end of the drain."""
        flags = {key: value for key, value in self.flags.items() if key in ("dashboards", "widgets", "duration")}
        planned = scenario.load(self._place(), flags)
        return planned.duration + planned.drain

    def _place(self) -> str:
        own = SCENARIOS / f"{self.scenario}.toml"
        return str(own) if own.exists() else self.scenario

    @contextmanager
    def _running(self) -> Iterator[tuple[Child, Path]]:
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / "run"
            command = python("chatswarm.loadtests.entry", "run", self._place(), "--json", "--out", str(folder))
            command += [f"--{key.replace('_', '-')}={value}" for key, value in self.flags.items()]
            child = Child(command, Path(parent) / "log", env=self.environment)
            try:
                yield child, folder
            finally:
                child.stop(5.0)


@dataclass(frozen=True)
class TargetChat:
    """A chat under test, and the process that serves it."""

    url: str
    pid: int
    subscribed: Callable[[], int]
    """How many dashboards it has now."""


@contextmanager
def reference_chat(flags: Mapping[str, object] | None = None) -> Iterator[TargetChat]:
    """A fresh reference chat."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        chat = ReferenceBackend(place / "log", place / "chat.db", free_port(), flags)
        try:
            chat.wait()
            yield TargetChat(chat.base_url, chat.pid, lambda: _subscribed(chat.base_url))
        finally:
            chat.stop()


def cpu_of_tree(pid: int) -> float:
    """The CPU seconds that a process and everything below it have used so far."""
    root = psutil.Process(pid)
    return _cpu_of([root, *root.children(recursive=True)])


def _below(child: Child) -> list[psutil.Process]:
    return psutil.Process(child.process.pid).children(recursive=True)


def _cpu_of(processes: Sequence[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def cpu_of_machine() -> float:
    """The CPU seconds that all programs of this machine have used so far."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice


def per(cpu: float, count: int, problems: Sequence[str] = (), **details: float) -> Sample:
    """A sample in CPU microseconds for each of `count` deliveries."""
    if not count:
        raise NotMeasuredError("expected deliveries, got none")
    return Sample(cpu / count * 1e6, count, problems, details)


def _subscribed(url: str) -> int:
    with urlopen(f"{url}/metrics", timeout=5) as response:
        for line in response.read().decode().splitlines():
            if line.startswith("chat_dashboards_subscribed "):
                return int(float(line.split()[1]))
    return 0


def _begun(child: Child, folder: Path) -> Manifest:
    deadline = time.monotonic() + _BEGINS_WITHIN
    while time.monotonic() < deadline and child.running:
        # At first there is no manifest, then one that is empty.
        with suppress(FileNotFoundError, msgspec.DecodeError):
            if (manifest := read_manifest(folder)).start is not None:
                return manifest
        time.sleep(0.02)
    raise NotMeasuredError(f"chatswarm run did not begin: {child.log_tail(1)}")


def _judged(child: Child, folder: Path) -> Verdict:
    try:
        child.process.wait(_ENDS_WITHIN)
        return msgspec.json.decode((folder / "verdict.json").read_bytes(), type=Verdict)
    except (subprocess.TimeoutExpired, FileNotFoundError):
        raise NotMeasuredError(f"chatswarm run came to no verdict: {child.log_tail(1)}") from None


def _reads(folder: Path) -> int:
    reads = 0
    for path in (folder / "history").glob("swarm-*.cs1"):
        frames = read(path).tables["frame"]
        # In the order of coming, so that frames of one read follow each other.
        connection, came = np.diff(np.asarray(frames["connection"])), np.diff(np.asarray(frames["time"]))
        reads += 1 + int(np.count_nonzero((connection != 0) | (came != 0)))
    return reads


def _refetches(folder: Path, start: float) -> int:
    """Final reads are not among them."""
    count = 0
    for path in (folder / "history").glob("swarm-*.cs1"):
        rows = read(path).tables["refetch"]
        started, dashboard = np.asarray(rows["started"]), np.asarray(rows["dashboard"])
        count += int(np.count_nonzero((started >= start) & (dashboard >= 0)))
    return count


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
