"""What is pledged is undone whatever happens to whoever pledged it."""

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

PLEDGING = """
import signal, sys, time
from pathlib import Path
# Background jobs of a shell inherit that it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from chatswarm.loadtests.faults.undo_log import UndoLog
pledges = UndoLog(Path(sys.argv[1]) / "healer.log")
dropped = pledges.make("shell", f"touch {sys.argv[1]}/dropped")
for number in range(3):
    pledges.make("shell", f"echo {number} >> {sys.argv[1]}/healed; sleep 0.1")
pledges.drop(dropped)
print("ready", flush=True)
time.sleep(600)
"""


def pledger(folder: Path) -> subprocess.Popen[bytes]:
    """A process that has pledged, and waits to be ended."""
    started = subprocess.Popen([sys.executable, "-c", PLEDGING, str(folder)], stdout=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"
    return started


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_that_ends_has_its_pledges_kept(tmp_path: Path, number: signal.Signals) -> None:
    with pledger(tmp_path) as started:
        started.send_signal(number)
    until(lambda: (tmp_path / "healed").exists() and len((tmp_path / "healed").read_text().split()) == 3)
    assert not (tmp_path / "dropped").exists()


def test_a_healer_ends_when_it_has_healed(tmp_path: Path) -> None:
    done = subprocess.run(HEALER, input=b'{"number": 1, "undo": ["shell", "exit 3"]}\n', timeout=20, check=True)
    assert done.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_do_not_end_it_before_it_has_healed(tmp_path: Path, number: signal.Signals) -> None:
    pledges = UndoLog(tmp_path / "healer.log")
    pledges.make("shell", f"touch {tmp_path}/healed")
    assert pledges._healer is not None
    until(lambda: ignores(pledges._healer.pid if pledges._healer else 0, number))
    pledges._healer.send_signal(number)
    pledges.close()
    until((tmp_path / "healed").exists)


def ignores(pid: int, number: signal.Signals) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = int(next(line for line in lines if line.startswith("SigIgn:")).split()[1], 16)
    return bool(mask >> (number - 1) & 1)


def test_one_that_cannot_be_undone_keeps_no_other_from_it(tmp_path: Path) -> None:
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
    assert "signal" not in done.stderr, "who is gone needs no healing"
    until((tmp_path / "healed").exists)


def test_the_latest_is_undone_first(tmp_path: Path) -> None:
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


def test_redeemed_here_and_now_once(tmp_path: Path) -> None:
    pledges = UndoLog(tmp_path / "healer.log")
    with subprocess.Popen(["sleep", "600"]) as asleep:
        asleep.send_signal(signal.SIGSTOP)
        until(lambda: target_processes.stopped(asleep.pid))
        pledge = pledges.make("signal", int(signal.SIGCONT), asleep.pid)
        pledges.redeem(pledge)
        until(lambda: not target_processes.stopped(asleep.pid))
        asleep.send_signal(signal.SIGSTOP)
        until(lambda: target_processes.stopped(asleep.pid))
        pledges.redeem(pledge)
        pledges.close()
        time.sleep(0.2)
        assert target_processes.stopped(asleep.pid), "what was redeemed is pledged no more"
        asleep.kill()


def test_what_cannot_be_redeemed_stays_pledged(tmp_path: Path) -> None:
    pledges = UndoLog(tmp_path / "healer.log")
    pledge = pledges.make("request", "DELETE", "http://127.0.0.1:9/proxies/x")
    with pytest.raises(OSError, match="refused"):
        pledges.redeem(pledge)
    assert list(pledges._pledged) == [pledge]
    pledges.close()
    assert "could not undo request" in (tmp_path / "healer.log").read_text()


def test_a_request_takes_no_way_round(
    fault_proxy: FaultProxy, proxied: Proxied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    perform(["request", "DELETE", f"http://{fault_proxy.api}/proxies/{proxied.name}"])
    assert fault_proxy.request("GET", f"/proxies/{proxied.name}").status_code == 404


def test_a_healer_that_has_died_takes_nobody_with_it(tmp_path: Path) -> None:
    pledges = UndoLog(tmp_path / "healer.log")
    first = pledges.make("shell", "true")
    assert pledges._healer is not None
    pledges._healer.kill()
    pledges._healer.wait()
    pledges.drop(first)
    pledges.make("shell", "true")
    pledges.close()


def test_no_pledge_no_healer(tmp_path: Path) -> None:
    pledges = UndoLog(tmp_path / "healer.log")
    pledges.drop(7)
    pledges.redeem(0)
    pledges.close()
    assert list(tmp_path.iterdir()) == []
