"""Runs with faults, end to end: what is refused before any load, what passes, and what nobody may believe."""

import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from chatswarm.loadtests.faults.target_processes import stopped
from chatswarm.loadtests.system.children import free_port
from tests.plants import Chat, serving

from .command import CHATSWARM, LOCUST, QUICK, chatswarm, measuring, running, scenario, until
from .given import LONG, begun, fault, given_chat, given_toxiproxy, proxies_at


def test_a_killed_reference_backend_passes_and_its_recovery_is_printed(tmp_path: Path) -> None:
    text = QUICK.replace('"2s"', '"7s"') + fault("kill", "1s", "300ms", name="crash")
    slos = ("lost == 0", "recovery.max <= 3s after crash", "rejected + unknown > 0 during crash",
            "evidence.killed == 1 during crash", "closed == dashboards", "refused == 0")  # fmt: skip
    result = chatswarm("run", scenario(tmp_path, text, slos), "--json", folder=tmp_path)
    assert result.code == 0, result.err
    (recovery,) = result.verdict["recoveries"]
    assert (recovery["name"], recovery["dashboards_lost"], recovery["dashboards_back"]) == ("crash", 4, 4)
    assert 0 <= recovery["whole_again"] <= 3
    (crash,) = result.verdict["faults"]
    assert 1 <= crash["start"] < crash["stop"] <= 7
    assert result.verdict["connections"]["codes"] == {"1006": 4}
    assert "4 of 4 cut-off dashboards came back" in result.err
    assert "fault crash is over" in result.err


def test_two_processes_through_the_proxy_and_a_fault_that_did_nothing(tmp_path: Path) -> None:
    """The one is felt; and since the other struck nobody, the run is not believed."""
    text = LONG.replace('"60s"', '"3s"') + fault("latency", "1s", "1s", on="everything", latency="200ms", name="slow")
    text += fault("slow_close", "1s", "1s", on="sockets", delay="1s", name="idle")
    slos = ("accepted.p50 >= 200ms during slow", "lost == 0", "evidence.bytes_delayed > 0 during slow",
            "evidence.bytes_delayed == 0 during idle")  # fmt: skip
    result = chatswarm("run", scenario(tmp_path, text, slos), "--processes", "2", "--json", folder=tmp_path)
    assert result.code == 3, result.err
    assert [slo["outcome"] for slo in result.verdict["slos"]] == ["pass"] * 4, result.err
    (reason,) = [reason for reason in result.verdict["reasons"] if "left no evidence that it did anything" in reason]
    assert reason.startswith("the fault idle (from ")
    history = {path.name for path in next((tmp_path / "runs").iterdir()).joinpath("history").iterdir()}
    assert history == {"swarm-0.cs1", "swarm-1.cs1", "nemesis.cs1", "proxy.cs1", "target.cs1"}


