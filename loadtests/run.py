"""A whole run: the backend if none is given, the swarm, its progress, and the judgement of what it left behind.

This process never imports Locust: it starts the swarm as a child, so that a busy swarm slows nothing here, and judges
with what is on disk.
"""

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from .children import PROGRESS, Child, free_port
from .faults.nemesis import Nemesis
from .history.manifest import MANIFEST, read_manifest
from .judge import Step, judged, write_verdict
from .report import report_on
from .runs import SCENARIO
from .scenario import Scenario
from .stage import CannotRunError, Given, Stage
from .targets import target_of
from .verdict import Verdict

_ENDING = 10.0  # seconds that the swarm may take to end after its last word
_STUCK = 120.0  # seconds without a word from the swarm, after which it counts as hung
_LOCUSTFILE = Path(__file__).parent / "locustfile.py"


class RigError(Exception):
    """The load-generating side itself failed before there was anything to judge."""


class Progress(msgspec.Struct):
    """A line of the swarm's progress: figures to watch, never to judge."""

    phase: str
    elapsed: float
    length: float
    dashboards: int
    subscribed: int
    sent: int
    accepted: int
    refused: int
    frames: int
    updates: int
    p99: float | None
    sent_rate: float  # per second, over the last seconds
    update_rate: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """Where the swarm serves its live figures; port 0: a free one."""

    port: int
    host: str = "127.0.0.1"


@dataclass
class Run:
    """What to run, against what, and where to leave it."""

    scenario: Scenario
    folder: Path
    given: Given
    seed: int = 1
    processes: int = 1
    metrics: Metrics | None = None
    show: Callable[[Progress], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None
    step: Step = lambda *_: None
    _interrupts: int = field(default=0, init=False)

    def perform(self) -> Verdict:
        """Runs, judges, and leaves everything in the folder.

        Ctrl-C or SIGTERM once ends the measured part and judges what there is; twice ends the drain, too. Raises
        CannotRunError before any load, and then leaves nothing; and RigError if there is nothing to judge.
        """
        if unfit := self.scenario.unfit_for(target_of(self.given.adapter)):
            raise CannotRunError(unfit)
        self._claim_metrics()
        # From set-up to judgement, a SIGTERM is what Ctrl-C is: nothing may be left behind.
        previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            self._refuse_taken_folder()
            made = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
            try:
                self._prepare_folder()
                return self._perform()
            except CannotRunError:
                self._take_back(made)
                raise
        finally:
            signal.signal(signal.SIGTERM, previous)

    def _perform(self) -> Verdict:
        with Stage(self.scenario, self.folder, self.given, self.seed, self.say) as stage:
            nemesis = Nemesis(self.scenario.faults, self.scenario.duration, stage.world, self.folder, self.say)
            previous = {number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                self._swarm(stage, nemesis)
            finally:
                nemesis.end()
                for number, handler in previous.items():
                    signal.signal(number, handler)
            if problem := stage.broken():
                raise RigError(problem)
            self.say("judging")
        self._write_command()
        whole = judged(self.folder, step=self.step)
        try:
            write_verdict(self.folder, whole.verdict)
        except OSError as error:
            again = f"chatswarm judge {self.folder}"
            raise RigError(
                f"the verdict could not be written: {error}; once it can be, judge it again: {again}"
            ) from None
        if problem := report_on(whole, self.folder):
            self.say(problem)
        return whole.verdict

    def _write_command(self) -> None:
        """Into the manifest, which is the swarm's until it has ended."""
        manifest = read_manifest(self.folder)
        manifest.command = ["chatswarm", "run", str(self.folder / SCENARIO), *self.given.flags]
        manifest.command += ["--seed", str(self.seed), "--processes", str(self.processes)]
        manifest.write(self.folder)

    def _claim_metrics(self) -> None:
        if self.metrics is None:
            return
        host, port = self.metrics.host, self.metrics.port
        try:
            self.metrics = Metrics(free_port(host, port), host)
        except (OSError, OverflowError) as error:
            raise CannotRunError([f"--metrics-port: expected a free port of {host}, got {port}: {error}"]) from None
        place = f"[{host}]" if ":" in host else host
        self.say(f"metrics at http://{place}:{self.metrics.port}/metrics")

    def _refuse_taken_folder(self) -> None:
        try:
            taken = self.folder.exists() and any(self.folder.iterdir())
        except OSError as error:
            raise CannotRunError([f"--out: expected a folder to write to, got: {error}"]) from None
        if taken:
            raise CannotRunError([f"--out: expected a new or an empty folder, got {self.folder}, which is neither"])

    def _take_back(self, made: list[Path]) -> None:
        """A run that did not begin leaves no folder that was not there, and nothing in one that was."""
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()

    def _prepare_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / SCENARIO).write_text(self.scenario.toml(), encoding="utf-8")
        except OSError as error:
            raise CannotRunError([f"--out: expected a folder to write to, got: {error}"]) from None

    def _swarm(self, stage: Stage, nemesis: Nemesis) -> None:
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
        if not (self.folder / MANIFEST).exists():
            raise RigError(f"the swarm ended with exit code {code} before the run began:\n{swarm.last_words()}")

    def _command(self, stage: Stage) -> list[str]:
        command = [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--headless", "--only-summary"]
        command += ["--host", stage.base_url, "--adapter", self.given.adapter, "--seed", str(self.seed)]
        command += ["--scenario", str(self.folder / SCENARIO), "--out", str(self.folder)]
        if self.metrics is not None:
            command += ["--metrics-host", self.metrics.host, "--metrics-port", str(self.metrics.port)]
        if stage.via:
            command += ["--via", ",".join(f"{place}={address}" for place, address in stage.via.items())]
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
                if self._interrupts > interrupted:
                    interrupted = self._interrupts
                    nemesis.give_up()
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
                        progress = msgspec.json.decode(line, type=Progress)
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

    def _interrupt(self, *_: object) -> None:
        self._interrupts += 1
