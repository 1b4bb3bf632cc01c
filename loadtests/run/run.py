"""A whole run: starts the swarm, follows its progress, then judges the recorded history.

This process never imports Locust. The swarm is a child process, so a busy swarm slows nothing here, and the judge reads
only what is on disk.
"""

import os
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

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
from chatswarm.loadtests.judge.verdict import Verdict
from chatswarm.loadtests.net.address import join_host_port
from chatswarm.loadtests.protocols.catalogue import ProtocolError, find_protocol
from chatswarm.loadtests.protocols.push import KEY
from chatswarm.loadtests.protocols.secrets import TOKEN
from chatswarm.loadtests.scenario.scenario import Scenario
from chatswarm.loadtests.system.children import PROGRESS, Child, free_port, python
from chatswarm.loadtests.system.interrupts import Interrupts
from chatswarm.loadtests.system.lines import LineBuffer
from chatswarm.loadtests.system.open_files import needed_files, raise_open_files
from chatswarm.loadtests.system.progress import ProgressMessage, RunProgress, SwarmNote, SwarmRefusal
from chatswarm.loadtests.system.text import one_line
from chatswarm.loadtests.testbed.messages import TestbedOptions

if TYPE_CHECKING:
    # Slow to load, and not needed until the swarm has ended.
    from chatswarm.loadtests.judge.judge import Judged, Step

_EXIT_TIMEOUT = 10.0  # seconds for the swarm to exit once it has closed its progress pipe
_SILENCE_LIMIT = 120.0  # seconds without progress after which the swarm counts as hung
_GRACEFUL_INTERRUPTS = 2  # passed on to the swarm; the next one kills it
_LOCUSTFILE = Path(__file__).parents[1] / "locustfile.py"
_LAUNCH = "chatswarm.loadtests.swarm.locust.launch"  # never imported here: it patches the whole process


