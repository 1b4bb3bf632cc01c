"""Runs the real commands as a user would, and reads their results."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

CHATSWARM = [sys.executable, "-m", "chatswarm.loadtests.entry"]
LOCUST = [sys.executable, "-m", "locust", "-f", str(Path(__file__).parents[2] / "loadtests" / "locustfile.py")]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background jobs inherit an ignored SIGINT, and would pass that on to the commands below.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A generous target: the rig may be late by a tenth of it before the verdict is undecided, and here it shares two cores
# with other tests.
QUICK = """
[swarm]
dashboards = 4
widgets = 3
rate = 10
duration = "2s"
ramp = "0.5s"
update_target = "5s"
drain = "7s"
"""


@dataclass
class Result:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def verdict(self) -> dict[str, Any]:
        verdict: dict[str, Any] = json.loads(self.out)
        return verdict


class Command:
    """A running command. Its output goes to files, so no pipe can fill up."""

    def __init__(self, command: list[str], folder: Path, env: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._out, self._err = folder / "stdout", folder / "stderr"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **(env or {})},
                cwd=folder,
                start_new_session=True,
            )

    def result(self, timeout: float = 60) -> Result:
        """Waits for the command to end."""
        code = self.process.wait(timeout)
        return Result(code, self._out.read_text(encoding="utf-8"), self.said())

    def said(self) -> str:
        """Its standard error so far."""
        return self._err.read_text(encoding="utf-8")

    def children(self) -> list[psutil.Process]:
        """All its descendants."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def swarm(self) -> psutil.Process:
        """The process of its swarm's master."""
        return next(child for child in self.children() if "locust" in " ".join(child.cmdline()))


@contextmanager
def running(
    command: list[str], folder: Path, env: Mapping[str, str] | None = None, *, group: bool = False
) -> Iterator[Command]:
    """A command that is killed on exit if it still runs; `group`: with all processes of its session."""
    started = Command(command, folder, env)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            (os.killpg if group else os.kill)(started.process.pid, signal.SIGKILL)
            started.process.wait()


def chatswarm(*args: str, folder: Path, env: Mapping[str, str] | None = None, timeout: float = 60) -> Result:
    """Runs `chatswarm ARGS` to its end."""
    with running([*CHATSWARM, *args], folder, env) as command:
        return command.result(timeout)


def until(condition: Callable[[], object], timeout: float = 30, what: str = "") -> None:
    """Waits until a condition is true. Fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, what or "the condition did not become true"
        time.sleep(0.02)


def scenario(folder: Path, text: str = QUICK, slos: tuple[str, ...] = ()) -> str:
    """Writes a scenario file, and returns its path."""
    path = folder / "quick.toml"
    path.write_text(text + "".join(f"[[slo]]\nexpect = '{slo}'\n" for slo in slos), encoding="utf-8")
    return str(path)


def measuring(command: Command) -> bool:
    """Whether the measured part has begun."""
    return "measuring" in command.said()
