"""Victims for process faults: real processes, started by the test or by chatswarm."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from chatswarm.loadtests.faults import target_processes
from chatswarm.loadtests.faults.target_processes import GivenProcess, OwnProcess
from chatswarm.loadtests.net.reachability import http_problem
from chatswarm.loadtests.system.children import Child, free_port

VICTIM = Path(__file__).with_name("victim.py")
PATIENCE = 20.0


class Victim:
    """A port, and the process that listens there."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.givens: list[GivenProcess] = []
        self.arguments = [sys.executable, "-S", str(VICTIM), str(self.port), *words]

    @property
    def command(self) -> str:
        """For a shell."""
        return shlex.join(self.arguments)

    @property
    def pid(self) -> int:
        """The pid of the current listener."""
        pid = target_processes.listener_on(self.port)
        assert pid is not None
        return pid

    def unanswered(self) -> str | None:
        return http_problem(self.url, 1.0)

    def given(self, command: str | None = None, *, known: bool = True) -> GivenProcess:
        """As given by `--pid` and `--restart-command`."""
        log = self.folder / "restart.log"
        self.givens.append(GivenProcess(self.pid if known else None, command, self.port, self.unanswered, log))
        return self.givens[-1]

    def members(self) -> list[psutil.Process]:
        """All its processes."""
        mine = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(VICTIM) in process.cmdline() and str(self.port) in process.cmdline():
                    mine += [process, *process.children(recursive=True)]
        return mine


@contextmanager
def given_victim(folder: Path, *words: str) -> Iterator[Victim]:
    """A victim that chatswarm did not start."""
    victim = Victim(folder, *words)
    with subprocess.Popen(victim.arguments) as process:
        try:
            until(lambda: victim.unanswered() is None)
            yield victim
        finally:
            for member in victim.members():
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            process.kill()
            for given in victim.givens:
                for started in given._started:
                    started.kill()
                    started.wait()


@contextmanager
def own_victim(folder: Path, *words: str) -> Iterator[tuple[Victim, OwnProcess]]:
    """A victim that chatswarm started."""
    victim = Victim(folder, *words)
    own = OwnProcess("the victim", lambda: Child(victim.arguments, folder / "victim.log"), victim.unanswered, 5.0)
    try:
        own.wait()
        yield victim, own
    finally:
        own.child.kill()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.02)
