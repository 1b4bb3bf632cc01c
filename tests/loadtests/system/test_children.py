"""Child processes: what they inherit from the process that starts them."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from chatswarm.loadtests.system.children import Child, free_port, python

POISON = "raise SystemExit(9)"


def log_of(child: Child) -> str:
    child.process.wait(20)
    child.kill()
    return child.log.read_text(encoding="utf-8")


@pytest.mark.parametrize("through", ["working folder", "PYTHONPATH", "an empty part of PYTHONPATH"])
def test_stray_modules_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through: str) -> None:
    for name in ("json", "argparse", "typing", "logging", "msgspec", "chatswarm/__init__"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(POISON, encoding="utf-8")
    if through == "PYTHONPATH":
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    if through.startswith("an empty"):
        monkeypatch.setenv("PYTHONPATH", ":/nowhere")
    child = Child(python("chatswarm.loadtests.faults.proxy", "--help"), tmp_path / "log", cwd=tmp_path)
    said = log_of(child)
    assert child.process.returncode == 0, said
    assert "--api" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [("PYTHONWARNINGS", "error"), ("PYTHONDEVMODE", "1"), ("PYTHONOPTIMIZE", "2"), ("PYTHONASYNCIODEBUG", "1")],
)
def test_pythons_environment_variables_have_no_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    command = python("chatswarm.loadtests.faults.proxy")
    shown = "import sys, asyncio; f = sys.flags; "
    shown += "print(sys.warnoptions, f.dev_mode, f.optimize, asyncio.coroutines._is_debug_mode())"
    child = Child([sys.executable, command[1].replace("m", "c"), shown], tmp_path / "log")
    assert log_of(child).strip() == "[] False 0 False"


def test_children_find_a_chatswarm_that_is_on_pythonpath(monkeypatch: pytest.MonkeyPatch) -> None:
    from chatswarm.loadtests.system import children

    monkeypatch.setenv("PYTHONPATH", f"/nowhere:{Path(children.__file__).resolve().parents[3]}")
    assert "E" not in python("a.module")[1]
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    assert "E" in python("a.module")[1]
    assert python("a.module", "--flag")[2:] == ["a.module", "--flag"]


def test_hidden_variables_are_not_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATSWARM_LIST_SIZE", "1")
    monkeypatch.setenv("OF_THEIRS", "2")
    shown = (
        "import os; print(os.environ.get('CHATSWARM_LIST_SIZE'), os.environ['CHATSWARM_BUS'], os.environ['OF_THEIRS'])"
    )
    child = Child(
        [sys.executable, "-c", shown], tmp_path / "log", env={"CHATSWARM_BUS": "given"}, hidden_prefixes=("CHATSWARM_",)
    )
    assert log_of(child).strip() == "None given 2"


def test_a_free_port_is_kept_for_one_server_after_another() -> None:
    port = free_port()
    for _ in range(2):
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            pass


def test_a_forked_process_that_disowns_a_child_does_not_keep_it_alive(tmp_path: Path) -> None:
    """Both ways in which a child hears that its parent has gone: the end of its input, and of its lifeline."""
    waits = "import os, sys; os.read(int(sys.argv[1]), 1); sys.stdin.read(); print('over')"
    child = Child([sys.executable, "-c", waits, "{lifeline}"], tmp_path / "log", piped=True)
    forked = os.fork()
    if not forked:
        child.disown()
        signal.pause()
        os._exit(0)
    try:
        assert child.process.stdin is not None
        assert child.process.stdout is not None
        child.process.stdin.close()
        os.close(child._hold)
        child._hold = -1
        assert child.process.stdout.read() == b"over\n"
        assert child.process.wait(20) == 0
    finally:
        os.kill(forked, signal.SIGKILL)
        os.waitpid(forked, 0)
        child.kill()
