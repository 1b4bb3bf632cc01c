"""The dead man's switch: however a run ends, its faults are healed, and no process of its own is left."""

import resource
import signal
from pathlib import Path

import psutil
import pytest

from chatswarm.loadtests.faults import target_processes

from .command import CHATSWARM, running, scenario, until
from .given import LONG, begun, fault, given_chat, given_toxiproxy, proxies_at


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("pause", signal.SIGKILL), ("kill", signal.SIGKILL), ("pause", signal.SIGINT), ("kill", signal.SIGTERM),
    ],
)  # fmt: skip
def test_all_is_healed_and_nothing_is_left(tmp_path: Path, kind: str, number: signal.Signals) -> None:
    done, undone = tmp_path / "done", tmp_path / "undone"
    with given_chat(tmp_path) as chat, given_toxiproxy() as toxiproxy:
        before = chat.pid
        unlimited = resource.prlimit(before, resource.RLIMIT_FSIZE)
        text = LONG + fault("command", start=f"touch {done}", stop=f"touch {undone}")
        text += fault("latency", on="sockets", latency="10ms") + fault("fill_store", database=str(chat.database))
        text += fault(kind, at="1s")
        command = [*CHATSWARM, "run", scenario(tmp_path, text), "--target", chat.url, "--pid", str(before), "--json"]
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
    verdict = result.verdict
    faults = {fault["name"]: fault for fault in verdict["faults"]}
    assert set(faults) == {"command", "latency", "fill_store", kind}
    assert all(fault["stop"] is not None and fault["stop"] < 40 for fault in faults.values())
    assert faults["command"]["evidence"]["start"] == "exit code 0"
    assert faults["latency"]["evidence"]["bytes_delayed"] > 0
    assert any("of 60 s" in reason for reason in verdict["reasons"])
    for name in faults:
        assert f"fault {name} is over" in result.err
