"""Custom faults: shell commands."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil
import pytest

from chatswarm.loadtests.faults.error import FaultError
from chatswarm.loadtests.faults.fault import Fault, FaultContext

from .acts import fault, proven


def command(context: FaultContext, start: str, stop: str = "true", timeout: float = 20) -> Fault:
    return fault(context, "command", f"start = '''{start}'''\nstop = '''{stop}'''\ntimeout = {timeout}")


def test_it_begins_and_is_healed(context: FaultContext, tmp_path: Path) -> None:
    made = command(context, f"echo first; echo broker is down; touch {tmp_path}/on", f"rm {tmp_path}/on")
    made.begin()
    assert (tmp_path / "on").exists()
    assert list(context.undo_log._actions.values()) == [["shell", f"rm {tmp_path}/on"]]
    evidence = made.heal()
    assert not (tmp_path / "on").exists()
    assert context.undo_log._actions == {}
    assert (evidence["start"], evidence["said"]) == ("exit code 0", "broker is down")
    assert float(evidence["stopped_in"]) > 0
    assert (tmp_path / "fault-command.log").read_text() == "first\nbroker is down\n"


def test_a_silent_command_that_succeeds_is_evidence(context: FaultContext) -> None:
    made = command(context, "true")
    made.begin()
    assert proven(made.heal())


def test_each_occurrence_reports_only_its_own_output(context: FaultContext) -> None:
    for number, (command, said) in enumerate((("echo one", "one"), ("echo two", "two"), ("true", ""))):
        made = fault(context, "command", f'start = "{command}"\nstop = "echo healed"', number)
        made.begin()
        assert made.heal()["said"] == said


def test_a_start_that_fails_is_healed_and_proves_nothing(context: FaultContext, tmp_path: Path) -> None:
    made = command(context, "echo no such container; exit 7", f"touch {tmp_path}/healed")
    with pytest.raises(FaultError, match=r"start: expected exit code 0, got 7: echo no .*: no such container$"):
        made.begin()
    assert made.heal() == {}
    assert (tmp_path / "healed").exists()


def test_a_start_that_does_not_exit_is_killed_with_its_descendants(context: FaultContext, tmp_path: Path) -> None:
    made = command(context, f"sleep 600 & echo $! > {tmp_path}/pid; wait", timeout=0.5)
    began = time.monotonic()
    with pytest.raises(FaultError, match=re.escape("start: expected an end within 0.5 s, got none: sleep 600")):
        made.begin()
    assert time.monotonic() - began < 20
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in running(tmp_path / "pid")], 10)
    assert not alive
    assert made.heal() == {}


def test_background_processes_are_not_waited_for(context: FaultContext, tmp_path: Path) -> None:
    made = command(context, f"sleep 600 & echo $! > {tmp_path}/pid", f"kill $(cat {tmp_path}/pid)")
    made.begin()
    (pid,) = running(tmp_path / "pid")
    sleeper = psutil.Process(pid)
    assert proven(made.heal())
    assert sleeper.wait(10) is None


@pytest.mark.parametrize(
    ("stop", "timeout", "problem"), [("exit 4", 20, "exit code 0, got 4"), ("sleep 600", 0.3, "an end within")]
)
def test_a_stop_that_fails_stays_pending(
    context: FaultContext, stop: str, timeout: float, problem: str, tmp_path: Path
) -> None:
    made = command(context, "true", stop, timeout)
    made.begin()
    with pytest.raises(FaultError, match=f"stop: expected {problem}"):
        made.heal()
    # The healer will try again.
    assert list(context.undo_log._actions.values()) == [["shell", stop]]
    context.undo_log.drop(1)


def test_output_that_is_not_utf_8(context: FaultContext) -> None:
    made = command(context, r"printf 'caf\351\n'")
    made.begin()
    assert made.heal()["said"] == "caf�"


def running(path: Path) -> list[int]:
    """The pid that a command left in a file, if that process still exists."""
    pid = int(path.read_text())
    return [pid] if psutil.pid_exists(pid) else []
