"""`chatswarm run` end to end: real processes, real sockets, and every exit code."""

import os
import signal
import ssl
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import trustme

from chatswarm.loadtests.history.files import read
from chatswarm.loadtests.history.manifest import TARGET, history_file
from chatswarm.loadtests.system.children import free_port
from chatswarm.loadtests.testbed.reference_chat import ReferenceBackend
from tests.plants import AdmitsOneDashboardInTwo, Chat, ListFails, LosesEveryTenth, RefusesEveryThirdSend, serving
from tests.plants.push import PushChat
from tests.plants.wire import serving as serving_push

from .command import CHATSWARM, QUICK, chatswarm, measuring, running, scenario, until

SLOS = ("visible.p99 <= 5s", "last_dashboard.p95 <= 5s", "notified == expected")


def test_the_reference_chat_passes(tmp_path: Path) -> None:
    result = chatswarm("run", scenario(tmp_path, slos=SLOS), "--out", "out", "--json", folder=tmp_path)
    assert result.code == 0, result.err
    verdict = result.verdict
    assert verdict["verdict"] == "pass"
    assert verdict["exit_code"] == 0
    messages, deliveries = verdict["messages"], verdict["deliveries"]
    assert messages["intended"] == messages["sent"] == messages["accepted"] > 0
    assert deliveries["expected"] == deliveries["visible"] == deliveries["notified"] == 4 * messages["accepted"]
    assert deliveries["lost"] == deliveries["late"] == deliveries["unnotified"] == 0
    assert 0 < verdict["latency"]["visible"]["p50"] < verdict["latency"]["visible"]["max"] < 2
    assert verdict["latency"]["recovery"]["p99"] is None
    assert [slo["outcome"] for slo in verdict["slos"]] == ["pass"] * 3
    assert verdict["rig"]["sound"] is True
    out = tmp_path / "out"
    assert (out / "verdict.json").read_text(encoding="utf-8") == result.out
    assert {path.name for path in out.iterdir()} == {
        "history", "scenario.toml", "manifest.json", "verdict.json", "report.html", "backend.log", "swarm.log",
        "testbed.log",
    }  # fmt: skip
    assert "✓ PASS" in result.err
    workers = {process["pid"]: process for process in verdict["target_processes"]}
    assert len(workers) == 1
    assert all(process["memory"] > 1_000_000 for process in workers.values())
    samples = read(history_file(out, TARGET))
    assert samples.cut is None
    assert {int(pid) for pid in samples.tables["process"]["pid"]} == set(workers)
    assert (len(read(history_file(out, "swarm-0")).tables["machine"]["cpu"]) > 0) == Path("/proc/stat").exists()
    assert (verdict["rig"]["machine"] is not None) == Path("/proc/stat").exists()


def test_rooms_that_the_target_does_not_create_are_no_run(tmp_path: Path) -> None:
    rooms = scenario(tmp_path, QUICK + "[rooms]\ncount = 2\n")
    with serving_push(PushChat(key="the service key")) as url:
        result = chatswarm("run", rooms, "--target", url, "--protocol", "push", "--out", "out", folder=tmp_path)
    assert result.code == 2
    assert "room 0: expected the target to create it, got: status 401" in result.err
    assert not (tmp_path / "out").exists()


def test_a_chat_with_only_the_original_protocol_passes(tmp_path: Path) -> None:
    with serving(Chat()) as url:
        result = chatswarm("run", scenario(tmp_path, slos=SLOS), "--target", url, "--json", folder=tmp_path)
    assert result.code == 0, result.err
    assert result.verdict["findings"] == [] or all(finding["count"] == 0 for finding in result.verdict["findings"])
    assert result.verdict["target_processes"] == []  # nobody said which they are


def test_lost_messages_fail_and_are_counted(tmp_path: Path) -> None:
    chat = LosesEveryTenth()
    with serving(chat) as url:
        result = chatswarm("run", scenario(tmp_path), "--target", url, "--json", folder=tmp_path)
    assert result.code == 1, result.err
    deliveries = result.verdict["deliveries"]
    assert len(chat.broken) > 0
    # A message missing from a list shifts all later counts, so at least the hidden ones must be lost.
    assert deliveries["lost"] >= 4 * len(chat.broken)
    assert result.verdict["counts"]["store_lost"] == 0
    assert deliveries["expected"] == deliveries["visible"] + deliveries["lost"]
    assert "lost" in result.err


def test_refused_sends_fail(tmp_path: Path) -> None:
    chat = RefusesEveryThirdSend()
    with serving(chat) as url:
        result = chatswarm("run", scenario(tmp_path), "--target", url, "--json", folder=tmp_path)
    assert result.code == 1, result.err
    assert result.verdict["counts"]["refused"] == chat.sends // 3
    assert result.verdict["deliveries"]["lost"] == 0