def test_over_tls_names_are_checked_through_the_proxy(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    trusting = {"SSL_CERT_FILE": str(tmp_path / "authority.pem")}
    file = scenario(tmp_path, QUICK + fault("latency", "500ms", "500ms", on="everything", latency="20ms"))
    with serving(Chat(), context) as url:
        result = chatswarm("run", file, "--target", url, "--json", folder=tmp_path, env=trusting)
        assert result.code == 0, result.err
        assert result.verdict["faults"][0]["evidence"]["bytes_delayed"] > 0
        # The certificate is for localhost: another name is refused though the proxy's address is the same.
        other = url.replace("localhost", "127.0.0.1")
        refused = chatswarm("run", file, "--target", other, folder=tmp_path, env=trusting)
    assert refused.code == 2
    assert "trusted: " in refused.err


def test_a_proxy_that_dies_is_the_rigs_failure_and_not_the_targets(tmp_path: Path) -> None:
    text = LONG.replace('"60s"', '"4s"') + fault("latency", "1s", "1s", on="everything", latency="1ms")
    with running([*CHATSWARM, "run", scenario(tmp_path, text), "--json"], tmp_path) as command:
        until(lambda: measuring(command))
        (proxy,) = [it for it in command.children() if "faults.proxy" in " ".join(it.cmdline())]
        proxy.kill()
        result = command.result()
    assert result.code == 70, result.err
    assert "internal error: the fault proxy ended by itself" in result.err
    assert result.out == ""


def test_a_target_that_was_started_again_ignores_no_signal(tmp_path: Path) -> None:
    """Its owners must be able to stop it as before."""
    with given_chat(tmp_path) as chat:
        text = QUICK.replace('"2s"', '"4s"') + fault("kill", "1s", "500ms")
        command = f"grep SigIgn /proc/self/status > {tmp_path}/ignored; {chat.command}"
        args = ["--target", chat.url, "--pid", str(chat.pid), "--restart-command", command]
        result = chatswarm("run", scenario(tmp_path, text), *args, folder=tmp_path)
        assert "fault kill is over" in result.err
    mask = int((tmp_path / "ignored").read_text(encoding="utf-8").split()[1], 16)
    assert [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if mask >> (number - 1) & 1] == []


def test_a_command_that_does_not_start_the_target_again_decides_nothing(tmp_path: Path) -> None:
    """The rig took it away, and did not bring it back."""
    with given_chat(tmp_path) as chat:
        text = QUICK.replace('"2s"', '"4s"') + fault("kill", "1s", "500ms")
        args = ["--target", chat.url, "--pid", str(chat.pid), "--restart-command", "exit 4", "--json"]
        result = chatswarm("run", scenario(tmp_path, text), *args, folder=tmp_path)
    assert result.code == 3, result.err
    assert [found["outcome"] for found in result.verdict["findings"] if found["outcome"] == "fail"] == []
    assert any("was never healed" in reason for reason in result.verdict["reasons"])


@pytest.mark.parametrize("start", ["run", "locust"])
def test_a_testbed_that_dies_is_the_rigs_failure_and_its_faults_are_healed(tmp_path: Path, start: str) -> None:
    text = LONG + fault("pause", "1s", "40s")
    with given_chat(tmp_path) as chat:
        command = {
            "run": [*CHATSWARM, "run", scenario(tmp_path, text), "--target", chat.url],
            "locust": [*LOCUST, "--headless", "--scenario", scenario(tmp_path, text), "--host", chat.url],
        }[start]
        with running([*command, "--pid", str(chat.pid), "--out", "out"], tmp_path) as it:
            until(lambda: begun(it, "pause") and stopped(chat.pid), 40)
            (testbed,) = [child for child in it.children() if child.cmdline()[-1].endswith("loadtests.testbed")]
            testbed.kill()
            result = it.result()
        assert chat.answers()
    assert result.code == 70, result.err
    assert "the testbed of the run ended by itself" in result.err
    assert not (tmp_path / "out" / "verdict.json").exists()
    again = chatswarm("judge", "out", "--json", folder=tmp_path)
    assert again.code == 3, "nothing in it is blamed on the target"
    assert "the testbed of the run ended by itself" in again.verdict["reasons"][-1]
    assert again.verdict["findings"] == []


def test_a_term_while_the_target_is_waited_for_is_no_verdict(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        with running([*CHATSWARM, "run", scenario(tmp_path), "--target", url], tmp_path) as command:
            mute.settimeout(30)
            waiting, _ = mute.accept()
            command.process.send_signal(signal.SIGTERM)
            result = command.result(20)
            waiting.close()
    assert result.code == 3, "there is nothing to judge"
    assert "interrupted before there was anything to judge" in result.err
    assert "Traceback" not in result.err


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with serving(Chat()) as url:
        yield url


class TestRefusedBeforeAnyLoad:
    """Exit code 2, with what was expected and what to pass."""

    def refused(self, folder: Path, *args: str, text: str) -> str:
        result = chatswarm("run", scenario(folder, QUICK + text), *args, folder=folder)
        assert result.code == 2, result.err
        assert "Traceback" not in result.err
        assert not list(folder.glob("runs/*/manifest.json"))
        return result.err

    def test_faults_of_a_process_that_nobody_named(self, tmp_path: Path, target: str) -> None:
        kinds = ("kill", "terminate", "pause", "fill_store")
        text = "".join(fault(kind, "1s", "100ms") for kind in (*kinds, "restart", "lock_store"))
        text += fault("pause", "1s", "100ms", name="worker", on="worker") + fault("down", "1s", "100ms", on="broker")
        said = self.refused(tmp_path, "--target", target, text=text)
        for name in (*kinds, "worker"):
            assert f"fault {name}: expected --pid, the target's process, because chatswarm did not start it" in said
        assert "fault restart: expected --restart-command, because chatswarm did not start the target" in said
        assert "fault lock_store: expected database, the path of the target's SQLite file" in said
        assert "fault down: expected a reference backend with a broker (`[backend] broker = true`), got none" in said

    def test_a_command_without_a_pid(self, tmp_path: Path, target: str) -> None:
        text = fault("kill", "1s", "100ms") + fault("restart", "1s", "0s")
        said = self.refused(tmp_path, "--target", target, "--restart-command", "true", text=text)
        assert "fault kill: expected --pid" in said
        assert "fault restart" not in said

    def test_a_pid_that_is_none(self, tmp_path: Path, target: str) -> None:
        with subprocess.Popen(["true"]) as gone:
            gone.wait()
        said = self.refused(tmp_path, "--target", target, "--pid", str(gone.pid), text=fault("pause", "1s", "100ms"))
        assert f"--pid: expected the process of the target, got {gone.pid}, which is none" in said

    def test_a_pid_of_something_else(self, tmp_path: Path, target: str) -> None:
        with subprocess.Popen(["sleep", "600"]) as other:
            args = ("--target", target, "--pid", str(other.pid))
            said = self.refused(tmp_path, *args, text=fault("pause", "1s", "100ms"))
            other.kill()
        assert f"--pid: expected the process of the target, got {other.pid}, which listens nowhere" in said

    def test_the_pid_of_who_started_chatswarm(self, tmp_path: Path, target: str) -> None:
        """It would be paused with the target, and nobody would be there to heal it. (It serves the target, too.)"""
        args = ("--target", target, "--pid", str(os.getpid()))
        said = self.refused(tmp_path, *args, text=fault("pause", "1s", "100ms"))
        assert f"got {os.getpid()}, which started chatswarm itself" in said

    def test_a_pid_without_a_target(self, tmp_path: Path) -> None:
        said = self.refused(tmp_path, "--pid", "1", text="")
        assert "--pid, --restart-command: expected --target as well" in said

    def test_no_toxiproxy_where_one_was_named(self, tmp_path: Path, target: str) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        args = ("--target", target, "--toxiproxy", url)
        said = self.refused(tmp_path, *args, text=fault("latency", "1s", "100ms", latency="1ms"))
        assert f"--toxiproxy: {url}/version: expected Toxiproxy's API, got" in said
        assert "refused" in said

    def test_a_proxy_that_cannot_reach_the_target(self, tmp_path: Path, target: str) -> None:
        """As a Toxiproxy in a container may not, where the target is on the host."""
        with far_toxiproxy() as (url, deleted):
            args = ("--target", target, "--toxiproxy", url)
            said = self.refused(tmp_path, *args, text=fault("latency", "1s", "100ms", on="widgets", latency="1ms"))
        assert (
            f"fault proxy for widgets: expected it to reach the target, got: expected an HTTP answer from {target}"
            in said
        )
        assert len(deleted) == 1

    def test_a_target_that_does_not_answer_leaves_no_proxy_behind(self, tmp_path: Path) -> None:
        with given_toxiproxy() as toxiproxy:
            args = ("--target", f"http://127.0.0.1:{free_port()}", "--toxiproxy", toxiproxy)
            said = self.refused(tmp_path, *args, text=fault("latency", "1s", "100ms", latency="1ms"))
            assert proxies_at(toxiproxy) == []
        assert "--target: expected an HTTP answer from http://127.0.0.1:" in said

    def test_under_locust(self, tmp_path: Path, target: str) -> None:
        """The same, before any worker is needed."""
        args = ["--headless", "--host", target, "--scenario", scenario(tmp_path, QUICK + fault("kill", "1s", "0s"))]
        for more in ([], ["--master", "--master-bind-port", str(free_port()), "--expect-workers", "1"]):
            with running([*LOCUST, *args, *more], tmp_path) as command:
                result = command.result()
            assert result.code == 2
            assert "fault kill: expected --pid, the target's process, because chatswarm did not start it" in result.err
            assert not (tmp_path / "runs").exists()

    def test_under_locust_what_was_in_the_folder_stays(self, tmp_path: Path, target: str) -> None:
        out = tmp_path / "out"
        out.mkdir()
        for name in ("backend.log", "proxy.log", "testbed.log", "healer.log"):
            (out / name).write_text("mine", encoding="utf-8")
        text = QUICK + fault("latency", "1s", "100ms", latency="1ms")
        args = ["--headless", "--host", target, "--scenario", scenario(tmp_path, text), "--out", str(out)]
        with far_toxiproxy() as (url, _), running([*LOCUST, *args, "--toxiproxy", url], tmp_path) as command:
            result = command.result()
        assert result.code == 2, result.err
        assert "expected it to reach the target" in result.err
        assert sorted(path.name for path in out.iterdir()) == ["backend.log", "healer.log", "proxy.log", "testbed.log"]

    @pytest.mark.parametrize("option", ["--out", "--restart-command"])
    def test_under_locust_what_is_not_utf_8(self, tmp_path: Path, target: str, option: str) -> None:
        text = QUICK + fault("latency", "1s", "100ms", latency="1ms")
        args = ["--headless", "--host", target, "--scenario", scenario(tmp_path, text), option, os.fsdecode(b"x\xff")]
        with running([*LOCUST, *args], tmp_path) as command:
            result = command.result(30)
        assert result.code == 2, result.err
        assert "Traceback" not in result.err


@contextmanager
def far_toxiproxy() -> Iterator[tuple[str, list[str]]]:
    """A Toxiproxy whose proxies lead nowhere; and the paths that were deleted."""
    deleted: list[str] = []

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(b'{"version": "2.12.0"}')

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(b'{"listen": "127.0.0.1:%d"}' % free_port())

        def do_DELETE(self) -> None:
            deleted.append(self.path)
            self.answer(b"")

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", deleted
        finally:
            server.shutdown()
