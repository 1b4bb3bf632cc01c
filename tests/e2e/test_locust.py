"""`locust -f loadtests/locustfile.py` on its own, as any Locust user expects, ends in the same verdict."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from chatswarm.loadtests.system.children import free_port
from tests.plants import Chat, LosesEveryTenth, serving

from .command import LOCUST, Command, Result, running, scenario, until


@pytest.fixture
def target() -> Iterator[str]:
    with serving(Chat()) as url:
        yield url


SHAPED = """
from locust import LoadTestShape
from chatswarm.loadtests.locustfile import DashboardUser, WidgetUser

class Ramp(LoadTestShape):
    def tick(self):
        return (5, 1)
"""


def verdict_of(folder: Path) -> dict[str, Any]:
    verdict: dict[str, Any] = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    return verdict


def started(command: Command) -> bool:
    return "chatswarm: measuring" in command.said()


def test_headless(tmp_path: Path, target: str) -> None:
    args = ["--headless", "--host", target, "--scenario", scenario(tmp_path), "--out", "out", "-u", "10", "-t", "3s"]
    # What Kubernetes sets next to a service, and what is left over from other processes.
    lying_about = {
        "CHATSWARM_METRICS_PORT": "tcp://10.0.0.1:9646", "CHATSWARM_METRICS_HOST": "",
        "CHATSWARM_PROGRESS_FD": "77", "CHATSWARM_LIFELINE_FD": "none",
    }  # fmt: skip
    with running([*LOCUST, *args], tmp_path, lying_about) as command:
        result = command.result()
    assert result.code == 0, result.err
    verdict = verdict_of(tmp_path / "out")
    assert (verdict["verdict"], verdict["dashboards"], verdict["widgets"], verdict["seconds"]) == ("pass", 6, 4, 3.0)
    for row in ("SEND", "REFETCH", "FRAME", "UPDATE", "CONNECT"):
        assert row in result.err + result.out
    assert "PASS" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_failing_target_fails_the_process(tmp_path: Path) -> None:
    with serving(LosesEveryTenth()) as url:
        args = ["--headless", "--host", url, "--scenario", scenario(tmp_path), "--out", "out"]
        with running([*LOCUST, *args], tmp_path) as command:
            assert command.result().code == 1
    assert verdict_of(tmp_path / "out")["deliveries"]["lost"] > 0


def test_processes_and_ctrl_c(tmp_path: Path, target: str) -> None:
    args = ["--headless", "--host", target, "--scenario", scenario(tmp_path), "--out", "out", "--processes", "2"]
    args += ["--master-bind-port", str(port := free_port()), "--master-port", str(port), "-t", "60s"]
    with running([*LOCUST, *args], tmp_path, group=True) as command:
        until(lambda: started(command))
        time.sleep(2)
        # As a terminal does: to every process of the group at once.
        os.killpg(command.process.pid, signal.SIGINT)
        result = command.result()
    assert result.code == 3, result.err
    verdict = verdict_of(tmp_path / "out")
    assert verdict["deliveries"]["visible"] == verdict["deliveries"]["expected"] > 0
    assert "swarm-1.cs1" in {path.name for path in (tmp_path / "out" / "history").iterdir()}
    assert all("history" not in reason for reason in verdict["reasons"])


def master_and_workers(folder: Path, target: str, *prefixes: list[str]) -> Result:
    """A run of a master, and of a worker behind each of the prefixes; the workers must end by themselves."""
    port = str(free_port())
    with ExitStack() as stack:
        args = ["--headless", "--host", target, "--scenario", scenario(folder), "--out", "out"]
        args += ["--master-bind-port", port, "--expect-workers", str(len(prefixes))]
        master = stack.enter_context(running([*LOCUST, "--master", *args], folder / "master"))
        workers = [
            stack.enter_context(
                running([*prefix, *LOCUST, "--worker", "--master-port", port], folder / f"worker-{number}")
            )
            for number, prefix in enumerate(prefixes)
        ]
        result = master.result()
        assert [worker.process.wait(20) for worker in workers] == [0] * len(workers)
    return result


def test_master_and_workers(tmp_path: Path, target: str) -> None:
    result = master_and_workers(tmp_path, target, [], [])
    assert result.code == 0, result.err
    assert verdict_of(tmp_path / "master" / "out")["deliveries"]["lost"] == 0


def test_web_page(tmp_path: Path, target: str) -> None:
    port = free_port()
    args = ["--web-host", "127.0.0.1", "--web-port", str(port), "--host", target]
    args += ["--scenario", scenario(tmp_path), "--out", "out"]
    page = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return bool(urllib.request.urlopen(page, timeout=5).status == 200)
        except OSError:
            return False

    with running([*LOCUST, *args], tmp_path) as command:
        until(answers)
        form = urllib.parse.urlencode({"user_count": 7, "spawn_rate": 7, "host": target}).encode()
        assert urllib.request.urlopen(f"{page}/swarm", form, timeout=5).status == 200
        until((tmp_path / "out" / "verdict.json").exists, 40, command.said())
        assert urllib.request.urlopen(f"{page}/swarm", form, timeout=5).status == 200
        until((tmp_path / "out-2" / "verdict.json").exists, 40, command.said())
        metrics = urllib.request.urlopen(f"{page}/metrics", timeout=5).read().decode()
        stats = json.loads(urllib.request.urlopen(f"{page}/stats/requests", timeout=5).read())
        command.process.send_signal(signal.SIGTERM)
        result = command.result()
    assert verdict_of(tmp_path / "out")["verdict"] == "pass", result.err
    assert verdict_of(tmp_path / "out-2")["verdict"] == "pass", "and a second run of the same process is as good"
    # Of the second run alone; this chat's frames carry no ids, so nobody knows when a message was announced.
    visible = verdict_of(tmp_path / "out-2")["deliveries"]["visible"]
    assert f"chatswarm_deliveries_visible_total {visible}.0" in metrics
    assert 'chatswarm_phase{phase="idle"} 1.0' in metrics
    assert "chatswarm_notified_seconds" not in metrics
    assert {"SEND", "CONNECT", "FRAME", "REFETCH", "UPDATE"} <= {row["method"] for row in stats["stats"]}
    assert result.code == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--host", "http://127.0.0.1:9", "--scenario", "nope"], "did you mean"),
        (["--scenario", "smoke"], "--host: expected the target's base URL"),
        (["--host", "http://127.0.0.1:9", "--scenario", "smoke"], "refused"),
        (["--host", "http://127.0.0.1:9", "--scenario", "smoke", "-u", "1"], "at least 2 users"),
        (["--host", "http://me:hunter2@127.0.0.1:9", "--scenario", "smoke"], "it has a user or a password"),
        (["--host", "http://127.0.0.1:9", "--scenario", "smoke", "WidgetUser"], "expected both kinds of users"),
    ],
)
def test_what_makes_no_run_is_refused_before_any_load(tmp_path: Path, args: list[str], said: str) -> None:
    with running([*LOCUST, "--headless", *args], tmp_path) as command:
        result = command.result()
    assert result.code == 2
    assert said in result.err or said == "did you mean"
    assert "hunter2" not in result.err + result.out
    assert not (tmp_path / "runs").exists()


def test_a_shape_is_refused(tmp_path: Path, target: str) -> None:
    file = tmp_path / "shaped.py"
    file.write_text(SHAPED)
    with running([*LOCUST[:-1], str(file), "--headless", "--host", target], tmp_path) as command:
        result = command.result()
    assert result.code == 2
    assert "expected a locustfile without a LoadTestShape, got Ramp" in result.err


def another_clock() -> list[str]:
    """What makes a command believe to be on a machine that has been up 5,000 s longer; skips where it cannot be."""
    prefix = ["unshare", "--time", "--monotonic", "5000", "--fork", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("no time namespaces here: they need Linux 5.6 and root")
    return prefix


def test_a_worker_on_a_machine_with_another_clock(tmp_path: Path, target: str) -> None:
    result = master_and_workers(tmp_path, target, [], another_clock())
    assert result.code == 0, result.err
    folder = tmp_path / "master" / "out"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (clock,) = manifest["clocks"].values()
    assert abs(clock["offset"] - 5000) < 1
    assert 0 < clock["bound"] < 0.1
    assert verdict_of(folder)["deliveries"]["lost"] == 0
    assert {path.name for path in (folder / "history").iterdir()} == {"swarm-0.cs1", "swarm-1.cs1"}