@pytest.mark.timeout(180)
def test_refused_dashboards_do_not_reduce_the_expected_deliveries(tmp_path: Path) -> None:
    with serving(AdmitsOneDashboardInTwo()) as url:
        result = chatswarm("run", scenario(tmp_path), "--target", url, "--json", folder=tmp_path, timeout=120)
    assert result.code == 1, result.err
    verdict = result.verdict
    assert verdict["counts"]["absent"] == 2
    assert verdict["deliveries"]["expected"] == 4 * verdict["messages"]["accepted"]
    assert verdict["deliveries"]["lost"] == 2 * verdict["messages"]["accepted"]


def test_a_list_that_fails_loses_everything(tmp_path: Path) -> None:
    with serving(ListFails()) as url:
        result = chatswarm("run", scenario(tmp_path), "--target", url, "--json", folder=tmp_path)
    assert result.code == 1, result.err
    assert result.verdict["deliveries"]["lost"] == result.verdict["deliveries"]["expected"] > 0
    assert result.verdict["latency"]["visible"]["p99"] is None


def test_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    trusting = {"SSL_CERT_FILE": str(tmp_path / "authority.pem")}
    with serving(Chat(), context) as url:
        result = chatswarm("run", scenario(tmp_path), "--target", url, "--json", folder=tmp_path, env=trusting)
        assert result.code == 0, result.err
        refused = chatswarm("run", scenario(tmp_path), "--target", url, folder=tmp_path)
    assert refused.code == 2
    assert "trusted: " in refused.err


class TestRefusedBeforeAnyLoad:
    """Exit code 2, and nothing is sent."""

    def test_an_invalid_scenario_is_refused_with_all_its_problems(self, tmp_path: Path) -> None:
        wrong = QUICK.replace("rate = 10", "rate = -5").replace('drain = "7s"', 'drain = "1s"') + "typo = 1\n"
        result = chatswarm("run", scenario(tmp_path, wrong), "--out", "out", "--dashboards", "0", folder=tmp_path)
        assert result.code == 2
        assert "swarm.rate: expected a positive number, got -5" in result.err
        assert "swarm.drain: expected at least the update target + 2 s" in result.err
        assert "--dashboards: expected a whole number above 0, got 0" in result.err
        assert "swarm.typo" in result.err
        assert not (tmp_path / "out").exists()

    def test_an_unknown_scenario(self, tmp_path: Path) -> None:
        result = chatswarm("run", "smok", folder=tmp_path)
        assert result.code == 2
        assert "did you mean smoke?" in result.err

    def test_an_unreachable_target(self, tmp_path: Path) -> None:
        target = f"http://127.0.0.1:{free_port()}"
        result = chatswarm("run", scenario(tmp_path), "--target", target, folder=tmp_path)
        assert result.code == 2
        assert "refused" in result.err

    def test_a_target_that_is_not_a_url(self, tmp_path: Path) -> None:
        result = chatswarm("run", scenario(tmp_path), "--target", "localhost:8000", folder=tmp_path)
        assert result.code == 2
        assert "expected a URL such as http://127.0.0.1:8000" in result.err

    def test_a_folder_that_is_not_empty(self, tmp_path: Path) -> None:
        result = chatswarm("run", scenario(tmp_path), "--out", ".", folder=tmp_path)
        assert result.code == 2
        assert "--out: expected a new or an empty folder" in result.err

    def test_more_chats_than_the_list_shows(self, tmp_path: Path) -> None:
        result = chatswarm("run", scenario(tmp_path), "--widgets", "101", folder=tmp_path)
        assert result.code == 2
        assert "list_window" in result.err


class TestTheRigFails:
    """Exit code 3: neither a pass nor a false loss."""

    def test_a_swarm_that_is_paused(self, tmp_path: Path) -> None:
        with running([*CHATSWARM, "run", scenario(tmp_path), "--json"], tmp_path) as command:
            until(lambda: measuring(command))
            time.sleep(0.5)
            swarm = command.swarm()
            swarm.suspend()
            time.sleep(1.5)
            swarm.resume()
            result = command.result()
        assert result.code == 3, result.err
        assert result.verdict["rig"]["sound"] is False
        assert result.verdict["reasons"]

    def test_a_swarm_that_is_killed(self, tmp_path: Path) -> None:
        with running([*CHATSWARM, "run", scenario(tmp_path), "--json"], tmp_path) as command:
            until(lambda: measuring(command))
            time.sleep(1.2)
            command.swarm().kill()
            result = command.result()
        assert result.code == 3, result.err
        assert result.verdict["deliveries"]["lost"] == 0
        assert any("footer" in reason or "cut" in reason for reason in result.verdict["reasons"])

    def test_one_of_two_processes_is_killed(self, tmp_path: Path) -> None:
        with running([*CHATSWARM, "run", scenario(tmp_path), "--processes", "2", "--json"], tmp_path) as command:
            until(lambda: measuring(command))
            time.sleep(0.5)
            swarm = command.swarm()
            # The testbed is its child, too.
            next(child for child in swarm.children() if child.cmdline() == swarm.cmdline()).kill()
            result = command.result()
        assert result.code == 3, result.err
        assert any("died" in reason for reason in result.verdict["reasons"])


