"""A whole run: the backend if none is given, the swarm, its progress, and the judgement of what it left behind.

This process never imports Locust: it starts the swarm as a child, so that a busy swarm slows nothing here, and judges
with what is on disk.
"""

import http.client
import os
import selectors
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from .children import Child, free_port
from .history.manifest import MANIFEST
from .judge import judge, write_verdict
from .runs import SCENARIO
from .scenario import Scenario
from .targets import TARGETS
from .verdict import Verdict

_BACKEND_GRACE = 10.0  # seconds to end after SIGTERM
_STARTING = 30.0  # seconds that the backend may take to answer
_STUCK = 120.0  # seconds without a word from the swarm, after which it counts as hung
_LOCUSTFILE = Path(__file__).parent / "locustfile.py"


class CannotRunError(Exception):
    """The run did not begin: usage, or a target that cannot be reached. `problems` holds all reasons."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


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


@dataclass
class Run:
    """What to run, against what, and where to leave it."""

    scenario: Scenario
    folder: Path
    base_url: str | None = None  # None: the reference backend, started for this run
    adapter: str = "reference"
    seed: int = 1
    processes: int = 1
    show: Callable[[Progress], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None
    _interrupts: int = field(default=0, init=False)

    def perform(self) -> Verdict:
        """Runs, judges, and leaves everything in the folder.

        Ctrl-C once ends the measured part and judges what there is; twice ends the drain, too. Raises CannotRunError
        before any load, and RigError if the swarm failed without leaving a history.
        """
        if unfit := self.scenario.unfit_for(TARGETS[self.adapter]()):
            raise CannotRunError(unfit)
        self._prepare_folder()
        with ExitStack() as cleanup:
            base_url = self.base_url or self._start_backend(cleanup)
            if problem := unanswered(base_url):
                raise CannotRunError([f"--target: {problem}"])
            previous = signal.signal(signal.SIGINT, self._interrupt)
            cleanup.callback(signal.signal, signal.SIGINT, previous)
            self._swarm(base_url)
            self.say("judging")
        verdict = judge(self.folder)
        write_verdict(self.folder, verdict)
        return verdict

    def _prepare_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if any(self.folder.iterdir()):
                raise CannotRunError([f"--out: expected a new or an empty folder, got {self.folder}, which is neither"])
            (self.folder / SCENARIO).write_text(self.scenario.toml(), encoding="utf-8")
        except OSError as error:
            raise CannotRunError([f"--out: expected a folder to write to, got: {error}"]) from None

    def _start_backend(self, cleanup: ExitStack) -> str:
        store = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="chatswarm-")))
        backend = reference_backend(self.folder / "backend.log", store / "chat.db", free_port())
        cleanup.callback(backend.child.stop, _BACKEND_GRACE)
        self.say(f"starting the reference backend at {backend.base_url}")
        backend.wait()
        return backend.base_url

    def _swarm(self, base_url: str) -> None:
        reading, writing = os.pipe()
        swarm = Child(
            self._command(base_url),
            self.folder / "swarm.log",
            env={"CHATSWARM_PROGRESS_FD": str(writing)},
            fds=[writing],
        )
        os.close(writing)
        try:
            self._watch(swarm, reading)
        finally:
            os.close(reading)
            code = swarm.stop(5.0)
        if not (self.folder / MANIFEST).exists():
            raise RigError(f"the swarm ended with exit code {code} before the run began:\n{swarm.last_words()}")

    def _command(self, base_url: str) -> list[str]:
        command = [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--headless", "--only-summary"]
        command += ["--host", base_url, "--adapter", self.adapter, "--seed", str(self.seed)]
        command += ["--scenario", str(self.folder / SCENARIO), "--out", str(self.folder)]
        if self.processes > 1:
            port = str(free_port())
            command += ["--processes", str(self.processes), "--master-bind-host", "127.0.0.1"]
            command += ["--master-bind-port", port, "--master-port", port]
        return command

    def _watch(self, swarm: Child, reading: int) -> None:
        """Shows the swarm's progress until it has ended, or is silent for too long."""
        interrupted, heard, rest = 0, time.monotonic(), b""
        with selectors.DefaultSelector() as selector:
            selector.register(reading, selectors.EVENT_READ)
            while swarm.running:
                if self._interrupts > interrupted:
                    interrupted = self._interrupts
                    self.say("interrupted: draining, then judging what there is (Ctrl-C again: at once)")
                    swarm.signal(signal.SIGINT)
                if selector.select(0.2):
                    data = os.read(reading, 65536)
                    if not data:
                        # Closed by all its processes: it ends, or it is stuck in ending.
                        selector.unregister(reading)
                        try:
                            swarm.process.wait(_BACKEND_GRACE)
                        except subprocess.TimeoutExpired:
                            self.say("the swarm does not end: ending it")
                        return
                    heard = time.monotonic()
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self.show(msgspec.json.decode(line, type=Progress))
                elif time.monotonic() - heard > _STUCK:
                    self.say(f"the swarm has been silent for {_STUCK:g} s: ending it")
                    return

    def _interrupt(self, *_: object) -> None:
        self._interrupts += 1


@dataclass
class Backend:
    """The reference backend as a child of this process."""

    child: Child
    base_url: str

    def wait(self) -> None:
        """Blocks until it answers. Raises CannotRunError if it does not."""
        deadline = time.monotonic() + _STARTING
        while unanswered(self.base_url, 1.0):
            if not self.child.running or time.monotonic() > deadline:
                raise CannotRunError([f"the reference backend did not start:\n{self.child.last_words()}"])
            time.sleep(0.05)


def reference_backend(log: Path, database: Path, port: int) -> Backend:
    """Starts the reference backend on 127.0.0.1 with an SQLite file."""
    command = [sys.executable, "-m", "chatswarm.backend", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--database", f"sqlite:///{database.resolve()}", "--lifeline-fd", "{lifeline}"]
    return Backend(Child(command, log), f"http://127.0.0.1:{port}")


def unanswered(base_url: str, timeout: float = 5.0) -> str | None:
    """Why the target gives no HTTP answer at all; None if it gives any."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"expected a URL such as http://127.0.0.1:8000, got {base_url!r}"
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        return f"expected an HTTP answer from {base_url}, got {str(error) or type(error).__name__}"
    finally:
        connection.close()
    return None
