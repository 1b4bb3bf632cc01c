"""A starved rig ends undecided and says why; it does not pass."""

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.plants import Chat, LosesEveryTenth, serving

from .command import CHATSWARM, Command, Result, measuring, running, scenario, until

SLOS = ("visible.p99 <= 2s",)

BLOCKED_LOOP = """
import gevent
from gevent import monkey
from locust import events
from chatswarm.loadtests.swarm.users import DashboardUser, WidgetUser
from chatswarm.loadtests.swarm.locust.setup import register

register(events)
sleep = monkey.get_original("time", "sleep")

@events.test_start.add_listener
def block(**_):
    def again():
        while True:
            sleep(0.25)
            gevent.sleep(0.25)
    gevent.spawn(again)
"""


def run_against(
    tmp_path: Path, chat: Chat, disturb: Callable[[Command], None], *args: str, duration: str = "3s"
) -> Result:
    """Runs against a chat, and disturbs the rig while it measures."""
    with serving(chat) as url:
        command = [*CHATSWARM, "run", scenario(tmp_path, slos=SLOS), "--duration", duration]
        with running([*command, "--target", url, "--json", *args], tmp_path) as it:
            until(lambda: measuring(it))
            disturb(it)
            return it.result(120)


def reasons(result: Result) -> str:
    """All reasons of the verdict as one text."""
    return "\n".join(result.verdict["reasons"])


def test_stolen_cpu(tmp_path: Path) -> None:
    """Like a hypervisor that gives the swarm a quarter of the time."""

    def steal(command: Command) -> None:
        swarm = command.swarm()
        for _ in range(8):
            swarm.suspend()
            time.sleep(0.3)
            swarm.resume()
            time.sleep(0.1)

    result = run_against(tmp_path, Chat(), steal)
    assert result.code == 3, result.err
    assert "swarm-0: its loop woke" in reasons(result)
    assert "less load" in reasons(result)


def test_a_worker_that_is_paused(tmp_path: Path) -> None:
    def pause(command: Command) -> None:
        worker = command.swarm().children()[1]
        worker.suspend()
        time.sleep(1.2)
        worker.resume()

    result = run_against(tmp_path, Chat(), pause, "--processes", "2")
    assert result.code == 3, result.err
    assert "its loop woke" in reasons(result)
    assert result.verdict["deliveries"]["lost"] == 0


@pytest.mark.timeout(180)
def test_a_worker_that_is_not_resumed(tmp_path: Path) -> None:
    stopped: list[psutil.Process] = []

    def stop(command: Command) -> None:
        stopped.append(command.swarm().children()[0])
        stopped[0].suspend()

    result = run_against(tmp_path, Chat(), stop, "--processes", "2")
    assert result.code == 3, result.err
    assert "did not close its history: it died or hangs" in reasons(result)
    assert result.verdict["deliveries"]["lost"] == 0, "deliveries on its dashboards are not known to be lost"
    _, alive = psutil.wait_procs(stopped, 10)
    assert all(process.status() == psutil.STATUS_ZOMBIE for process in alive), "no process is left behind"


def test_a_full_disk(tmp_path: Path) -> None:
    def fill(command: Command) -> None:
        # From here on, writes fail as on a full disk, but for that of the manifest, which is smaller.
        command.swarm().rlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    result = run_against(tmp_path, Chat(), fill)
    assert result.code == 3, result.err
    assert "could not write its history" in reasons(result)


def test_a_proven_loss_stays_a_failure(tmp_path: Path) -> None:
    def pause(command: Command) -> None:
        time.sleep(1.2)
        command.swarm().suspend()
        time.sleep(1)
        command.swarm().resume()

    chat = LosesEveryTenth()
    result = run_against(tmp_path, chat, pause)
    assert result.code == 1, result.err
    assert result.verdict["rig"]["sound"] is False
    assert result.verdict["deliveries"]["lost"] >= 4 * len(chat.broken) > 0


def test_a_blocked_loop(tmp_path: Path) -> None:
    from .command import LOCUST

    (tmp_path / "blocked.py").write_text(BLOCKED_LOOP, encoding="utf-8")
    with serving(Chat()) as url:
        args = [
            "-f",
            "blocked.py",
            "--headless",
            "--host",
            url,
            "--scenario",
            scenario(tmp_path, slos=SLOS),
            "--out",
            "out",
        ]
        with running([*LOCUST[:3], *args], tmp_path) as command:
            result = command.result()
    assert result.code == 3, result.err
    verdict: dict[str, Any] = Result(0, (tmp_path / "out" / "verdict.json").read_text(encoding="utf-8"), "").verdict
    assert any("its loop woke" in reason for reason in verdict["reasons"])