def test_ctrl_c_judges_what_was_measured(tmp_path: Path) -> None:
    with running([*CHATSWARM, "run", scenario(tmp_path), "--duration", "60s", "--json"], tmp_path) as command:
        until(lambda: measuring(command))
        time.sleep(2)
        children = command.children()
        command.process.send_signal(signal.SIGINT)
        result = command.result()
    assert result.code == 3, result.err
    verdict = result.verdict
    assert 1 < verdict["seconds"] < 30
    assert verdict["deliveries"]["visible"] == verdict["deliveries"]["expected"] > 0
    assert any("of 60 s" in reason for reason in verdict["reasons"])
    assert not [child for child in children if child.is_running()]


def test_no_child_outlives_a_killed_run(tmp_path: Path) -> None:
    with running([*CHATSWARM, "run", scenario(tmp_path), "--processes", "2"], tmp_path) as command:
        until(lambda: measuring(command))
        children = command.children()
        assert len(children) == 5  # the master and its two workers, the testbed and its backend
        command.process.kill()
        _, alive = psutil.wait_procs(children, 15)
    assert not alive


def test_several_processes_send_the_same_messages_as_one(tmp_path: Path) -> None:
    file = scenario(tmp_path, slos=SLOS)
    result = chatswarm("run", file, "--processes", "2", "--seed", "7", "--json", folder=tmp_path)
    alone = chatswarm("run", file, "--seed", "7", "--json", folder=tmp_path)
    assert (result.code, alone.code) == (0, 0), result.err + alone.err
    assert result.verdict["messages"] == alone.verdict["messages"]
    assert result.verdict["deliveries"]["expected"] == alone.verdict["deliveries"]["expected"]


def test_a_run_can_be_judged_again_with_other_slos(tmp_path: Path) -> None:
    chatswarm("run", scenario(tmp_path), "--out", "out", folder=tmp_path)
    assert chatswarm("judge", "out", folder=tmp_path).code == 0
    strict = chatswarm("judge", "out", "--slo", "visible.p99 <= 1ms", "--json", folder=tmp_path)
    assert strict.code == 1
    assert strict.verdict["slos"][0]["outcome"] == "fail"
    wrong = chatswarm("judge", "out", "--slo", "visble.p99 <= 1ms", folder=tmp_path)
    assert wrong.code == 2
    assert "visible.p99" in wrong.err
    nowhere = chatswarm("judge", "nowhere", folder=tmp_path)
    assert nowhere.code == 2


def test_a_killed_backend_keeps_every_accepted_message(tmp_path: Path) -> None:
    port, database = free_port(), tmp_path / "chat.db"
    backend = ReferenceBackend(tmp_path / "backend-1.log", database, port)
    backend.wait()
    file = scenario(tmp_path, QUICK.replace("rate = 10", "rate = 100").replace('"2s"', '"4s"'))
    with running([*CHATSWARM, "run", file, "--target", backend.base_url, "--json"], tmp_path) as command:
        until(lambda: measuring(command))
        time.sleep(1.5)
        backend.child.kill()
        backend = ReferenceBackend(tmp_path / "backend-2.log", database, port)
        result = command.result()
    backend.stop()
    verdict = result.verdict
    assert verdict["messages"]["accepted"] > 100
    assert verdict["counts"]["refused"] > 0, "the kill had no effect"
    assert verdict["counts"]["store_lost"] == 0
    assert verdict["counts"]["duplicated"] == verdict["counts"]["phantom"] == verdict["counts"]["reordered"] == 0
    assert verdict["deliveries"]["lost"] == 0, "dashboards reconnect and refetch"
    assert result.code == 1


def test_a_target_that_is_killed_for_good(tmp_path: Path) -> None:
    backend = ReferenceBackend(tmp_path / "backend.log", tmp_path / "chat.db", free_port())
    backend.wait()
    command = [*CHATSWARM, "run", scenario(tmp_path), "--target", backend.base_url, "--out", "out", "--json"]
    with running(command, tmp_path) as it:
        until(lambda: measuring(it))
        time.sleep(1)
        backend.child.kill()
        result = it.result(120)
    assert result.code in (1, 3), result.err
    assert result.verdict["verdict"] != "pass"
    assert result.verdict["counts"]["refused"] > 0
    assert result.verdict["reasons"], "it must say that the final read failed"
    assert "Traceback" not in result.err + (tmp_path / "out" / "swarm.log").read_text(encoding="utf-8")
    assert "internal error" not in result.err


def test_serve_runs_the_backend(tmp_path: Path) -> None:
    port = free_port()
    with running(
        [*CHATSWARM, "serve", "--port", str(port), "--database", f"sqlite:///{tmp_path}/c.db"], tmp_path
    ) as it:
        until(lambda: chatswarm("check", "--target", f"http://127.0.0.1:{port}", folder=tmp_path / "check").code == 0)
        it.process.terminate()
        assert it.process.wait(15) == 0
    help_text = subprocess.run(
        [*CHATSWARM, "serve", "--help"], capture_output=True, check=True, text=True, env=os.environ
    )
    assert "--database" in help_text.stdout


def test_check_names_the_broken_step(tmp_path: Path) -> None:
    with serving(ListFails()) as url:
        result = chatswarm("check", "--target", url, folder=tmp_path)
    assert result.code == 1
    assert "✗" in result.err
