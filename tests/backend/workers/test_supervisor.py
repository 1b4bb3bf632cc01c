"""Promise 7 with several workers: they exit with their supervisor, one by one, in time or killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from chatswarm.backend.store import schema
from tests.backend.servers import COMMAND, PATIENCE, Backend, clean_environment, frame, raw_dashboard, running, until

GRACE = 3.0


def ready(backend: Backend, count: int) -> list[psutil.Process]:
    """The workers, once all of them serve."""
    until(lambda: backend.metric("chat_workers_up") == count)
    return [psutil.Process(pid) for pid in backend.workers()]


def gone(processes: list[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


def test_all_workers_stop_in_time_with_dashboards_that_do_not_read(tmp_path: Path) -> None:
    flags = ("--workers", "2", "--grace", f"{GRACE}s", "--unsent-limit", "60s")
    with running(tmp_path, *flags) as backend, ExitStack() as raws:
        workers = ready(backend, 2)
        chat_id = backend.new_chat()
        stalled = "chat_unsent_bytes{worker}"
        # Whichever worker is awake accepts, so it may be the same one many times.
        while not all(backend.by_worker("chat_dashboards_connected{worker}").values()):
            raws.enter_context(raw_dashboard(backend.port, receive_buffer=4096))
        while not all(backend.by_worker(stalled).values()):
            backend.send_many([chat_id], 100)
        with backend.dashboard() as good:
            started = time.monotonic()
            assert backend.stop() == 0
            assert time.monotonic() - started < GRACE + 2
            with pytest.raises(ConnectionClosed) as closed:
                frame(good)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
        assert gone(workers)
    assert "killed" not in backend.errors
    assert "Traceback" not in backend.errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_group_counts_once(tmp_path: Path, number: signal.Signals) -> None:
    backend = Backend(tmp_path, ("--workers", "2"))
    try:
        backend.start(os.setsid)
        assert backend.process is not None
        workers = ready(backend, 2)
        with backend.dashboards_everywhere(2) as dashboards:
            os.killpg(backend.process.pid, number)
            assert backend.process.wait(PATIENCE) == 0
            for dashboard in dashboards:
                with pytest.raises(ConnectionClosed) as closed:
                    frame(dashboard)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1012
        assert gone(workers)
        # A second signal would make a worker exit without closing its store.
        assert backend.errors.count("Application shutdown complete") == 2
        assert "another one is started" not in backend.errors
    finally:
        backend.stop(signal.SIGKILL)


def test_a_worker_that_does_not_exit_in_time_is_killed(tmp_path: Path) -> None:
    with running(tmp_path, "--workers", "2", "--grace", "1s") as backend:
        workers = ready(backend, 2)
        workers[0].send_signal(signal.SIGSTOP)
        assert backend.stop() == 1
        assert gone(workers)
        assert f"[{workers[0].pid}] did not end in time and is killed" in backend.errors


def test_no_process_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    with running(tmp_path, "--workers", "2") as backend:
        workers = ready(backend, 2)
        # A worker that was started later must notice, too.
        workers[0].send_signal(signal.SIGKILL)
        until(lambda: len({each.pid for each in workers} - set(backend.workers())) == 1 and len(backend.workers()) == 2)
        workers = [psutil.Process(pid) for pid in backend.workers()]
        assert backend.stop(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: gone(workers))
        # The port is free again.
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{backend.port}/health", trust_env=False)
        backend.start()
        ready(backend, 2)
        assert backend.stop() == 0


def test_the_supervisor_ends_with_its_parent(tmp_path: Path) -> None:
    read, write = os.pipe()
    backend = Backend(tmp_path, ("--workers", "2", "--lifeline-fd", str(read)))
    with (tmp_path / "err.log").open("wb") as err:
        backend.process = subprocess.Popen(
            [*COMMAND, "--port", "0", "--database", f"sqlite:///{backend.database}", *backend.flags],
            pass_fds=[read],
            stdout=err,
            stderr=err,
            env=clean_environment(),
        )
    os.close(read)
    try:
        until(lambda: backend.errors.count("Uvicorn running on") == 2)
        workers = [psutil.Process(pid) for pid in backend.workers()]
        os.close(write)
        assert backend.process.wait(PATIENCE) == 0
        assert gone(workers)
    finally:
        backend.process.kill()
        backend.process.wait()


def test_workers_that_cannot_start_are_not_restarted_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    schema.prepare(path)
    # It still looks like our database, but a worker cannot read it.
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE messages")
    ended = subprocess.run(
        [*COMMAND, "--port", "0", "--database", f"sqlite:///{path}", "--workers", "2"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=clean_environment(),
        check=False,
    )
    assert ended.returncode == 1
    assert "could not start" in ended.stderr
