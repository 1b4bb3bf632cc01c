"""Workers without the master's files, workers that join and leave, masters that cannot start."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from chatswarm.loadtests.history.files import read
from chatswarm.loadtests.system.children import free_port
from tests.plants import Chat, serving

from .command import LOCUST, QUICK, Command, running, scenario, until


@pytest.fixture
def target() -> Iterator[str]:
    with serving(Chat()) as url:
        yield url


class Swarm:
    """A headless master, and workers whose command may have a prefix."""

    def __init__(self, folder: Path, target: str, stack: ExitStack) -> None:
        self.folder, self._target, self._stack = folder, target, stack
        self.port = str(free_port())
        self.out = folder / "out"

    def master(self, workers: int, *args: str, text: str = QUICK) -> Command:
        given = ["--headless", "--host", self._target, "--scenario", scenario(self.folder, text), *args]
        given += ["--master", "--master-bind-port", self.port, "--expect-workers", str(workers)]
        out = [] if "--out" in args else ["--out", str(self.out)]
        return self._stack.enter_context(running([*LOCUST, *given, *out], self.folder / "master"))

    def worker(self, name: str, *prefix: str, locustfile: Path | None = None) -> Command:
        locust = LOCUST if locustfile is None else [*LOCUST[:-1], str(locustfile)]
        command = [*prefix, *locust, "--worker", "--master-port", self.port]
        return self._stack.enter_context(running(command, self.folder / name))

    def verdict(self) -> dict[str, Any]:
        verdict: dict[str, Any] = json.loads((self.out / "verdict.json").read_text(encoding="utf-8"))
        return verdict


@pytest.fixture
def swarm(tmp_path: Path, target: str) -> Iterator[Swarm]:
    with ExitStack() as stack:
        yield Swarm(tmp_path, target, stack)


def measuring(command: Command) -> bool:
    return "chatswarm: measuring" in command.said()


def mounted(script: str) -> list[str]:
    """A prefix that runs a command with separate mounts. Skips the test if that is not possible."""
    prefix = ["unshare", "-m", "sh", "-c", f'{script} && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("mounts need Linux and root")
    return prefix


def another_file_system(folder: Path) -> list[str]:
    """A prefix with which a command finds `folder` empty, as in another container."""
    return mounted(f'mount -t tmpfs none "{folder}"')


def read_only(folder: Path) -> list[str]:
    """A prefix with which a command can read `folder`, but not write to it."""
    return mounted(f'mount --bind "{folder}" "{folder}" && mount -o remount,ro,bind "{folder}"')


def overlaid(folder: Path) -> list[str]:
    """A prefix with which a command can read `folder`, and writes to a separate layer above it."""
    layers = folder.with_name("layers")
    layers.mkdir()
    options = f"lowerdir={folder},upperdir={layers}/up,workdir={layers}/work"
    make = f'mount -t tmpfs none "{layers}" && mkdir "{layers}/up" "{layers}/work"'
    return mounted(f'{make} && mount -t overlay -o "{options}" overlay "{folder}"')


NO_TEMPORARY_FOLDER = """
from locust import events
from chatswarm.loadtests.swarm.locust import setup, worker
from chatswarm.loadtests.swarm.users import DashboardUser, WidgetUser

def nowhere(**_):
    raise FileNotFoundError("No usable temporary directory found")

