"""The object behind the fixture `chatswarm`: runs scenarios one at a time, each in a child process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chatswarm.loadtests.compare.result import COMPARISON
from chatswarm.loadtests.history.folders import VERDICT
from chatswarm.loadtests.system.children import Child, python
from chatswarm.loadtests.system.exit_code import ExitCode
from chatswarm.loadtests.system.text import one_line

from .comparison import MeasuredComparison, read_comparison
from .result import MeasuredVerdict, NotRunError, SwarmError, UndecidedError, read

if TYPE_CHECKING:
    from .capacity import MeasuredCapacity

_POLL = 0.1  # seconds between two checks of a run
_GRACE = (1.0, 15.0)  # seconds after a first SIGTERM, which ends the load, and a second, which also ends the drain
_LAST_LINES = 20  # lines of the log in the error of a run without a verdict


@dataclass(repr=False)
class Swarm:
    """Runs scenarios against one target. `target` None: each run starts its own reference chat."""

    target: str | None
    folders: Path
    protocol: str | None = None
    pid: int | None = None
    restart_command: str | None = None
    lock: Path | None = None  # held during a run, so that runs in several processes do not disturb each other
    say: Callable[[str], None] | None = None  # receives the output of a run as it appears
    label: Callable[[], str] = lambda: "run"  # the first part of a run's folder name
    on_verdict: Callable[[MeasuredVerdict | MeasuredComparison], None] = lambda _: None
    verdicts: list[MeasuredVerdict] = field(default_factory=list)
    """The verdicts of all runs, including undecided ones."""

    def run(
        self,
        scenario: str | Path = "smoke",
        *,
        dashboards: int | None = None,
        widgets: int | None = None,
        rooms: int | None = None,
        members: int | None = None,
        rate: float | None = None,
        duration: str | float | None = None,
        processes: int | None = None,
        seed: int | None = None,
        target: str | None = None,
        protocol: str | None = None,
        origin: str | None = None,
        users_file: str | Path | None = None,
        pid: int | None = None,
        restart_command: str | None = None,
        traceparent: bool = False,
    ) -> MeasuredVerdict:
        """Runs a shipped scenario, or one in a TOML file, and returns its verdict: pass or fail.

        The arguments are those of `chatswarm run`; `duration` is a string such as "30s", or seconds. Raises
        UndecidedError, NotRunError if nothing was sent, and SwarmError if chatswarm itself failed.
        """
        if target is None:
            target, pid = self.target, self.pid if pid is None else pid
            restart_command = self.restart_command if restart_command is None else restart_command
        flags = {
            "--target": target,
            "--protocol": protocol or self.protocol,
            "--dashboards": dashboards,
            "--widgets": widgets,
            "--rooms": rooms,
            "--members": members,
            "--rate": rate,
            "--duration": _time(duration),
            "--processes": processes,
            "--seed": seed,
            "--origin": origin,
            "--users-file": users_file,
            "--pid": pid,
            "--restart-command": restart_command,
        }
        switches = {"--traceparent": traceparent}
        ended = self._command("run", Path(scenario).stem, _options(flags, switches), ["--", str(scenario)])
        return self._verdict(*ended)

    def compare(
        self,
        base: str | Sequence[str | Path] | None = None,
        new: str | Sequence[str | Path] | None = None,
        *,
        scenario: str | Path | None = None,
        on: Sequence[str] = (),
        repeat: int | None = None,
        until_decided: bool = False,
        max_time: str | float | None = None,
        margin: float | None = None,
        confidence: float | None = None,
        assume_no_drift: bool = False,
        base_backend: str | None = None,
        new_backend: str | None = None,
        dashboards: int | None = None,
        widgets: int | None = None,
        rooms: int | None = None,
        members: int | None = None,
        rate: float | None = None,
        duration: str | float | None = None,
        processes: int | None = None,
        seed: int | None = None,
        protocol: str | None = None,
        origin: str | None = None,
        users_file: str | Path | None = None,
    ) -> MeasuredComparison:
        """Compares two sides and returns the result: better, same or worse.

        A side is the URL of a chat, flags of the reference chat, or the folders of recorded runs; `new` is the target
        unless it is given. With URLs or flags, it makes the runs. The arguments are those of `chatswarm compare`;
        `margin` and `confidence` are shares such as 0.2, and times are strings or seconds. Raises UndecidedError if
        the runs cannot tell, NotRunError if they may not be compared or nothing was sent, and SwarmError.
        """
        if new is None and new_backend is None:
            new = self.target
        flags = {
            "--scenario": scenario,
            "--repeat": repeat,
            "--max-time": _time(max_time),
            "--margin": margin,
            "--confidence": confidence,
            "--base-backend": base_backend,
            "--new-backend": new_backend,
            "--dashboards": dashboards,
            "--widgets": widgets,
            "--rooms": rooms,
            "--members": members,
            "--rate": rate,
            "--duration": _time(duration),
            "--processes": processes,
            "--seed": seed,
            "--protocol": protocol or self.protocol,
            "--origin": origin,
            "--users-file": users_file,
        }
        switches = {"--until-decided": until_decided, "--assume-no-drift": assume_no_drift}
        options = [*_options(flags, switches), *(f"--on={metric}" for metric in on)]
        ended = self._command("compare", "compare", options, [*_words(base), "--against", *_words(new)])
        return self._comparison(*ended)

    def _comparison(self, code: int, folder: Path, log: Path) -> MeasuredComparison:
        last_lines = _end_of(log)
        if code == ExitCode.USAGE:
            raise NotRunError(f"nothing was compared:\n{last_lines}")
        if not (folder / COMPARISON).exists():
            raise SwarmError(
                f"the comparison ended with exit code {code} and without a result; the end of {log}:\n{last_lines}"
            )
        comparison = read_comparison(folder)
        self.on_verdict(comparison)
        if code == ExitCode.UNDECIDED:
            raise UndecidedError(f"{comparison.line}\n{comparison.headline}")
        if code not in (ExitCode.PASS, ExitCode.FAIL):
            raise SwarmError(f"the comparison ended with exit code {code}; the end of {log}:\n{last_lines}")
        return comparison

    def capacity(
        self,
        scenario: str | Path = "steady",
        *,
        start: float,
        to: float,
        by: Literal["rate", "dashboards"] = "rate",
        precision: float | None = None,
        at_least: float | None = None,
        probe: str | float | None = None,
        rig: bool = False,
        dashboards: int | None = None,
        widgets: int | None = None,
        rooms: int | None = None,
        members: int | None = None,
        rate: float | None = None,
        processes: int | None = None,
        seed: int | None = None,
        target: str | None = None,
        protocol: str | None = None,
        origin: str | None = None,
        users_file: str | Path | None = None,
        pid: int | None = None,
        yes_this_may_break_it: bool = False,
    ) -> MeasuredCapacity:
        """Searches the highest load that the chat holds, and returns it with its bounds.

        The arguments are those of `chatswarm capacity`, `start` its `--from`; `precision` is a share such as 0.1.
        Raises UndecidedError if `at_least` was neither shown nor refuted, or without it if the limit was not found;
        NotRunError if nothing was sent, and SwarmError if chatswarm itself failed.
        """
        if target is None and not rig:
            target, pid = self.target, self.pid if pid is None else pid
        flags = {
            "--from": start,
            "--to": to,
            "--by": by,
            "--precision": precision,
            "--at-least": at_least,
            "--probe": _time(probe),
            "--dashboards": dashboards,
            "--widgets": widgets,
            "--rooms": rooms,
            "--members": members,
            "--rate": rate,
            "--processes": processes,
            "--seed": seed,
            "--target": target,
            "--protocol": protocol or (None if rig else self.protocol),
            "--origin": origin,
            "--users-file": users_file,
            "--pid": pid,
        }
        switches = {"--rig": rig, "--yes-this-may-break-it": yes_this_may_break_it}
        label = f"capacity-{Path(scenario).stem}"
        return self._capacity(*self._command("capacity", label, _options(flags, switches), ["--", str(scenario)]))

    def _capacity(self, code: int, folder: Path, log: Path) -> MeasuredCapacity:
        from .capacity import read_capacity

        if code == ExitCode.USAGE:
            raise NotRunError(f"nothing was sent:\n{_end_of(log)}")
        found = read_capacity(folder)
        if code == ExitCode.UNDECIDED:
            raise UndecidedError(_end_of(log) if found is None else found.text())
        if found is None or code not in (ExitCode.PASS, ExitCode.FAIL):
            raise SwarmError(f"the search ended with exit code {code}; the end of {log}:\n{_end_of(log)}")
        return found

    def __repr__(self) -> str:
        return f"<chatswarm against {self.target or 'a reference chat for each run'}>"

    def _command(self, name: str, label: str, options: Sequence[str], words: Sequence[str]) -> tuple[int, Path, Path]:
        """Runs a command of chatswarm in a new folder. Returns its exit code, the folder and the log."""
        with _held(self.lock):
            folder = _new_folder(self.folders, f"{self.label()}-{label}")
            log = folder.with_name(f"{folder.name}.log")
            command = python("chatswarm.loadtests.entry", name, *options, "--out", str(folder), *words)
            code = self._wait_for(Child(command, log, env={"NO_COLOR": "1", "COLUMNS": "120"}))
        return code, folder, log

    def _wait_for(self, child: Child) -> int:
        """Its exit code. The child never outlives this call, even after an interrupt or a timeout."""
        try:
            with child.log.open(encoding="utf-8", errors="replace") as output:
                while child.running:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.process.wait(_POLL)
                    if (text := output.read()) and self.say is not None:
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
        last_lines = _end_of(log)
        if code == ExitCode.USAGE:
            raise NotRunError(f"nothing was sent:\n{last_lines}")
        if not (folder / VERDICT).exists():
            raise SwarmError(
                f"the run ended with exit code {code} and without a verdict; the end of {log}:\n{last_lines}"
            )
        verdict = read(folder)
        self.verdicts.append(verdict)
        self.on_verdict(verdict)
        reasons = "".join(f"\nbecause {one_line(reason)}" for reason in verdict.reasons)
        if code == ExitCode.UNDECIDED:
            run = one_line(f"{verdict.scenario} against {verdict.target}")
            raise UndecidedError(f"{run} is undecided{reasons}", verdict)
        if code not in (ExitCode.PASS, ExitCode.FAIL):
            error = SwarmError(f"the run ended with exit code {code}{reasons}")
            error.verdict = verdict
            raise error
        return verdict


def _end_of(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:])


def _options(flags: Mapping[str, object], switches: Mapping[str, bool]) -> list[str]:
    """The flags that have a value, and the switches that are on, as words of the command line."""
    given = [f"{flag}={value}" for flag, value in flags.items() if value is not None]
    return given + [switch for switch, is_on in switches.items() if is_on]


def _time(value: str | float | None) -> str | None:
    return f"{value:g}s" if isinstance(value, (int, float)) else value


def _words(side: str | Sequence[str | Path] | None) -> list[str]:
    """A side as words of the command line."""
    return [] if side is None else [side] if isinstance(side, str) else list(map(str, side))


def _new_folder(root: Path, label: str) -> Path:
    """Creates a folder of that name, or the first of `<name>-2`, … that is free."""
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
    """Holds a lock between processes. The kernel releases it if the holder dies."""
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
