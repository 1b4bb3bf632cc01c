"""The undo log and the healer: actions are undone even if the process that added them dies."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chatswarm.loadtests.faults import target_processes
from chatswarm.loadtests.faults.healer import perform
from chatswarm.loadtests.faults.undo_log import UndoLog

from .harness import FaultProxy, Proxied
from .victims import until

HEALER = [sys.executable, "-m", "chatswarm.loadtests.faults.healer"]

UNDOING_PROGRAM = """
import signal, sys, time
from pathlib import Path
# A shell's background jobs inherit that SIGINT is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from chatswarm.loadtests.faults.undo_log import UndoLog
undo_log = UndoLog(Path(sys.argv[1]) / "healer.log")
dropped = undo_log.add("shell", f"touch {sys.argv[1]}/dropped")
for number in range(3):
    undo_log.add("shell", f"echo {number} >> {sys.argv[1]}/healed; sleep 0.1")
undo_log.drop(dropped)
print("ready", flush=True)
time.sleep(600)
"""


def start_undoing(folder: Path) -> subprocess.Popen[bytes]:
    """Starts a process that has added actions, and then waits to be ended."""
    started = subprocess.Popen([sys.executable, "-c", UNDOING_PROGRAM, str(folder)], stdout=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"
    return started


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_actions_of_a_process_that_ends_are_performed(tmp_path: Path, number: signal.Signals) -> None:
    with start_undoing(tmp_path) as started:
        started.send_signal(number)
    until(lambda: (tmp_path / "healed").exists() and len((tmp_path / "healed").read_text().split()) == 3)
    assert not (tmp_path / "dropped").exists()


def test_the_healer_exits_when_it_has_healed(tmp_path: Path) -> None:
    done = subprocess.run(HEALER, input=b'{"number": 1, "undo": ["shell", "exit 3"]}\n', timeout=20, check=True)
    assert done.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_do_not_stop_the_healer_before_it_has_healed(tmp_path: Path, number: signal.Signals) -> None:
    undo_log = UndoLog(tmp_path / "healer.log")
    undo_log.add("shell", f"touch {tmp_path}/healed")
    assert undo_log._healer is not None
    # The last of its handlers is there.
    until(lambda: catches(undo_log._healer.pid if undo_log._healer else 0, signal.SIGHUP))
    undo_log._healer.send_signal(number)
    undo_log.close()
    until((tmp_path / "healed").exists)


def test_what_the_healer_starts_again_can_be_stopped_by_any_signal(tmp_path: Path) -> None:
    """An ignored signal would be inherited: the target could never be ended in order again."""
    undo_log = UndoLog(tmp_path / "healer.log")
    undo_log.add("shell", f"grep SigIgn /proc/self/status > {tmp_path}/part; mv {tmp_path}/part {tmp_path}/ignored")
    undo_log.close()
    until((tmp_path / "ignored").exists)
    mask = int((tmp_path / "ignored").read_text().split()[1], 16)
    assert [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if mask >> (number - 1) & 1] == []


def catches(pid: int, number: signal.Signals) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = int(next(line for line in lines if line.startswith("SigCgt:")).split()[1], 16)
    return bool(mask >> (number - 1) & 1)


def test_an_action_that_fails_does_not_prevent_the_others(tmp_path: Path) -> None:
    entries = [
        {"number": 1, "undo": ["shell", f"touch {tmp_path}/healed"]},
        {"number": 2, "undo": ["request", "DELETE", "http://127.0.0.1:9/proxies/x"]},
        {"number": 3, "undo": ["no such action"]},
        {"number": 4, "undo": ["signal", int(signal.SIGCONT), 2**22 + 5]},
    ]
    lines = "".join(json.dumps(entry) + "\n" for entry in entries) + '{"number": 5, "un'
    done = subprocess.run(HEALER, input=lines, text=True, capture_output=True, timeout=20, check=True)
    assert "healer: could not undo request" in done.stderr
    assert "healer: could not undo no such action" in done.stderr
    assert "signal" not in done.stderr, "a process that is gone needs no healing"
    until((tmp_path / "healed").exists)


def test_the_latest_action_is_performed_first(tmp_path: Path) -> None:
    asleep = [subprocess.Popen(["sleep", "600"]) for _ in range(2)]
    entries = [{"number": at, "undo": ["file_limit", it.pid, 1000 + at, 2000]} for at, it in enumerate(asleep)]
    entries.append({"number": 9, "undo": ["file_limit", asleep[0].pid, 1900, 2000]})
    lines = "".join(json.dumps(entry) + "\n" for entry in entries)
    subprocess.run(HEALER, input=lines, text=True, timeout=20, check=True)
    limits = [resource.prlimit(it.pid, resource.RLIMIT_FSIZE)[0] for it in asleep]
    for it in asleep:
        it.kill()
        it.wait()
    assert limits == [1000, 1001]


def test_undo_performs_an_action_once(tmp_path: Path) -> None:
    undo_log = UndoLog(tmp_path / "healer.log")
    with subprocess.Popen(["sleep", "600"]) as asleep:
        asleep.send_signal(signal.SIGSTOP)
        until(lambda: target_processes.stopped(asleep.pid))
        undo_id = undo_log.add("signal", int(signal.SIGCONT), asleep.pid)
        undo_log.undo(undo_id)
        until(lambda: not target_processes.stopped(asleep.pid))
        asleep.send_signal(signal.SIGSTOP)
        until(lambda: target_processes.stopped(asleep.pid))
        undo_log.undo(undo_id)
        undo_log.close()
        time.sleep(0.2)
        assert target_processes.stopped(asleep.pid), "the action is no longer pending"
        asleep.kill()


def test_an_action_that_fails_stays_pending(tmp_path: Path) -> None:
    undo_log = UndoLog(tmp_path / "healer.log")
    undo_id = undo_log.add("request", "DELETE", "http://127.0.0.1:9/proxies/x")
    with pytest.raises(OSError, match="refused"):
        undo_log.undo(undo_id)
    assert list(undo_log._actions) == [undo_id]
    undo_log.close()
    assert "could not undo request" in (tmp_path / "healer.log").read_text()


def test_a_request_ignores_an_http_proxy(
    fault_proxy: FaultProxy, proxied: Proxied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    perform(["request", "DELETE", f"http://{fault_proxy.api}/proxies/{proxied.name}"])
    assert fault_proxy.request("GET", f"/proxies/{proxied.name}").status_code == 404


def test_the_log_still_works_after_the_healer_has_died(tmp_path: Path) -> None:
    undo_log = UndoLog(tmp_path / "healer.log")
    first = undo_log.add("shell", "true")
    assert undo_log._healer is not None
    undo_log._healer.kill()
    undo_log._healer.wait()
    undo_log.drop(first)
    undo_log.add("shell", "true")
    undo_log.close()


def test_without_an_action_no_healer_starts(tmp_path: Path) -> None:
    undo_log = UndoLog(tmp_path / "healer.log")
    undo_log.drop(7)
    undo_log.undo(0)
    undo_log.close()
    assert list(tmp_path.iterdir()) == []
