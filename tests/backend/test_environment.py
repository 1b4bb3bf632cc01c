"""A backend must survive its environment: foreign variables, closed streams, odd folders, signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from chatswarm.loadtests.system.children import free_port

from .servers import (
    COMMAND,
    PATIENCE,
    clean_environment,
    frame,
    fresh_client,
    is_listening,
    raw_dashboard,
    running,
    until,
)


@contextmanager
def started(
    folder: Path, *flags: str, environment: Mapping[str, str] | None = None, redirections: str = ""
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A backend that answers, with more in its environment, in `folder` and with a shell's redirections; its port."""
    port = free_port()
    command = [*COMMAND, "--port", str(port), *flags]
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", *command],
        cwd=folder,
        env={**clean_environment(), **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        with fresh_client(port) as http:

            def answers() -> bool:
                return is_listening(port) and http.get("/health").status_code == 200

            until(lambda: process.poll() is not None or answers())
        assert process.poll() is None, process.communicate()[1].decode()
        yield process, port
    finally:
        process.kill()
        process.communicate()


def stopped(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """The exit code after SIGTERM, and the output on standard error."""
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, errors.decode()


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONWARNINGS": "error"},
        {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error"},
        {"PYTHONOPTIMIZE": "2", "FORCE_COLOR": "1"},
        {"WEB_CONCURRENCY": "four", "FORWARDED_ALLOW_IPS": "?", "UVICORN_PORT": "1", "UVICORN_RELOAD": "1"},
        {"TMPDIR": "/nowhere", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        {"CHATSWARM_BUS": "", "CHATSWARM_WORKERS": "", "CHATSWARM_DASHBOARD_TOKEN_FILE": ""},
    ],
    ids=" ".join,
)
def test_variables_for_other_programs_change_nothing(tmp_path: Path, environment: Mapping[str, str]) -> None:
    with started(tmp_path, environment=environment) as (process, _):
        code, errors = stopped(process)
    assert code == 0
    assert [line for line in errors.splitlines() if "INFO" not in line] == []


@pytest.mark.parametrize("flags", [(), ("--workers", "2")], ids=["alone", "workers"])
@pytest.mark.parametrize("name", ["PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"])
def test_the_metrics_folder_of_a_gunicorn_is_left_alone(tmp_path: Path, name: str, flags: Sequence[str]) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    with started(tmp_path, *flags, environment={name: str(theirs)}) as (process, port):
        with fresh_client(port) as http:
            assert "chat_messages_accepted_total" in http.get("/metrics").text
        assert stopped(process)[0] == 0
    assert list(theirs.iterdir()) == []
    with started(tmp_path, *flags, environment={name: str(tmp_path / "nowhere")}):
        pass


@pytest.mark.parametrize("flags", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_closed_standard_streams_are_not_reused_for_a_socket_or_the_database(
    tmp_path: Path, flags: Sequence[str]
) -> None:
    with started(tmp_path, *flags, redirections="<&- >&- 2>&-") as (process, _):
        parent = psutil.Process(process.pid)
        for each in (parent, *parent.children()):
            assert [Path(f"/proc/{each.pid}/fd/{number}").readlink() for number in range(3)] == [Path(os.devnull)] * 3
        assert stopped(process)[0] == 0


def test_the_chat_goes_on_when_the_reader_of_its_output_is_gone(tmp_path: Path) -> None:
    port = free_port()
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [*COMMAND, "--port", str(port)], cwd=tmp_path, env=clean_environment(), stdout=writing, stderr=writing
    )
    os.close(writing)
    try:
        seen = b""
        while b"Uvicorn running on" not in seen:
            piece = os.read(reading, 4096)
            assert piece, seen
            seen += piece
        os.close(reading)
        with fresh_client(port) as http, raw_dashboard(port):
            chat_id = http.post("/api/users/chats/create", json={"email": "ann@example.org"}).json()["chat_id"]
            for _ in range(3):
                assert http.post(f"/api/users/chats/{chat_id}/send", json={"content": "✅"}).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", [b"a#b?c%20d e", b"not \xff\xfe UTF-8", b"quote'\"\n"], ids=repr)
def test_the_working_directory_may_have_any_name(tmp_path: Path, name: bytes) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    folder.mkdir()
    with started(folder) as (process, _):
        assert stopped(process)[0] == 0
    assert [each.name for each in folder.iterdir()] == ["chatswarm.db"]


@pytest.mark.parametrize("flags", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_closing_the_terminal_is_a_clean_stop(tmp_path: Path, flags: Sequence[str]) -> None:
    """Promise 7, for SIGHUP."""
    with running(tmp_path, *flags) as backend, backend.dashboard() as dashboard:
        backend.send(backend.new_chat(), "x")
        assert frame(dashboard)["type"] == "chat_updates"
        assert backend.stop(signal.SIGHUP) == 0
        assert "Traceback" not in backend.errors
    assert not backend.database.with_name("chat.db-wal").exists()


@pytest.mark.parametrize("second", [signal.SIGHUP, signal.SIGTERM], ids=["of the shell", "of systemd"])
def test_a_second_signal_after_sighup_forces_no_exit(tmp_path: Path, second: signal.Signals) -> None:
    """A forced exit of uvicorn would not close the store."""
    with running(tmp_path, "--grace", "50s") as backend:
        chat_id = backend.new_chat()
        body = b'{"content": "begun before the end"}'
        head = f"POST /api/users/chats/{chat_id}/send HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", backend.port), PATIENCE) as raw:
            raw.sendall(head.encode() + body[:5])
            assert backend.http.get("/health").status_code == 200
            assert backend.process is not None
            backend.process.send_signal(signal.SIGHUP)
            until(lambda: not is_listening(backend.port))
            backend.process.send_signal(second)
            raw.sendall(body[5:])
            assert raw.recv(12) == b"HTTP/1.1 200"
        assert backend.process.wait(PATIENCE) == 0
        assert "Application shutdown complete" in backend.errors
        assert not backend.database.with_name("chat.db-wal").exists()


def test_a_refusal_with_no_reader_still_has_its_exit_code(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [*COMMAND, "--port", "x"], cwd=tmp_path, env=clean_environment(), stderr=writing, timeout=PATIENCE, check=False
    )
    os.close(writing)
    assert ended.returncode == 2


@pytest.mark.parametrize("flags", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_under_nohup_closing_the_terminal_changes_nothing(tmp_path: Path, flags: Sequence[str]) -> None:
    def nohup() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with running(tmp_path, *flags, before=nohup) as backend:
        assert backend.process is not None
        for pid in (backend.process.pid, *(backend.workers() if flags else ())):
            ignored = next(
                line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigIgn")
            )
            assert int(ignored.split()[1], 16) >> (signal.SIGHUP - 1) & 1
        backend.process.send_signal(signal.SIGHUP)
        assert backend.send(backend.new_chat(), "x").status_code == 200
        assert backend.stop() == 0