worker.tempfile.mkdtemp = nowhere
setup.register(events)
"""


def test_workers_on_the_same_host_without_the_masters_files_send_their_histories(swarm: Swarm) -> None:
    runs = swarm.folder / "runs"
    runs.mkdir()
    swarm.out = runs / "out"
    prefixes = [another_file_system(runs), read_only(runs), overlaid(runs)]
    master = swarm.master(3)
    workers = [swarm.worker(f"worker-{number}", *prefix) for number, prefix in enumerate(prefixes)]
    assert master.result().code == 0, master.said()
    assert swarm.verdict()["deliveries"]["lost"] == 0
    assert {path.name for path in (swarm.out / "history").iterdir()} == {f"swarm-{number}.cs1" for number in range(3)}
    assert [worker.process.wait(20) for worker in workers] == [0, 0, 0]


def test_a_worker_that_cannot_store_its_history_is_refused_before_any_load(swarm: Swarm) -> None:
    runs = swarm.folder / "runs"
    runs.mkdir()
    swarm.out = runs / "out"
    file = swarm.folder / "nowhere.py"
    file.write_text(NO_TEMPORARY_FOLDER)
    master = swarm.master(1)
    worker = swarm.worker("worker", *another_file_system(runs), locustfile=file)
    assert master.result().code == 2
    assert "it cannot take part: FileNotFoundError: No usable temporary directory found" in master.said()
    assert worker.process.wait(20) == 2


def test_a_worker_that_is_terminated_hands_over_its_history_and_a_late_one_waits(swarm: Swarm) -> None:
    master = swarm.master(2, text=QUICK.replace('"2s"', '"5s"'))
    first, second = swarm.worker("first"), swarm.worker("second")
    until(lambda: measuring(master))
    late = swarm.worker("late")
    until(lambda: "joined in the middle of a run" in master.said())
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(20) == 0
    assert master.result().code == 3
    assert all(read(file).cut is None for file in (swarm.out / "history").iterdir())
    troubles = json.loads((swarm.out / "manifest.json").read_text(encoding="utf-8"))["troubles"]
    assert len(troubles) == 1
    assert "was ended" in troubles[0]
    assert "s after the start" in troubles[0]
    assert [first.process.wait(20), late.process.wait(20)] == [0, 0]


def test_a_worker_that_is_terminated_before_the_start_ends_the_run_at_once(swarm: Swarm) -> None:
    master = swarm.master(1, "-r", "1", "-u", "20", text=QUICK.replace('ramp = "0.5s"', 'ramp = "20s"'))
    worker = swarm.worker("worker")
    until(lambda: "Sending spawn jobs" in master.said())
    worker.process.send_signal(signal.SIGTERM)
    assert master.result(20).code == 3, master.said()
    assert swarm.verdict()["verdict"] == "undecided"


def test_workers_ignore_signals_during_a_run_and_leave_the_end_to_the_master(swarm: Swarm) -> None:
    master = swarm.master(2)
    interrupted, closed = swarm.worker("interrupted"), swarm.worker("closed")
    until(lambda: measuring(master))
    interrupted.process.send_signal(signal.SIGINT)
    closed.process.send_signal(signal.SIGHUP)
    assert master.result().code == 0, master.said()
    assert [interrupted.process.wait(20), closed.process.wait(20)] == [0, 0]


def test_an_idle_worker_ends_with_ctrl_c(swarm: Swarm) -> None:
    master = swarm.master(2)
    worker = swarm.worker("worker")
    until(lambda: "reported as ready" in master.said())
    until(lambda: signals_caught(worker))
    worker.process.send_signal(signal.SIGINT)
    assert worker.process.wait(20) == 0


def signals_caught(command: Command) -> bool:
    """Whether it has installed its signal handlers."""
    status = Path(f"/proc/{command.process.pid}/status").read_text(encoding="utf-8")
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
    return all(caught >> (number - 1) & 1 for number in (signal.SIGHUP, signal.SIGTERM))


def test_a_run_that_cannot_start_ends_all_processes(swarm: Swarm, tmp_path: Path, target: str) -> None:
    worker = swarm.worker("worker")
    until(lambda: worker.process.poll() is None and "Starting Locust" in worker.said())
    master = swarm.master(1, "--out", "/dev/null/x")
    assert master.result(30).code == 2
    assert "--out: expected a folder that can be made, got '/dev/null/x'" in master.said()
    args = ["--headless", "--host", target, "--scenario", "smoke", "--out", "/dev/null/x", "--processes", "2"]
    args += ["--master-bind-port", str(port := free_port()), "--master-port", str(port)]
    with running([*LOCUST, *args], tmp_path / "forked", group=True) as command:
        assert command.result(30).code == 2
        group = command.process.pid
        until(lambda: not alive(group), 10, "its workers still run")


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_master_without_enough_workers_exits_before_any_load(swarm: Swarm) -> None:
    """Locust itself exits with 1, which here would mean that the target failed."""
    assert swarm.master(1, "--expect-workers-max-wait", "1").result(30).code == 2


def test_a_taken_port_is_not_a_failure_of_the_target(swarm: Swarm) -> None:
    with socket.create_server(("127.0.0.1", int(swarm.port))):
        result = swarm.master(1, "--master-bind-host", "127.0.0.1").result(30)
    assert result.code == 2
    assert "Address already in use" in result.err
    assert "Traceback" not in result.err


def test_a_worker_with_too_few_open_files_is_refused_by_name(swarm: Swarm) -> None:
    master = swarm.master(2, "-u", "80")
    swarm.worker("plenty")
    swarm.worker("few", "sh", "-c", 'ulimit -n 64; exec "$@"', "sh")
    result = master.result(30)
    assert result.code == 2
    assert "open files: expected a limit of at least" in result.err
    assert "got 64" in result.err
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 100