class CannotRunError(Exception):
    """The run did not begin: wrong usage, or an unreachable target. `problems` holds all reasons."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class RigError(Exception):
    """The rig itself failed, and there is nothing to judge."""


class InterruptedRunError(Exception):
    """The run was interrupted before its verdict. The text says whether there is anything to judge."""


@dataclass(frozen=True, slots=True)
class MetricsEndpoint:
    """Where the swarm serves its live metrics; port 0 picks a free one."""

    port: int
    host: str = "127.0.0.1"


@dataclass
class Run:
    """One run: a scenario, its target, and the folder for its history and verdict."""

    scenario: Scenario
    folder: Path
    options: TestbedOptions
    seed: int = 1
    processes: int = 1
    metrics: MetricsEndpoint | None = None
    show: Callable[[RunProgress], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None
    step: "Step" = lambda *_: None
    report: "Callable[[Judged, Path], str | None]" = lambda *_: None
    """Writes reports of the judged run beside its verdict; returns a problem to show to the user, if any."""
    numbered: bool = False
    """Whether to use `<folder>-2`, … if the folder is taken; otherwise the run is refused."""
    interrupts: Interrupts = field(default_factory=Interrupts)

    def perform(self) -> Verdict:
        """Runs and judges the scenario. Everything is left in the folder.

        The first Ctrl-C, SIGTERM or SIGHUP ends the measured part, the second ends the drain, and what was recorded is
        judged. A third stops a swarm that does not react. Raises CannotRunError before any load, and leaves nothing
        behind; RigError if there is nothing to judge; and InterruptedRunError.
        """
        with self.interrupts:
            try:
                with self.interrupts.raising():
                    self._check_feasible()
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

    def _check_feasible(self) -> None:
        """Checks what can be checked before anything is created. Raises CannotRunError."""
        try:
            protocol = find_protocol(self.options.protocol).make(target=self.options.base_url or "")
        except ProtocolError as error:
            raise CannotRunError(error.problems) from None
        problems = self.scenario.unfit_for(protocol)
        needed = needed_files(self.scenario.dashboards, self.scenario.widgets, self.processes)
        if problem := raise_open_files(needed):
            problems.append(problem)
        if problems:
            raise CannotRunError(problems)
        self._claim_metrics()

    def _claim_folder(self) -> list[Path]:
        """Claims the run's folder. Returns the folders that were created for it. Raises CannotRunError."""
        try:
            # The processes of a swarm send the path to each other as text.
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
        """Until the swarm has exited. Raises CannotRunError, or KeyboardInterrupt if one left nothing to judge."""
        with self.interrupts.raising():
            if self.interrupts.count:
                raise KeyboardInterrupt
            self._write_scenario()
        self._run_swarm()

    def _judge(self) -> Verdict:
        from chatswarm.loadtests.judge.judge import judged, write_verdict

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
        """Adds to the manifest what the command line asked for. Until the swarm has exited, it owns the manifest.

        Taken from memory, because the swarm has overwritten the scenario in the folder.
        """
        manifest = read_manifest(self.folder)
        manifest.command = ["chatswarm", "run", str(self.folder / SCENARIO), *self.options.flags]
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
        self.say(f"metrics at http://{join_host_port(host, self.metrics.port)}/metrics")

    def _write_scenario(self) -> None:
        try:
            (self.folder / SCENARIO).write_text(self.scenario.toml(), encoding="utf-8")
        except OSError as error:
            raise CannotRunError([f"--out: expected a folder to write to, got: {error}"]) from None

    def _run_swarm(self) -> None:
        try:
            command = self._command()
        except OSError as error:
            raise CannotRunError([str(error)]) from None
        environment = {}
        # The swarm and the reference chat, which it starts, both have their secrets from here.
        own = self.scenario.backend if self.options.base_url is None else {}
        if own.get("token"):
            environment[TOKEN] = secrets.token_urlsafe(24)
        if own.get("push") and not os.environ.get(KEY, "").strip():
            environment[KEY] = secrets.token_urlsafe(24)
        reading, writing = os.pipe()
        environment[PROGRESS] = str(writing)
        swarm = Child(command, self.folder / "swarm.log", env=environment, fds=[writing])
        os.close(writing)
        try:
            refused = self._watch(swarm, reading)
        finally:
            os.close(reading)
            code = swarm.stop(5.0)
        if refused and not self._took_place():
            if self.interrupts.count:
                # What was being set up may have ended by the same signal.
                raise KeyboardInterrupt
            raise CannotRunError(refused)
        if not begun(self.folder):
            if self.interrupts.count:
                raise KeyboardInterrupt
            (self.folder / MANIFEST).unlink(missing_ok=True)
            raise RigError(f"the swarm ended with exit code {code} before the run began:\n{swarm.log_tail()}")
        manifest = read_manifest(self.folder)
        if manifest.wrong_protocol is not None:
            raise CannotRunError([manifest.wrong_protocol])
        if manifest.void is not None:
            raise RigError(manifest.void)

    def _took_place(self) -> bool:
        """Whether the run was measured or voided. Before that, there may already be a manifest."""
        if not begun(self.folder):
            return False
        manifest = read_manifest(self.folder)
        return manifest.void is not None or manifest.start is not None

    def _command(self) -> list[str]:
        folder, options = self.folder.absolute(), self.options
        command = python(_LAUNCH, "-f", str(_LOCUSTFILE), "--headless", "--only-summary")
        values = {
            "--host": options.base_url,
            "--protocol": options.protocol,
            "--seed": self.seed,
            "--scenario": folder / SCENARIO,
            "--out": folder,
            "--origin": options.origin,
            "--users-file": options.users_file,
            "--pid": options.pid,
            "--restart-command": options.restart_command,
            "--toxiproxy": options.toxiproxy,
        }
        if self.metrics is not None:
            values |= {"--metrics-host": self.metrics.host, "--metrics-port": self.metrics.port}
        if self.processes > 1:
            port = free_port()
            values |= {"--processes": self.processes, "--master-bind-host": "127.0.0.1"}
            values |= {"--master-bind-port": port, "--master-port": port}
        # In one word, because a value may begin with a dash.
        command += [f"{flag}={value}" for flag, value in values.items() if value is not None]
        return [*command, *(["--traceparent"] if options.traceparent else [])]

    def _watch(self, swarm: Child, reading: int) -> list[str]:
        """Shows what the swarm reports until it exits or falls silent. Returns why no run begins, if so."""
        refused: list[str] = []
        interrupted, last_report, buffer = 0, time.monotonic(), LineBuffer()
        with selectors.DefaultSelector() as selector:
            selector.register(reading, selectors.EVENT_READ)
            while swarm.running:
                if self.interrupts.count > interrupted:
                    interrupted = self.interrupts.count
                    if interrupted > _GRACEFUL_INTERRUPTS:
                        self.say("interrupted again: ending the swarm")
                        return refused
                    self.say("interrupted: draining, then judging what was recorded (Ctrl-C again skips the drain)")
                    swarm.signal(signal.SIGINT)
                if selector.select(0.2):
                    data = os.read(reading, 65536)
                    if not data:
                        # All its processes have closed the pipe: the swarm is about to exit, or hangs.
                        selector.unregister(reading)
                        try:
                            swarm.process.wait(_EXIT_TIMEOUT)
                        except subprocess.TimeoutExpired:
                            self.say(f"the swarm did not exit within {_EXIT_TIMEOUT:g} s: ending it")
                        return refused
                    last_report = time.monotonic()
                    for line in buffer.add(data):
                        refused += self._on_message(msgspec.json.decode(line, type=ProgressMessage))
                elif time.monotonic() - last_report > _SILENCE_LIMIT:
                    self.say(f"no progress from the swarm for {_SILENCE_LIMIT:g} s: ending it")
                    return refused
        return refused

    def _on_message(self, message: ProgressMessage) -> list[str]:
        """Shows it. Returns why no run begins, if it says so."""
        match message:
            case RunProgress():
                self.show(message)
            case SwarmNote(text):
                self.say(text)
            case SwarmRefusal(problems):
                return problems
        return []
