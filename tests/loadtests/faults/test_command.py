"""Faults of one's own: shell commands."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil
import pytest

from chatswarm.loadtests.faults.error import FaultError
from chatswarm.loadtests.faults.fault import Fault, FaultContext

from .acts import fault, proven


def command(world: FaultContext, start: str, stop: str = "true", timeout: float = 20) -> Fault:
    return fault(world, "command", f"start = '''{start}'''\nstop = '''{stop}'''\ntimeout = {timeout}")


def test_it_begins_and_is_healed(world: FaultContext, tmp_path: Path) -> None:
    made = command(world, f"echo first; echo broker is down; touch {tmp_path}/on", f"rm {tmp_path}/on")
    made.begin()
    assert (tmp_path / "on").exists()
    assert list(world.pledges._pledged.values()) == [["shell", f"rm {tmp_path}/on"]]
    evidence = made.heal()
    assert not (tmp_path / "on").exists()
    assert world.pledges._pledged == {}
    assert (evidence["start"], evidence["said"]) == ("exit code 0", "broker is down")
    assert float(evidence["stopped_in"]) > 0
    assert (tmp_path / "fault-command.log").read_text() == "first\nbroker is down\n"


def test_a_silent_one_that_succeeds_has_done_it(world: FaultContext) -> None:
    made = command(world, "true")
    made.begin()
    assert proven(made.heal())


def test_what_it_says_is_its_own_also_the_second_time(world: FaultContext) -> None:
    for number, (command, said) in enumerate((("echo one", "one"), ("echo two", "two"), ("true", ""))):
        made = fault(world, "command", f'start = "{command}"\nstop = "echo healed"', number)
        made.begin()
        assert made.heal()["said"] == said


def test_a_start_that_fails_is_healed_and_proves_nothing(world: FaultContext, tmp_path: Path) -> None:
    made = command(world, "echo no such container; exit 7", f"touch {tmp_path}/healed")
    with pytest.raises(FaultError, match=r"start: expected exit code 0, got 7: echo no .*: no such container$"):
        made.begin()
    assert made.heal() == {}
    assert (tmp_path / "healed").exists()


def test_a_start_that_does_not_end_is_ended_with_all_that_it_started(world: FaultContext, tmp_path: Path) -> None:
    made = command(world, f"sleep 600 & echo $! > {tmp_path}/pid; wait", timeout=0.5)
    began = time.monotonic()
    with pytest.raises(FaultError, match=re.escape("start: expected an end within 0.5 s, got none: sleep 600")):
        made.begin()
    assert time.monotonic() - began < 20
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in running(tmp_path / "pid")], 10)
    assert not alive
    assert made.heal() == {}


def test_what_it_leaves_in_the_background_is_not_waited_for(world: FaultContext, tmp_path: Path) -> None:
    made = command(world, f"sleep 600 & echo $! > {tmp_path}/pid", f"kill $(cat {tmp_path}/pid)")
    made.begin()
    (pid,) = running(tmp_path / "pid")
    sleeper = psutil.Process(pid)
    assert proven(made.heal())
    assert sleeper.wait(10) is None


@pytest.mark.parametrize(
    ("stop", "timeout", "problem"), [("exit 4", 20, "exit code 0, got 4"), ("sleep 600", 0.3, "an end within")]
)
def test_a_stop_that_fails_stays_pledged(
    world: FaultContext, stop: str, timeout: float, problem: str, tmp_path: Path
) -> None:
    made = command(world, "true", stop, timeout)
    made.begin()
    with pytest.raises(FaultError, match=f"stop: expected {problem}"):
        made.heal()
    # The healer will try once more.
    assert list(world.pledges._pledged.values()) == [["shell", stop]]
    world.pledges.drop(1)


def test_bytes_that_are_no_text(world: FaultContext) -> None:
    made = command(world, r"printf 'caf\351\n'")
    made.begin()
    assert made.heal()["said"] == "caf�"


def running(path: Path) -> list[int]:
    """The process whose pid a command left in a file, if it is still there."""
    pid = int(path.read_text())
    return [pid] if psutil.pid_exists(pid) else []
