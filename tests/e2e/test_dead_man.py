"""The dead man's switch: however a run ends, its faults are healed, and no process of its own is left."""

import json
import resource
import signal
from pathlib import Path

import psutil
import pytest

from chatswarm.loadtests.faults import target_processes
from chatswarm.loadtests.system.children import free_port

from .command import CHATSWARM, LOCUST, running, scenario, until
from .given import LONG, begun, fault, given_chat, given_toxiproxy, proxies_at

RUN = [*CHATSWARM, "run", "{scenario}", "--target", "{url}", "--out", "out"]
HEADLESS = [*LOCUST, "--headless", "--scenario", "{scenario}", "--host", "{url}", "--out", "out"]
PROCESSES = [*HEADLESS, "--processes", "2", "--master-bind-port", "{port}", "--master-port", "{port}"]


@pytest.mark.parametrize(
    ("start", "kind", "number"),
    [
        pytest.param(RUN, "pause", signal.SIGKILL, id="run-pause-KILL"),
        pytest.param(RUN, "kill", signal.SIGTERM, id="run-kill-TERM"),
        pytest.param(HEADLESS, "pause", signal.SIGKILL, id="headless-pause-KILL"),
        pytest.param(HEADLESS, "kill", signal.SIGINT, id="headless-kill-INT"),
        pytest.param(PROCESSES, "kill", signal.SIGKILL, id="processes-kill-KILL"),
    ],
)
def test_all_is_healed_and_nothing_is_left(tmp_path: Path, start: list[str], kind: str, number: signal.Signals) -> None:
    done, undone = tmp_path / "done", tmp_path / "undone"
    with given_chat(tmp_path) as chat, given_toxiproxy() as toxiproxy:
        before = chat.pid
        unlimited = resource.prlimit(before, resource.RLIMIT_FSIZE)
        text = LONG + fault("command", start=f"touch {done}", stop=f"touch {undone}")
        text += fault("latency", on="sockets", latency="10ms") + fault("fill_store", database=str(chat.database))
        text += fault(kind, at="1s")
        values = {"scenario": scenario(tmp_path, text), "url": chat.url, "port": str(free_port())}
        command = [part.format_map(values) for part in start] + ["--pid", str(before)]
        command += ["--restart-command", chat.command, "--toxiproxy", toxiproxy]
        with running(command, tmp_path) as it:
            until(lambda: begun(it, "command", "latency", "fill_store", kind), 40, it.said())
            until(lambda: done.exists() and proxies_at(toxiproxy))
            until(lambda: target_processes.stopped(before) or not target_processes.alive(before))
            if kind == "pause":
                assert resource.prlimit(before, resource.RLIMIT_FSIZE) != unlimited
            # The target that was started anew is its owner's.
            children = {child.pid: (child, " ".join(child.cmdline())) for child in it.children()}
            it.process.send_signal(number)
            until(chat.answers, 20, it.said())
            until(undone.exists)
            until(lambda: not proxies_at(toxiproxy))
            if kind == "pause":
                assert chat.pid == before
                until(lambda: resource.prlimit(before, resource.RLIMIT_FSIZE) == unlimited)
            else:
                assert chat.pid != before
            result = it.result()
        _, alive = psutil.wait_procs([child for child, _ in children.values()], 20)
        assert [children[child.pid] for child in alive] == []
        assert chat.answers()
    if number == signal.SIGKILL:
        return
    # It is judged. If the target came back only after the drain, that is its loss; a pass it cannot be.
    assert result.code in (1, 3), result.err
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text(encoding="utf-8"))
    faults = {fault["name"]: fault for fault in verdict["faults"]}
    assert set(faults) == {"command", "latency", "fill_store", kind}
    assert all(fault["stop"] is not None and fault["stop"] < 40 for fault in faults.values())
    assert faults["command"]["evidence"]["start"] == "exit code 0"
    assert faults["latency"]["evidence"]["bytes_delayed"] > 0
    assert any("of 60 s" in reason for reason in verdict["reasons"])
    for name in faults:
        assert f"fault {name} is over" in result.err


def test_a_worker_that_dies_leaves_no_fault_behind(tmp_path: Path) -> None:
    with given_chat(tmp_path) as chat:
        text = LONG.replace('"60s"', '"6s"') + fault("pause", at="1s", length="1s")
        values = {"scenario": scenario(tmp_path, text), "url": chat.url, "port": str(free_port())}
        with running([part.format_map(values) for part in PROCESSES] + ["--pid", str(chat.pid)], tmp_path) as it:
            until(lambda: begun(it, "pause") and target_processes.stopped(chat.pid), 40)
            worker = next(child for child in it.children() if child.ppid() == it.process.pid)
            worker.kill()
            result = it.result()
        assert chat.answers()
    assert result.code == 3, result.err
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["faults"][0]["stop"] is not None
    assert verdict["faults"][0]["evidence"]["processes"] == 1
    assert any("did not close its history" in reason for reason in verdict["reasons"])
