"""A whole run: the backend if none is given, the swarm, its progress, and the judgement of what it left behind.

This process never imports Locust: it starts the swarm as a child, so that a busy swarm slows nothing here, and judges
with what is on disk.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from chatswarm.loadtests.faults.nemesis import Nemesis
from chatswarm.loadtests.history.folders import (
    SCENARIO,
    TakenError,
    begun,
    claim,
    claim_empty,
    make_next,
    not_there,
    take_back,
)
from chatswarm.loadtests.history.manifest import MANIFEST, Asked, read_manifest
from chatswarm.loadtests.judge.judge import Judged, Step, judged, write_verdict
from chatswarm.loadtests.judge.verdict import Verdict
from chatswarm.loadtests.protocols import protocol_of
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.system.children import PROGRESS, Child, free_port, python
from chatswarm.loadtests.system.interrupts import Interrupts
from chatswarm.loadtests.system.open_files import needed_files, raise_open_files
from chatswarm.loadtests.system.text import one_line

from .progress import RunProgress
from .testbed import CannotRunError, Testbed, TestbedOptions

_ENDING = 10.0  # seconds that the swarm may take to end after its last word
_STUCK = 120.0  # seconds without a word from the swarm, after which it counts as hung
_PATIENCE = 2  # interrupts that the swarm may answer in its own way
_LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"
_LAUNCH = "chatswarm.loadtests.swarm.locust.launch"  # never imported here: it patches the process that does


class RigError(Exception):
    """The load-generating side itself failed before there was anything to judge."""


class InterruptedRunError(Exception):
    """It was ended from outside before there was a verdict. The text says whether there is anything to judge."""


@dataclass(frozen=True, slots=True)
class MetricsEndpoint:
    """Where the swarm serves its live figures; port 0: a free one."""

    port: int
    host: str = "127.0.0.1"


@dataclass
class Run:
    """What to run, against what, and where to leave it."""

    scenario: Scenario
    folder: Path
    given: TestbedOptions
    seed: int = 1
    processes: int = 1
    metrics: MetricsEndpoint | None = None
    show: Callable[[RunProgress], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None
    step: Step = lambda *_: None
    report: Callable[[Judged, Path], str | None] = lambda *_: None
    """Leaves reports of the judged run beside its verdict; returns what people should know of it."""
    numbered: bool = False
    """Whether `<folder>-2`, … will do where the folder is taken; otherwise the run is refused."""
    interrupts: Interrupts = field(default_factory=Interrupts)

    def perform(self) -> Verdict:
        """Runs, judges, and leaves everything in the folder.

        Ctrl-C, SIGTERM or SIGHUP once ends the measured part and judges what there is; twice ends the drain, too;
        and more often ends a swarm that does not answer.
        Raises CannotRunError before any load, and then leaves nothing; RigError if there is nothing to judge; and
        InterruptedRunError.
        """
        with self.interrupts:
            try:
                with self.interrupts.raising():
                    self._look_before()
            except KeyboardInterrupt:
                raise InterruptedRunError("interrupted before there was anything to judge") from None
            made = self._claim_folder()
            try:
                self._perform()
            except CannotRunError:
                take_back(self.folder, made)
                raise
            except KeyboardInterrupt:
                take_back(self.folder, made)
                raise InterruptedRunError("interrupted before there was anything to judge") from None
            try:
                with self.interrupts.raising():
                    return self._judge()
            except KeyboardInterrupt:
                again = f"chatswarm judge {one_line(str(self.folder))}"
                raise InterruptedRunError(f"interrupted while judging; to judge what there is: {again}") from None

    def _look_before(self) -> None:
        """What can be refused before anything is made. Raises CannotRunError."""
        try:
            problems = self.scenario.unfit_for(protocol_of(self.given.protocol))
        except ValueError as error:
            raise CannotRunError([str(error)]) from None
        needed = needed_files(self.scenario.dashboards, self.scenario.widgets, self.processes)
        if problem := raise_open_files(needed):
            problems.append(problem)
        if problems:
            raise CannotRunError(problems)
        self._claim_metrics()

    def _claim_folder(self) -> list[Path]:
        """Takes the run's folder. Returns those that were made for it. Raises CannotRunError."""
        try:
            # Swarms of several processes send it to each other as text.
            str(self.folder.absolute()).encode()
            made = not_there(self.folder)
            self.folder = claim(make_next(self.folder)) if self.numbered else claim_empty(self.folder)
        except TakenError:
            got = f"{one_line(str(self.folder))}, which is neither"
            raise CannotRunError([f"--out: expected a new or an empty folder, got {got}"]) from None
        except UnicodeEncodeError:
            got = one_line(str(self.folder.absolute()))
            raise CannotRunError([f"--out: expected a folder whose whole path is UTF-8, got {got}"]) from None
        except OSError as error:
            raise CannotRunError([f"--out: expected a folder to write to, got: {error}"]) from None
        return [self.folder, *(folder for folder in made if folder in self.folder.parents)] if self.numbered else made

    def _perform(self) -> None:
        """From set-up to the end of the last child. Raises KeyboardInterrupt if there is nothing to judge after one."""
        stage = Testbed(self.scenario, self.folder, self.given, self.seed, self.say)
        try:
            with self.interrupts.raising():
                if self.interrupts.count:
                    raise KeyboardInterrupt
                self._write_scenario()
                stage.set_up()
            nemesis = Nemesis(self.scenario.faults, self.scenario.duration, stage.world, self.folder, self.say)
            try:
                self._swarm(stage, nemesis)
            finally:
                nemesis.end()
            if problem := stage.broken():
                raise RigError(problem)
        finally:
            stage.close()

    def _judge(self) -> Verdict:
        self.say("judging")
        try:
            self._write_manifest()
            whole = judged(self.folder, step=self.step)
            write_verdict(self.folder, whole.verdict)
        except OSError as error:
            again = f"chatswarm judge {one_line(str(self.folder))}"
            raise RigError(
                f"the verdict could not be written: {error}; once it can be, judge it again: {again}"
            ) from None
        if problem := self.report(whole, self.folder):
            self.say(problem)
        return whole.verdict

    def _write_manifest(self) -> None:
        """What was asked for, into the manifest, which is the swarm's until it has ended.

        From memory: the swarm has written its own scenario over that in the folder.
        """
        manifest = read_manifest(self.folder)
        manifest.command = ["chatswarm", "run", str(self.folder / SCENARIO), *self.given.flags]
        manifest.command += ["--seed", str(self.seed), "--processes", str(self.processes)]
        scenario = self.scenario
        manifest.asked = Asked(scenario.dashboards, scenario.widgets, scenario.duration, self.processes)
        manifest.write(self.folder)

    def _claim_metrics(self) -> None:
        if self.metrics is None:
            return
        host, port = self.metrics.host, self.metrics.port
        try:
            self.metrics = MetricsEndpoint(free_port(host, port), host)
        except (OSError, OverflowError) as error:
            raise CannotRunError([f"--metrics-port: expected a free port of {host}, got {port}: {error}"]) from None
        place = f"[{host}]" if ":" in host else host
        self.say(f"metrics at http://{place}:{self.metrics.port}/metrics")

    def _write_scenario(self) -> None:
        try:
            (self.folder / SCENARIO).write_text(self.scenario.toml(), encoding="utf-8")
        except OSError as error:
            raise CannotRunError([f"--out: expected a folder to write to, got: {error}"]) from None

    def _swarm(self, stage: Testbed, nemesis: Nemesis) -> None:
        try:
            command = self._command(stage)
        except OSError as error:
            raise CannotRunError([str(error)]) from None
        reading, writing = os.pipe()
        swarm = Child(
            command,
            self.folder / "swarm.log",
            env={PROGRESS: str(writing)},
            fds=[writing],
        )
        os.close(writing)
        try:
            self._watch(swarm, reading, nemesis)
        finally:
            os.close(reading)
            code = swarm.stop(5.0)
        if not begun(self.folder):
            if self.interrupts.count:
                raise KeyboardInterrupt
            (self.folder / MANIFEST).unlink(missing_ok=True)
            raise RigError(f"the swarm ended with exit code {code} before the run began:\n{swarm.last_words()}")

    def _command(self, stage: Testbed) -> list[str]:
        folder = self.folder.absolute()
        command = python(_LAUNCH, "-f", str(_LOCUSTFILE), "--headless", "--only-summary")
        # Each in one word, because a value may begin with a dash.
        command += [f"--host={stage.base_url}", f"--protocol={self.given.protocol}", f"--seed={self.seed}"]
        command += [f"--scenario={folder / SCENARIO}", f"--out={folder}"]
        if self.given.origin is not None:
            command += [f"--origin={self.given.origin}"]
        if self.metrics is not None:
            command += [f"--metrics-host={self.metrics.host}", f"--metrics-port={self.metrics.port}"]
        if stage.via:
            command += ["--via=" + ",".join(f"{place}={address}" for place, address in stage.via.items())]
        if self.processes > 1:
            port = str(free_port())
            command += ["--processes", str(self.processes), "--master-bind-host", "127.0.0.1"]
            command += ["--master-bind-port", port, "--master-port", port]
        return command

    def _watch(self, swarm: Child, reading: int, nemesis: Nemesis) -> None:
        """Shows the swarm's progress until it has ended, or is silent for too long. Faults happen while it measures."""
        phase = ""
        interrupted, heard, rest = 0, time.monotonic(), b""
        with selectors.DefaultSelector() as selector:
            selector.register(reading, selectors.EVENT_READ)
            while swarm.running:
                if self.interrupts.count > interrupted:
                    interrupted = self.interrupts.count
                    nemesis.give_up()
                    if interrupted > _PATIENCE:
                        self.say("interrupted again: ending the swarm")
                        return
                    self.say("interrupted: draining, then judging what there is (Ctrl-C again: at once)")
                    swarm.signal(signal.SIGINT)
                if selector.select(0.2):
                    data = os.read(reading, 65536)
                    if not data:
                        # Closed by all its processes: it ends, or it is stuck in ending.
                        selector.unregister(reading)
                        try:
                            swarm.process.wait(_ENDING)
                        except subprocess.TimeoutExpired:
                            self.say("the swarm does not end: ending it")
                        return
                    heard = time.monotonic()
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        progress = msgspec.json.decode(line, type=RunProgress)
                        if progress.phase != phase:
                            phase = progress.phase
                            self._entered(phase, nemesis)
                        self.show(progress)
                elif time.monotonic() - heard > _STUCK:
                    self.say(f"the swarm has been silent for {_STUCK:g} s: ending it")
                    return

    def _entered(self, phase: str, nemesis: Nemesis) -> None:
        if phase == "measuring" and self.scenario.faults:
            manifest = read_manifest(self.folder)
            assert manifest.start is not None, "written before it is said"
            nemesis.begin(manifest.run, manifest.start)
        elif phase == "draining":
            nemesis.give_up()
