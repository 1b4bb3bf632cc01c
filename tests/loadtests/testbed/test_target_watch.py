"""What the target's processes do, second by second: decided from literal counters, and looked up in real processes."""

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from chatswarm.loadtests.faults.target_processes import GivenProcess, await_end
from chatswarm.loadtests.history.faults import ProcessSample
from chatswarm.loadtests.history.files import read
from chatswarm.loadtests.history.manifest import TARGET, history_file
from chatswarm.loadtests.testbed.target_watch import ProcessCounters, TargetWatch, counters_of, samples_between
from tests.e2e.command import until

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
input()
"""


def test_the_cpu_of_a_second() -> None:
    before = {7: ProcessCounters(5.0, "chat", 3.0, 100), 8: ProcessCounters(6.0, "gone", 1.0, 1)}
    after = {7: ProcessCounters(5.0, "chat", 4.0, 200)}
    assert samples_between(before, after, 2.0) == [ProcessSample(7, "chat", 0.5, 200)]


@pytest.mark.parametrize("before", [{}, {7: ProcessCounters(5.0, "chat", 3.0, 100)}], ids=["new", "another's pid"])
def test_a_process_that_was_just_found_has_used_nothing_that_is_known(before: dict[int, ProcessCounters]) -> None:
    """It may have run for long before, as one does that its owner has started again."""
    (sample,) = samples_between(before, {7: ProcessCounters(9.0, "chat", 4.0, 200)}, 1.0)
    assert math.isnan(sample.cpu)
    assert sample._replace(cpu=0.0) == (7, "chat", 0.0, 200)


class Family:
    """A process and its child."""

    def __init__(self) -> None:
        self.parent = subprocess.Popen(
            [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self.parent.stdout is not None
        self.child = int(self.parent.stdout.readline())

    @property
    def pids(self) -> set[int]:
        return {self.parent.pid, self.child}

    def end(self) -> None:
        self.parent.kill()
        self.parent.communicate()
        assert await_end(self.child, 10)


@pytest.fixture
def family() -> Iterator[Family]:
    family = Family()
    yield family
    family.end()


def given(pid: int | None) -> GivenProcess:
    return GivenProcess(pid, None, 1, lambda: None, Path("log"))


def test_a_process_and_its_descendants_are_found(family: Family) -> None:
    found = counters_of([given(family.parent.pid), given(None)])
    assert found.keys() == family.pids
    counters = found[family.child]
    assert counters.created == psutil.Process(family.child).create_time()
    assert counters.name == psutil.Process(family.child).name()
    assert counters.memory > 0
    assert counters.cpu >= 0


def test_one_that_has_ended_is_left_out_even_if_nobody_has_waited_for_it(family: Family) -> None:
    family.parent.kill()
    until(lambda: psutil.Process(family.parent.pid).status() == psutil.STATUS_ZOMBIE)
    assert family.parent.pid not in counters_of([given(family.parent.pid)])


def test_nothing_is_watched_without_a_pid(tmp_path: Path) -> None:
    watch = TargetWatch({"target": given(None)}, tmp_path)
    watch.begin("run")
    watch.end()
    watch.end()
    assert not (tmp_path / "history").exists()


def test_its_history_has_the_processes_and_those_that_come_after_them(tmp_path: Path, family: Family) -> None:
    class Restarted(GivenProcess):
        """What a restart command or a fault does to a target."""

        now = family.parent.pid

        @property
        def pid(self) -> int:
            return self.now

    target = Restarted(family.parent.pid, None, 1, lambda: None, tmp_path / "log")
    watch = TargetWatch({"target": target}, tmp_path)
    watch.begin("run")

    def sampled(pids: set[int]) -> bool:
        rows = read(history_file(tmp_path, TARGET)).tables["process"]
        # The last row of each has its CPU: it was seen before.
        last = dict(zip((int(pid) for pid in rows["pid"]), (float(cpu) for cpu in rows["cpu"]), strict=True))
        return all(pid in last and not math.isnan(last[pid]) for pid in pids)

    until(lambda: sampled(family.pids))
    later = Family()
    try:
        target.now = later.parent.pid
        until(lambda: sampled(family.pids | later.pids))
    finally:
        later.end()
        watch.end()
    history = read(history_file(tmp_path, TARGET))
    assert history.cut is None
    assert history.header.process == TARGET
    assert {int(pid) for pid in history.tables["process"]["pid"]} == family.pids | later.pids


@pytest.mark.parametrize("looks", [0, 1], ids=["at its first look", "later"])
def test_a_watch_that_fails_says_so_and_ends_its_history(tmp_path: Path, family: Family, looks: int) -> None:
    class Hidden(GivenProcess):
        left = looks

        @property
        def pid(self) -> int:
            if not self.left:
                raise RuntimeError("no more pids")
            self.left -= 1
            return family.parent.pid

    watch = TargetWatch({"target": Hidden(1, None, 1, lambda: None, tmp_path / "log")}, tmp_path)
    watch.begin("run")
    until(lambda: read(history_file(tmp_path, TARGET)).cut is None)
    watch.end()
    assert read(history_file(tmp_path, TARGET)).tables["note"]["detail"] == [
        "the target's processes could not be sampled any more: RuntimeError: no more pids"
    ]
