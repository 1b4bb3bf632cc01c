"""The fixture `chatswarm`: runs scenarios, one at a time, each in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chatswarm.loadtests.history.folders import VERDICT
from chatswarm.loadtests.system.children import Child, python
from chatswarm.loadtests.system.exit_code import ExitCode
from chatswarm.loadtests.system.text import one_line

from .result import MeasuredVerdict, NotRunError, SwarmError, UndecidedError, read

_LOOK = 0.1  # seconds between two looks at a run
_GRACE = (1.0, 15.0)  # seconds after a first SIGTERM, which ends the load, and a second, which ends the drain, too
_WORDS = 20  # lines of what it said, where a run came to no verdict


@dataclass(repr=False)
class Swarm:
    """Runs scenarios against one target. `target` None: each run starts a reference chat of its own."""

    target: str | None
    folders: Path
    protocol: str | None = None
    pid: int | None = None
    restart_command: str | None = None
    lock: Path | None = None  # held while there is load, so that runs in several processes do not disturb each other
    say: Callable[[str], None] | None = None  # hears what a run says while it runs
    label: Callable[[], str] = lambda: "run"
    done: Callable[[MeasuredVerdict], None] = lambda _: None
    verdicts: list[MeasuredVerdict] = field(default_factory=list)
    """All that there were, undecided ones as well."""

    def run(
        self,
        scenario: str | Path = "smoke",
        *,
        dashboards: int | None = None,
        widgets: int | None = None,
        rate: float | None = None,
        duration: str | float | None = None,
        processes: int | None = None,
        seed: int | None = None,
        target: str | None = None,
        protocol: str | None = None,
        pid: int | None = None,
        restart_command: str | None = None,
    ) -> MeasuredVerdict:
        """Runs a shipped scenario, or the one in a TOML file, and returns its verdict, pass or fail.

        Arguments are those of `chatswarm run`; `duration` is a text such as "30s", or seconds. Raises UndecidedError,
        NotRunError if nothing was sent, and SwarmError if chatswarm itself failed.
        """
        if target is None:
            target, pid = self.target, self.pid if pid is None else pid
            restart_command = self.restart_command if restart_command is None else restart_command
        flags = {
            "--target": target,
            "--protocol": protocol or self.protocol,
            "--dashboards": dashboards,
            "--widgets": widgets,
            "--rate": rate,
            "--duration": f"{duration:g}s" if isinstance(duration, (int, float)) else duration,
            "--processes": processes,
            "--seed": seed,
            "--pid": pid,
            "--restart-command": restart_command,
        }
        given = [f"{flag}={value}" for flag, value in flags.items() if value is not None]
        with _held(self.lock):
            folder = _new_folder(self.folders, f"{self.label()}-{Path(scenario).stem}")
            log = folder.with_name(f"{folder.name}.log")
            code = self._wait_for(
                Child(
                    python("chatswarm.loadtests.entry", "run", *given, "--out", str(folder), "--", str(scenario)),
                    log,
                    env={"NO_COLOR": "1", "COLUMNS": "120"},
                )
            )
        return self._verdict(code, folder, log)

    def __repr__(self) -> str:
        return f"<chatswarm against {self.target or 'a reference chat for each run'}>"

    def _wait_for(self, child: Child) -> int:
        """Its exit code. It does not outlive this call, whatever comes: an interrupt, a time-out, the end of pytest."""
        try:
            with child.log.open(encoding="utf-8", errors="replace") as said:
                while child.running:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.process.wait(_LOOK)
                    if (text := said.read()) and self.say is not None:
                        self.say(text)
        except BaseException:
            for grace in _GRACE:
                child.signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(grace)
            raise
        finally:
            code = child.kill()
        return code

    def _verdict(self, code: int, folder: Path, log: Path) -> MeasuredVerdict:
        words = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_WORDS:])
        if code == ExitCode.USAGE:
            raise NotRunError(f"nothing was sent:\n{words}")
        if not (folder / VERDICT).exists():
            raise SwarmError(f"the run ended with exit code {code} and no verdict; in {log}:\n{words}")
        verdict = read(folder)
        self.verdicts.append(verdict)
        self.done(verdict)
        reasons = "".join(f"\nbecause {one_line(reason)}" for reason in verdict.reasons)
        if code == ExitCode.UNDECIDED:
            about = one_line(f"{verdict.scenario} against {verdict.target}")
            raise UndecidedError(f"{about} is undecided{reasons}", verdict)
        if code not in (ExitCode.PASS, ExitCode.FAIL):
            error = SwarmError(f"the run ended with exit code {code}{reasons}")
            error.verdict = verdict
            raise error
        return verdict


def _new_folder(root: Path, label: str) -> Path:
    """A folder of that name, or the first of `<name>-2`, … that nobody else has. It is made, and empty."""
    root.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]+", "-", label).strip("-.")[:80]
    number = 1
    while True:
        folder = (root / (name if number == 1 else f"{name}-{number}")).resolve()
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
        number += 1


@contextlib.contextmanager
def _held(lock: Path | None) -> Iterator[None]:
    """A lock between processes, which ends with whoever holds it."""
    if lock is None:
        yield
        return
    import fcntl

    file = os.open(lock, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
