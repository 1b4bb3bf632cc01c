"""A whole search: makes one probe after the other, and keeps each before the next one begins."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from chatswarm.loadtests.compare.capacity import LoadProbe
from chatswarm.loadtests.faults.target_processes import OwnProcess
from chatswarm.loadtests.history.folders import numbered_names
from chatswarm.loadtests.judge.judge import Judged
from chatswarm.loadtests.net.reachability import http_problem
from chatswarm.loadtests.run.run import CannotRunError, InterruptedRunError, RigError, Run
from chatswarm.loadtests.system.children import Child, free_port, python
from chatswarm.loadtests.system.interrupts import Interrupts
from chatswarm.loadtests.system.progress import RunProgress
from chatswarm.loadtests.testbed.messages import TestbedOptions

from .asking import scenario_at
from .findings import PlannedProbe, next_probe, result_of, time_of
from .null_chat import PROTOCOL
from .probe import fill_in
from .record import AskedCapacity, CapacityProbe, CapacityReport, read_record

_NULL_GRACE = 1.0


class ProbesStoppedError(Exception):
    """No further probe can be made now: interrupted, or the target does not answer. What was made is kept."""


class ProbeMaker(Protocol):
    """Makes one probe."""

    def __call__(self, planned: PlannedProbe, number: int) -> CapacityProbe:
        """The probe with this number, from 1. Raises ProbesStoppedError."""


def perform(
    report: CapacityReport,
    folder: Path,
    make: ProbeMaker,
    wanted: float | None = None,
    show: Callable[[CapacityProbe], None] = lambda _: None,
) -> CapacityReport:
    """Makes the probes that are missing, keeps each in `folder`, and returns the report with its result.

    Raises OSError if a probe cannot be kept, and CannotRunError if not even the first probe can be made.
    """
    stopped = None
    while (following := next_probe(report.asked, report.probes, report.told)) is not None:
        try:
            made = make(following, len(report.probes) + 1)
        except ProbesStoppedError as error:
            stopped = str(error)
            break
        report.probes.append(made)
        report.write(folder)
        show(made)
    report.result = result_of(report.asked, report.probes, wanted, stopped)
    if stopped is None:
        report.write(folder)
    return report


@dataclass
class RealProbes:
    """Makes probes by real runs, each with its own folder and, without a target, with its own chat."""

    asked: AskedCapacity
    folder: Path
    interrupts: Interrupts
    begin: Callable[[PlannedProbe, int], None] = lambda *_: None
    progress: Callable[[RunProgress], None] = lambda _: None
    step: Callable[[str, int, int], None] = lambda *_: None

    def __call__(self, planned: PlannedProbe, number: int) -> CapacityProbe:
        asked, load, begun = self.asked, planned.load, time.monotonic()
        self.begin(planned, number)
        kind = "" if planned.purpose == "search" else f"-{planned.purpose}"
        probe = CapacityProbe(
            level=load.level,
            seconds=load.seconds,
            purpose=planned.purpose,
            processes=planned.processes,
            folder=f"{number:02d}-{load.level:g}{kind}",
            took=0.0,
            held=None,
        )
        judged: list[Judged] = []
        try:
            self._run(probe, number, judged)
        except CannotRunError as error:
            if number == 1:
                raise
            raise ProbesStoppedError(
                f"no further probe could begin: {'; '.join(error.problems)}; the same command goes on"
            ) from None
        except InterruptedRunError:
            raise ProbesStoppedError("interrupted: the same command goes on") from None
        except RigError as error:
            probe.why = [str(error)]
        if self.interrupts.count:
            # Its measured part was cut short, so it says nothing.
            raise ProbesStoppedError("interrupted: the same command goes on")
        for run in judged:
            fill_in(probe, run, asked.precision)
        probe.took = time.monotonic() - begun
        return probe

    def _run(self, probe: CapacityProbe, number: int, judged: list[Judged]) -> None:
        with self._options(probe) as options:
            run = Run(
                scenario=scenario_at(self.asked, LoadProbe(probe.level, probe.seconds)),
                folder=self.folder / probe.folder,
                options=options,
                # Arrivals that happen to be kind to the target should not be so in each probe.
                seed=self.asked.seed + number - 1,
                processes=probe.processes,
                show=self.progress,
                step=self.step,
                report=lambda whole, _: judged.append(whole),
                numbered=True,
                interrupts=self.interrupts,
            )
            try:
                run.perform()
            finally:
                probe.folder = run.folder.name

    @contextmanager
    def _options(self, probe: CapacityProbe) -> Iterator[TestbedOptions]:
        """What the run is told about its target."""
        asked = self.asked
        if not asked.rig and probe.purpose != "null":
            yield TestbedOptions(
                asked.target, asked.protocol, asked.pid, origin=asked.origin, users_file=asked.users_file
            )
            return
        with null_chat(self.folder / "null-chat.log") as (url, pid):
            yield TestbedOptions(url, PROTOCOL, pid)


@contextmanager
def null_chat(log: Path) -> Iterator[tuple[str, int]]:
    """A null chat in a separate process: its URL and its pid. Raises CannotRunError if it does not start."""
    try:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        own = OwnProcess(
            "the null chat",
            lambda: Child(python("chatswarm.loadtests.capacity.null_chat", str(port)), log),
            lambda: http_problem(url, 1.0),
            _NULL_GRACE,
        )
    except OSError as error:
        raise CannotRunError([str(error)]) from None
    try:
        own.wait()
        yield url, own.pid
    finally:
        own.stop()


def begin_or_go_on(folder: Path, asked: AskedCapacity, *, numbered: bool) -> tuple[Path, CapacityReport]:
    """The folder of the search and its report, with the probes that were made before.

    `numbered`: take `<folder>-2`, … where this one has another search, or one that has ended. Otherwise an ended search
    of the same question is shown again. Raises ValueError for a folder of something else, and OSError.
    """
    for candidate in numbered_names(folder) if numbered else [folder]:
        found = read_record(candidate) if candidate.exists() else None
        if found is not None and _same(found.asked, asked) and (found.result is None or not numbered):
            return candidate, msgspec.structs.replace(found, asked=asked, folder=str(candidate))
        if found is None and (not candidate.exists() or _is_empty(candidate)):
            candidate.mkdir(parents=True, exist_ok=True)
            report = CapacityReport(asked, time_of(asked), folder=str(candidate))
            report.write(candidate)
            return candidate, report
    raise ValueError(_taken(folder, asked))


def _same(one: AskedCapacity, other: AskedCapacity) -> bool:
    """Whether two searches ask the same. A target that was started again has another pid."""
    return msgspec.structs.replace(one, pid=other.pid) == other


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _taken(folder: Path, asked: AskedCapacity) -> str:
    expected = f"{folder}: expected a new or empty folder, or that of the same search"
    found = read_record(folder)
    if found is None:
        return f"{expected}, got one with something else in it"
    fields = msgspec.structs.fields(AskedCapacity)
    other = next(each.name for each in fields if getattr(found.asked, each.name) != getattr(asked, each.name))
    return f"{expected}, got that of a search with another {other}"
