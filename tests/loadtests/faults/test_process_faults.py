"""Process faults on real processes, started by chatswarm or not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from chatswarm.loadtests.faults import process_faults, target_processes
from chatswarm.loadtests.faults.error import FaultError
from chatswarm.loadtests.faults.fault import FaultContext
from chatswarm.loadtests.faults.kinds import KINDS

from .acts import fault, plan, proven
from .victims import Victim, given_victim, own_victim, until


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    with given_victim(tmp_path) as victim:
        yield victim


def pending_undos(context: FaultContext) -> list[list[object]]:
    """The actions that the healer would perform."""
    return list(context.undo_log._actions.values())


class TestKill:
    def test_a_given_process_is_killed_and_started_by_its_command(self, context: FaultContext, victim: Victim) -> None:
        command = f"{victim.command} &"
        context.processes = {"target": victim.given(command)}
        before = victim.pid
        kill = fault(context, "kill")
        kill.begin()
        assert not target_processes.alive(before)
        assert victim.unanswered()
        assert pending_undos(context) == [["shell", command]]
        evidence = kill.heal()
        assert (evidence["pid"], evidence["killed"]) == (str(before), 1)
        assert float(evidence["down"]) >= float(evidence["started_in"]) > 0
        assert pending_undos(context) == []
        assert victim.unanswered() is None
        assert context.processes["target"].pid == victim.pid != before

    def test_it_can_be_killed_again(self, context: FaultContext, victim: Victim) -> None:
        context.processes = {"target": victim.given(f"{victim.command} &")}
        pids = set()
        for number in range(2):
            kill = fault(context, "kill", number=number)
            kill.begin()
            pids.add(kill.heal()["pid"])
        assert len(pids) == 2

    def test_an_own_process_is_started_again(self, context: FaultContext, tmp_path: Path) -> None:
        with own_victim(tmp_path) as (victim, own):
            context.processes = {"target": own}
            before = own.pid
            kill = fault(context, "kill")
            kill.begin()
            assert victim.unanswered()
            assert pending_undos(context) == []  # it dies along with chatswarm
            assert kill.heal()["pid"] == str(before)
            assert victim.unanswered() is None
            assert victim.pid == own.pid != before

    def test_descendants_are_killed_too(self, context: FaultContext, tmp_path: Path) -> None:
        with given_victim(tmp_path, "children") as victim:
            until(lambda: len(psutil.Process(victim.pid).children(recursive=True)) == 2)
            family = psutil.Process(victim.pid).children(recursive=True)
            context.processes = {"target": victim.given("true")}
            fault(context, "kill").begin()
            _, alive = psutil.wait_procs(family, 10)
            assert not alive

    def test_a_paused_process_can_be_killed(self, context: FaultContext, victim: Victim) -> None:
        context.processes = {"target": victim.given(f"{victim.command} &")}
        pause, kill = fault(context, "pause"), fault(context, "kill")
        pause.begin()
        kill.begin()
        assert proven(kill.heal())
        assert proven(pause.heal())
        assert victim.unanswered() is None


class TestRestartCommand:
    def killed(self, context: FaultContext, victim: Victim, command: str) -> process_faults.KillFault:
        context.processes = {"target": victim.given(command)}
        kill = fault(context, "kill")
        assert isinstance(kill, process_faults.KillFault)
        kill.begin()
        return kill

    def test_a_command_that_becomes_the_target(self, context: FaultContext, victim: Victim) -> None:
        kill = self.killed(context, victim, f"exec {victim.command}")
        assert proven(kill.heal())
        assert victim.unanswered() is None
        assert os.getsid(victim.pid) != os.getsid(0), "Ctrl-C must not reach it"

    def test_a_command_that_fails(self, context: FaultContext, victim: Victim) -> None:
        kill = self.killed(context, victim, "echo oops; exit 3")
        with pytest.raises(FaultError, match=r"--restart-command: expected exit code 0, got 3 \(see .*restart.log\)"):
            kill.heal()
        assert (context.folder / "restart.log").read_text() == "oops\n"

    def test_a_command_that_exits_without_starting_the_target(
        self, context: FaultContext, victim: Victim, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(target_processes, "STARTING", 0.5)
        kill = self.killed(context, victim, "true")
        with pytest.raises(FaultError, match=r"expected the target to respond within 0\.5 s, got: .*refused"):
            kill.heal()

    def test_a_command_that_keeps_running_without_starting_the_target(
        self, context: FaultContext, victim: Victim, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(target_processes, "STARTING", 0.5)
        kill = self.killed(context, victim, "exec sleep 5")
        with pytest.raises(FaultError, match=r"expected the target to respond within 0\.5 s, got: .*refused"):
            kill.heal()


class TestTerminate:
    def test_a_process_that_exits_in_time(self, context: FaultContext, victim: Victim) -> None:
        context.processes = {"target": victim.given(f"{victim.command} &")}
        before = victim.pid
        deploy = fault(context, "terminate", 'grace = "20s"')
        deploy.begin()
        evidence = deploy.heal()
        assert (evidence["pid"], evidence["killed"]) == (str(before), 0)
        assert 0 < float(evidence["exit_seconds"]) < 15
        assert victim.unanswered() is None

    def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(
        self, context: FaultContext, tmp_path: Path
    ) -> None:
        with given_victim(tmp_path, "deaf", "children") as victim:
            family = psutil.Process(victim.pid).children(recursive=True)
            context.processes = {"target": victim.given(f"{victim.command} &")}
            deploy = fault(context, "terminate", 'grace = "300ms"')
            deploy.begin()
            _, alive = psutil.wait_procs(family, 10)
            assert not alive
            evidence = deploy.heal()
            assert evidence["killed"] == 1
            assert float(evidence["exit_seconds"]) >= 0.3
            assert victim.unanswered() is None

    def test_an_own_process(self, context: FaultContext, tmp_path: Path) -> None:
        with own_victim(tmp_path) as (victim, own):
            context.processes = {"target": own}
            deploy = fault(context, "terminate")
            deploy.begin()
            assert deploy.heal()["killed"] == 0
            assert victim.unanswered() is None


class TestPause:
    def test_all_its_processes_are_stopped_and_continued(self, context: FaultContext, tmp_path: Path) -> None:
        with given_victim(tmp_path, "children") as victim:
            context.processes = {"target": victim.given()}
            family = target_processes.tree(victim.pid)
            pause = fault(context, "pause")
            pause.begin()
            assert all(map(target_processes.stopped, family))
            assert pending_undos(context) == [["signal", signal.SIGCONT, *family]]
            assert "timed out" in str(victim.unanswered())
            assert pause.heal() == {"pid": str(family[0]), "processes": 3, "state": "stopped"}
            assert pending_undos(context) == []
            until(lambda: victim.unanswered() is None)
            assert not any(map(target_processes.stopped, family))

    def test_a_zombie_child_is_not_waited_for(self, context: FaultContext, tmp_path: Path) -> None:
        with given_victim(tmp_path, "zombie") as victim:
            (dead,) = psutil.Process(victim.pid).children()
            until(lambda: dead.status() == psutil.STATUS_ZOMBIE)
            assert target_processes.workers(victim.pid) == []
            context.processes = {"target": victim.given()}
            pause = fault(context, "pause")
            pause.begin()
            assert proven(pause.heal())

    def test_an_own_process(self, context: FaultContext, tmp_path: Path) -> None:
        with own_victim(tmp_path) as (victim, own):
            context.processes = {"target": own}
            pause = fault(context, "pause")
            pause.begin()
            assert target_processes.stopped(own.pid)
            assert proven(pause.heal())
            assert victim.unanswered() is None


class TestRestart:
    def test_an_own_process(self, context: FaultContext, tmp_path: Path) -> None:
        with own_victim(tmp_path) as (victim, own):
            context.processes = {"target": own}
            before = own.pid
            restart = fault(context, "restart")
            restart.begin()
            evidence = restart.heal()
            assert (evidence["before"], evidence["after"]) == (f"pid {before}", f"pid {own.pid}")
            assert own.pid == victim.pid != before

    @pytest.mark.parametrize("known", [True, False])
    def test_a_given_process(self, context: FaultContext, victim: Victim, known: bool) -> None:
        before = victim.pid
        context.processes = {"target": victim.given(f"kill {before}; sleep 0.2; exec {victim.command}", known=known)}
        assert KINDS["restart"].unfit(plan("restart"), context) is None
        restart = fault(context, "restart")
        restart.begin()
        evidence = restart.heal()
        assert proven(evidence)
        assert ("after" in evidence) == known
        assert not known or evidence["after"] == f"pid {victim.pid}" != evidence["before"]

    @pytest.mark.parametrize("known", [True, False])
    def test_a_command_that_restarts_nothing_proves_nothing(
        self, context: FaultContext, victim: Victim, known: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(target_processes, "_UNCHANGED", 0.3)
        context.processes = {"target": victim.given("true", known=known)}
        restart = fault(context, "restart")
        with pytest.raises(FaultError, match="expected it to restart the target, which responded throughout"):
            restart.begin()
        assert not set(restart.heal()) & {"after", "seconds"}

    def test_a_command_that_keeps_running_and_restarts_nothing(
        self, context: FaultContext, victim: Victim, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(target_processes, "STARTING", 0.5)
        context.processes = {"target": victim.given("exec sleep 5")}
        with pytest.raises(FaultError, match=r"within 0\.5 s, got: the same process throughout"):
            fault(context, "restart").begin()


class TestWorkers:
    @pytest.fixture
    def supervisor(self, tmp_path: Path) -> Iterator[Victim]:
        # Python's own multiprocessing starts a helper before the first worker.
        with given_victim(tmp_path, "helper", "workers") as victim:
            until(lambda: len(psutil.Process(victim.pid).children()) == 3)
            yield victim

    @pytest.mark.parametrize("kind", ["kill", "terminate"])
    def test_the_oldest_worker_is_the_victim_and_its_successor_is_awaited(
        self, kind: str, context: FaultContext, supervisor: Victim
    ) -> None:
        context.processes = {"target": supervisor.given()}
        assert KINDS[kind].unfit(plan(kind, 'on = "worker"'), context) is None
        before = target_processes.workers(supervisor.pid)
        assert len(before) == 2
        ended = fault(context, kind, 'on = "worker"')
        ended.begin()
        assert pending_undos(context) == []
        assert before[0] not in target_processes.workers(supervisor.pid)
        evidence = ended.heal()
        assert evidence["pid"] == str(before[0])
        after = target_processes.workers(supervisor.pid)
        assert len(after) == 2
        assert after[0] == before[1]
        assert supervisor.unanswered() is None

    def test_only_one_worker_is_paused(self, context: FaultContext, supervisor: Victim) -> None:
        context.processes = {"target": supervisor.given()}
        pause = fault(context, "pause", 'on = "worker"')
        pause.begin()
        assert list(map(target_processes.stopped, target_processes.workers(supervisor.pid))) == [True, False]
        assert pause.heal()["processes"] == 1

    def test_a_worker_that_is_not_replaced(
        self, context: FaultContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(target_processes, "STARTING", 0.5)
        with given_victim(tmp_path, "children") as victim:
            context.processes = {"target": victim.given()}
            kill = fault(context, "kill", 'on = "worker"')
            kill.begin()
            with pytest.raises(FaultError, match=r"expected another worker within 0\.5 s, got none"):
                kill.heal()

    def test_workers_that_no_longer_exist(self, context: FaultContext, victim: Victim) -> None:
        context.processes = {"target": victim.given()}
        kill = fault(context, "kill", 'on = "worker"')
        with pytest.raises(FaultError, match="expected workers that it started, got none"):
            kill.begin()
        assert kill.heal() == {}


@pytest.mark.parametrize("kind", ["kill", "terminate", "pause"])
def test_a_process_that_no_longer_exists_is_neither_signalled_nor_started(
    kind: str, context: FaultContext, victim: Victim
) -> None:
    mark = context.folder / "started"
    managed = victim.given(f"touch {mark}")
    context.processes = {"target": managed}
    os.kill(managed.pid, signal.SIGKILL)
    until(lambda: not target_processes.alive(managed.pid))
    ended = fault(context, kind)
    with pytest.raises(FaultError, match=f"pid {managed.pid}: expected a process that runs, got none"):
        ended.begin()
    assert ended.heal() == {}
    assert pending_undos(context) == []
    assert not mark.exists()


PID = "expected --pid, the target's process, because chatswarm did not start it"
NO_RESTART = "expected --restart-command, because chatswarm did not start the target"
RESTART = "expected --restart-command, because nothing else would start the target again"


@pytest.mark.parametrize(
    ("kind", "on", "given", "problem"),
    [
        ("kill", "target", "nothing", PID), ("terminate", "target", "nothing", PID),
        ("pause", "target", "nothing", PID),
        ("kill", "worker", "nothing", PID),
        ("restart", "target", "nothing", NO_RESTART),
        ("kill", "target", "pid", RESTART), ("terminate", "target", "pid", RESTART), ("pause", "target", "pid", None),
        ("restart", "target", "pid", NO_RESTART),
        ("kill", "worker", "pid", "expected workers: pid {pid} started none"),
        ("kill", "target", "command", PID), ("terminate", "target", "command", PID),
        ("pause", "target", "command", PID), ("kill", "worker", "command", PID),
        ("restart", "target", "command", None),
        ("kill", "target", "both", None), ("terminate", "target", "both", None), ("restart", "target", "both", None),
        ("fill_store", "target", "nothing", PID), ("fill_store", "target", "command", PID),
    ],
)  # fmt: skip
def test_missing_requirements_are_reported_before_any_load(
    kind: str, on: str, given: str, problem: str | None, context: FaultContext, victim: Victim
) -> None:
    if given != "nothing":
        command = "true" if given in ("command", "both") else None
        context.processes = {"target": victim.given(command, known=given in ("pid", "both"))}
    expected = problem and problem.format(pid=victim.pid)
    assert KINDS[kind].unfit(plan(kind, f'on = "{on}"'), context) == expected


def test_listens(tmp_path: Path) -> None:
    with given_victim(tmp_path) as victim:
        assert target_processes.listens(victim.pid)
        around = subprocess.Popen(["sh", "-c", f"{Victim(tmp_path).command}; true"], start_new_session=True)
        until(lambda: target_processes.listens(around.pid))
        os.killpg(around.pid, signal.SIGKILL)
        around.wait()
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        assert not target_processes.listens(sleeper.pid)
        sleeper.kill()
    assert not target_processes.listens(sleeper.pid)
    at_a_path = (
        f"import socket, time; it = socket.socket(socket.AF_UNIX); it.bind({str(tmp_path / 's')!r}); it.listen()"
    )
    with subprocess.Popen([sys.executable, "-S", "-c", f"{at_a_path}; time.sleep(60)"]) as local:
        until(lambda: target_processes.listens(local.pid))
        local.kill()


def test_a_missing_permission_to_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    with pytest.raises(FaultError, match="pid 7: expected permission to send it SIGSTOP, got none"):
        target_processes.send(signal.SIGSTOP, 7)
