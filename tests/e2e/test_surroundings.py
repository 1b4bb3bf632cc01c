"""`chatswarm run` in hostile surroundings: it measures what was requested, and every exit is clean.

Uses the installed command, real processes and signals. Several disturbances share one run.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from .command import Command, measuring, running, until

CHATSWARM = [str(Path(sys.executable).with_name("chatswarm"))]
SMALL = ["run", "smoke", "--dashboards", "2", "--widgets", "1", "--rate", "2", "--duration", "1s"]
POISON = "raise SystemExit(9)"


def verdict_of(folder: Path) -> dict[str, Any]:
    verdict: dict[str, Any] = json.loads((folder / "verdict.json").read_bytes())
    return verdict


def scratch(folder: Path) -> Path:
    """A TMPDIR in which nothing may be left."""
    made = folder / "scratch"
    made.mkdir(parents=True)
    return made


def started(command: Command) -> list[psutil.Process]:
    """Its descendants, which must not outlive it."""
    found = command.children()
    assert found
    return found


def test_settings_for_other_programs_have_no_effect(tmp_path: Path) -> None:
    """Locust's files and variables, proxies, Python's variables, variables for other backends, modules of the same name
    in the working folder, names of folders that are not valid in a URL, and no standard input.
    """
    here, home = tmp_path / "here", tmp_path / "home"
    for folder in (here, home):
        folder.mkdir()
        name = "locust.conf" if folder == here else ".locust.conf"
        (folder / name).write_text("users = 7\nrun-time = 9s\nexpect-workers = 3\n", encoding="utf-8")
    (here / "pyproject.toml").write_text("[tool.locust]\nusers = 8\n", encoding="utf-8")
    for module in ("json", "typing", "chatswarm/__init__", "locust/__init__", "gevent/__init__", "msgspec", "zmq"):
        (here / module).parent.mkdir(exist_ok=True)
        (here / f"{module}.py").write_text(POISON, encoding="utf-8")
    (temporary := tmp_path / "t m#p?%;&'\"\n").mkdir()
    theirs = {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LOCUST_USERS": "9",
        "LOCUST_RUN_TIME": "9s",
        "LOCUST_USER_CLASSES": "WidgetUser",
        "LOCUST_PROCESSES": "3",
        "LOCUST_EXPECT_WORKERS": "3",
        "LOCUST_SKIP_LOG_SETUP": "1",
        "LOCUST_MODE_WORKER": "1",
        "LOCUST_CSV": "theirs",
        "GEVENT_LOOP": "nonsense",
        "GEVENT_RESOLVER": "nonsense",
        "http_proxy": "http://127.0.0.1:1",
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "PYTHONWARNINGS": "error",
        "PYTHONDEVMODE": "1",
        "PYTHONASYNCIODEBUG": "1",
        "PROMETHEUS_MULTIPROC_DIR": "/nowhere",
        "WEB_CONCURRENCY": "nonsense",
        "CHATSWARM_LIST_SIZE": "1",
        "CHATSWARM_WORKERS": "nonsense",
        "CHATSWARM_PORT": "tcp://10.0.0.1:8000",
        "CHATSWARM_METRICS_PORT": "tcp://10.0.0.1:9646",
        "CHATSWARM_TOKEN": "",
        "SSL_CERT_FILE": "",
    }
    out = "r #?%;&'\"\nx"
    with running(["bash", "-c", 'exec "$@" <&-', "-", *CHATSWARM, *SMALL, "--out", out], here, theirs) as command:
        result = command.result()
    assert result.code == 0, result.err
    verdict = verdict_of(here / out)
    assert (verdict["dashboards"], verdict["widgets"], round(verdict["seconds"])) == (2, 1, 1)
    assert verdict["deliveries"]["expected"] == 2 * verdict["messages"]["accepted"] > 0
    manifest = json.loads((here / out / "manifest.json").read_bytes())
    assert manifest["asked"] == {"dashboards": 2, "widgets": 1, "seconds": 1.0, "processes": 1}
    assert list(temporary.iterdir()) == []
    assert not list(here.glob("theirs*"))


def test_several_processes_beside_a_locust_conf(tmp_path: Path) -> None:
    (tmp_path / "locust.conf").write_text("users = 7\nprocesses = 3\nmaster-bind-port = 1\n", encoding="utf-8")
    command = [*CHATSWARM, *SMALL, "--processes", "2", "--seed", "7", "--out", "-out"]
    with running(command, tmp_path, {"LOCUST_MASTER_NODE_PORT": "1"}) as it:
        result = it.result()
    assert result.code == 0, result.err
    manifest = json.loads((tmp_path / "-out" / "manifest.json").read_bytes())
    assert manifest["processes"] == ["swarm-0", "swarm-1", "target"]
    assert manifest["asked"]["processes"] == 2


def test_from_a_folder_that_was_deleted(tmp_path: Path) -> None:
    line = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    command = ["bash", "-c", line, "-", *CHATSWARM, *SMALL]
    with running([*command, "--out", str(tmp_path / "out")], tmp_path) as it:
        result = it.result()
    assert result.code == 0, result.err
    assert verdict_of(tmp_path / "out")["verdict"] == "pass"
    with running(command, tmp_path) as it:
        refused = it.result()
    assert refused.code == 2
    assert "--out: expected a folder to write to, got: " in refused.err


def test_concurrent_runs_get_separate_folders_and_only_one_gets_a_given_folder(tmp_path: Path) -> None:
    commands = [[*CHATSWARM, *SMALL], [*CHATSWARM, *SMALL], [*CHATSWARM, *SMALL, "--out", "a/b"]]
    commands.append(commands[-1])
    # All share a working folder.
    running_now = [
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        for command in commands
    ]
    codes = [process.wait(90) for process in running_now]
    assert codes[:2] == [0, 0]
    assert sorted(codes[2:]) == [0, 2]
    folders = [*(tmp_path / "runs").iterdir(), tmp_path / "a" / "b"]
    assert len(folders) == 3
    assert {verdict_of(folder)["verdict"] for folder in folders} == {"pass"}


class TestEveryWayOut:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_interrupted_during_set_up_it_leaves_nothing(self, number: signal.Signals, tmp_path: Path) -> None:
        temporary = scratch(tmp_path)
        with running([*CHATSWARM, *SMALL, "--out", "a/b"], tmp_path, {"TMPDIR": str(temporary)}) as command:
            until((tmp_path / "a" / "b" / "backend.log").exists)
            children = command.children()
            for _ in range(3):
                command.process.send_signal(number)
                time.sleep(0.02)  # signals that arrive together count as one
            result = command.result()
        assert result.code == 3, result.err
        assert result.err.splitlines()[-1] == "interrupted before there was anything to judge"
        assert "Traceback" not in result.err
        assert list(temporary.iterdir()) == []
        assert not (tmp_path / "a").exists()
        assert not psutil.wait_procs(children, 5)[1]

    @pytest.mark.parametrize("numbers", [[signal.SIGHUP], [signal.SIGTERM, signal.SIGHUP], [signal.SIGINT] * 4])
    def test_interrupted_while_measuring_it_judges_what_was_measured(
        self, numbers: list[signal.Signals], tmp_path: Path
    ) -> None:
        temporary = scratch(tmp_path)
        command = [*CHATSWARM, *SMALL[:-1], "60s", "--out", "out"]
        with running(command, tmp_path, {"TMPDIR": str(temporary)}) as it:
            until(lambda: measuring(it))
            children = started(it)
            for number in numbers:
                it.process.send_signal(number)
                time.sleep(0.1)
            result = it.result()
        assert result.code == 3, result.err
        assert verdict_of(tmp_path / "out")["verdict"] == "undecided"
        assert "Traceback" not in result.err
        assert list(temporary.iterdir()) == []
        assert not psutil.wait_procs(children, 5)[1]

    def test_the_third_interrupt_ends_a_swarm_that_does_not_respond(self, tmp_path: Path) -> None:
        with running([*CHATSWARM, *SMALL[:-1], "60s", "--out", "out"], tmp_path) as it:
            until(lambda: measuring(it))
            it.swarm().suspend()
            for said in ("draining", "draining", "ending the swarm"):
                before = it.said().count(said)
                it.process.send_signal(signal.SIGINT)
                until(lambda said=said, before=before: it.said().count(said) > before)  # type: ignore[misc]
            result = it.result()
        assert result.code == 3, result.err
        assert verdict_of(tmp_path / "out")["verdict"] == "undecided"

    def test_interrupted_while_judging_it_says_how_to_judge(self, tmp_path: Path) -> None:
        """A signal after the verdict does not change the exit code."""
        with running([*CHATSWARM, *SMALL, "--out", "out"], tmp_path) as it:
            until(lambda: "judging" in it.said())
            it.process.send_signal(signal.SIGHUP)
            result = it.result()
        if "interrupted while judging" in result.err:
            assert result.code == 3, result.err
            with running([*CHATSWARM, "judge", "out"], tmp_path) as again:
                assert again.result().code == 0
        else:
            assert result.code == 0, result.err
        assert verdict_of(tmp_path / "out")["verdict"] == "pass"

    def test_under_nohup_a_hangup_is_ignored(self, tmp_path: Path) -> None:
        with running(["nohup", *CHATSWARM, *SMALL, "--out", "out"], tmp_path) as it:
            until(lambda: measuring(it))
            it.process.send_signal(signal.SIGHUP)
            result = it.result()
        assert result.code == 0, result.err

    def test_a_terminal_that_is_gone(self, tmp_path: Path) -> None:
        """Closing the window sends SIGHUP, and from then on every write fails."""
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            [*CHATSWARM, *SMALL[:-1], "60s", "--out", "out"], cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color"}, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        shown = b""
        while b"measuring" not in shown:
            shown += os.read(ours, 65536)
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 3
        assert verdict_of(tmp_path / "out")["verdict"] == "undecided"

    def test_a_reader_that_goes_away_at_the_first_line(self, tmp_path: Path) -> None:
        reading, writing = os.pipe()
        process = subprocess.Popen(
            [*CHATSWARM, *SMALL, "--json", "--out", "out"], cwd=tmp_path, stdin=subprocess.DEVNULL,
            stdout=writing, stderr=writing,
        )  # fmt: skip
        os.close(writing)
        assert os.read(reading, 5) == b"smoke"
        os.close(reading)
        assert process.wait(60) == 0
        assert verdict_of(tmp_path / "out")["verdict"] == "pass"
