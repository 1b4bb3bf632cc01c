"""How a backend ends: killed, stopped with cooperative or stalled dashboards, or orphaned."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from chatswarm.loadtests.system.children import free_port

from .servers import (
    COMMAND,
    PATIENCE,
    Backend,
    clean_environment,
    client_frame,
    frame,
    is_listening,
    raw_dashboard,
    running,
    until,
)

GRACE = 3.0


def keep_sending(backend: Backend, chat_id: str, accepted: list[str], unknown: list[str], end: threading.Event) -> None:
    """Send messages one at a time, on a new connection, until the backend is gone."""
    with httpx.Client(base_url=f"http://127.0.0.1:{backend.port}", timeout=PATIENCE, trust_env=False) as http:
        for number in range(1_000_000):
            if end.is_set():
                return
            text = f"{chat_id} {number}"
            try:
                answer = http.post(f"/api/users/chats/{chat_id}/send", json={"content": text})
            except httpx.TransportError:
                unknown.append(text)
                return
            assert answer.status_code == 200
            accepted.append(text)


def test_a_message_is_on_disk_when_the_backend_is_killed_right_after_the_response(backend: Backend) -> None:
    """Promise 1: a 2xx means that the message is on disk, and will be shown."""
    chat_id = backend.new_chat()
    for number in range(3):
        with socket.create_connection(("127.0.0.1", backend.port), PATIENCE) as raw:
            body = b'{"content": "m%d"}' % number
            head = f"POST /api/users/chats/{chat_id}/send HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            raw.sendall(head.encode() + body)
            assert raw.recv(12) == b"HTTP/1.1 200"
            backend.stop(signal.SIGKILL)
        backend.start()
        assert backend.texts(chat_id) == [f"m{each}" for each in range(number + 1)]
        (user,) = backend.http.get("/api/debug/users-chats").json()["users"]
        assert user["chats"][0]["messages"][-1]["text"] == f"m{number}"


def test_no_accepted_message_is_lost_when_killed_under_load(backend: Backend) -> None:
    """Promise 1."""
    for round_ in range(2):
        chats = [backend.new_chat(f"{round_}.{number}@x") for number in range(8)]
        accepted: list[list[str]] = [[] for _ in chats]
        unknown: list[list[str]] = [[] for _ in chats]
        end = threading.Event()
        threads = [
            threading.Thread(target=keep_sending, args=(backend, *each, end))
            for each in zip(chats, accepted, unknown, strict=True)
        ]
        for thread in threads:
            thread.start()
        until(lambda: sum(map(len, accepted)) > 300)  # noqa: B023
        assert backend.stop(signal.SIGKILL) == -signal.SIGKILL
        for thread in threads:
            thread.join(PATIENCE)
        backend.start()
        for number, chat_id in enumerate(chats):
            texts = backend.texts(chat_id)
            # In order, each once; the one that was in flight may or may not be stored.
            assert texts[: len(accepted[number])] == accepted[number]
            assert texts[len(accepted[number]) :] in ([], unknown[number])
        users = backend.http.get("/api/debug/users-chats").json()["users"]
        totals = {chat["chat_id"]: chat["total_messages"] for user in users for chat in user["chats"]}
        for number, chat_id in enumerate(chats):
            assert totals[chat_id] >= len(accepted[number])


def everything(dashboard: ClientConnection) -> tuple[list[int], int | None]:
    """The ids of all further messages that a dashboard receives, and its close code."""
    received: list[int] = []
    try:
        while True:
            received.append(frame(dashboard)["data"]["message_id"])
    except ConnectionClosed as closed:
        return received, closed.rcvd.code if closed.rcvd else None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_time_with_every_kind_of_dashboard(tmp_path: Path, number: signal.Signals) -> None:
    """Promise 7: 1012, and an exit in time despite a stalled reader and a dashboard that has sent Close."""
    with running(tmp_path, "--grace", f"{GRACE}s", "--unsent-limit", "60s") as backend:
        chat_id = backend.new_chat()
        with backend.dashboard() as good, contextlib.ExitStack() as raws:
            stalled = raws.enter_context(raw_dashboard(backend.port, receive_buffer=4096))
            for _ in range(3):
                raws.enter_context(raw_dashboard(backend.port, subscribe=False))
            while backend.metric("chat_unsent_bytes") == 0:
                backend.send_many([chat_id], 100)
            # This one sends Close while bytes for it are unsent, so its connection cannot close by itself.
            leaving = raws.enter_context(raw_dashboard(backend.port, receive_buffer=4096))
            backend.send_many([chat_id] * 10, 400)
            leaving.sendall(client_frame(0x88, b"\x03\xe8"))
            half = raws.enter_context(raw_dashboard(backend.port))
            half.sendall(client_frame(0x01, b'{"act'))
            idle = raws.enter_context(contextlib.closing(httpx.Client()))
            idle.get(f"http://127.0.0.1:{backend.port}/health")
            started = time.monotonic()
            assert backend.stop(number) == 0
            # The grace time, plus some time for a busy machine and for the process to exit.
            assert time.monotonic() - started < GRACE + 2
            _, code = everything(good)
            assert code == 1012
            assert stalled.fileno() >= 0
    assert "Traceback" not in backend.errors
    assert "InvalidState" not in backend.errors


def test_a_stopped_backend_refuses_connections_and_finishes_accepted_requests(tmp_path: Path) -> None:
    """Promise 7: stop accepting, finish accepted requests, and announce their messages before 1012."""
    with running(tmp_path, "--grace", "50s") as backend:
        chat_id = backend.new_chat()
        body = b'{"content": "begun before the end"}'
        head = f"POST /api/users/chats/{chat_id}/send HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        with backend.dashboard() as dashboard, socket.create_connection(("127.0.0.1", backend.port), PATIENCE) as raw:
            raw.sendall(head.encode() + body[:5])
            assert backend.http.get("/health").status_code == 200
            assert backend.process is not None
            backend.process.send_signal(signal.SIGTERM)
            until(lambda: not is_listening(backend.port))
            raw.sendall(body[5:])
            assert raw.recv(12) == b"HTTP/1.1 200"
            assert everything(dashboard) == ([1], 1012)
            assert backend.stop() == 0
        backend.start()
        assert backend.texts(chat_id) == ["begun before the end"]


def test_when_stopped_under_load_every_response_is_true_and_every_frame_sent(backend: Backend) -> None:
    """Promise 7: accepted messages are stored and announced."""
    chats = [backend.new_chat(f"{number}@x") for number in range(8)]
    accepted: list[list[str]] = [[] for _ in chats]
    unknown: list[list[str]] = [[] for _ in chats]
    end = threading.Event()
    threads = [
        threading.Thread(target=keep_sending, args=(backend, *each, end))
        for each in zip(chats, accepted, unknown, strict=True)
    ]
    with backend.dashboard() as dashboard:
        for thread in threads:
            thread.start()
        until(lambda: sum(map(len, accepted)) > 300)
        assert backend.stop() == 0
        for thread in threads:
            thread.join(PATIENCE)
        received, code = everything(dashboard)
    assert code == 1012
    assert received == list(range(1, len(received) + 1))
    assert len(received) >= sum(map(len, accepted))
    backend.start()
    for number, chat_id in enumerate(chats):
        assert backend.texts(chat_id)[: len(accepted[number])] == accepted[number]


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    read, write = os.pipe()
    port = free_port()
    with (tmp_path / "err.log").open("wb") as err:
        process = subprocess.Popen(
            [*COMMAND, "--port", str(port), "--database", f"sqlite:///{tmp_path}/a.db", "--lifeline-fd", str(read)],
            pass_fds=[read],
            stdout=err,
            stderr=err,
            env=clean_environment(),
        )
    os.close(read)
    try:
        until(lambda: b"Uvicorn running on" in (tmp_path / "err.log").read_bytes())
        os.write(write, b"still here")
        assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
        os.close(write)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


class TestStoreFailures:
    def test_a_lock_by_another_process_is_503_and_recovers(self, backend: Backend) -> None:
        """Promise 1: 503 means that nothing was stored."""
        chat_id = backend.new_chat()
        backend.send(chat_id, "before")
        with closing(sqlite3.connect(backend.database, isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            answers = [
                backend.send(chat_id, "during"),
                backend.http.get("/health"),
                backend.http.post("/api/users/chats/create", json={"email": "new@x"}),
                backend.http.post("/api/users/data", json={"email": "new@x"}),
            ]
            assert [answer.status_code for answer in answers] == [503] * 4
            assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
            # Reads still work.
            assert backend.texts(chat_id) == ["before"]
            assert backend.http.get("/api/debug/users-chats").status_code == 200
            lock.execute("ROLLBACK")
        assert backend.http.get("/health").status_code == 200
        assert backend.send(chat_id, "after").json()["seq"] == 2
        assert backend.texts(chat_id) == ["before", "after"]
        assert backend.metric('chat_messages_refused_total{reason="unavailable"}') == 1

    def test_a_full_disk_is_503_and_recovers(self, backend: Backend) -> None:
        assert backend.process is not None
        chat_id = backend.new_chat()
        wal = backend.database.with_name("chat.db-wal")
        limits = resource.prlimit(backend.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(backend.process.pid, resource.RLIMIT_FSIZE, (wal.stat().st_size + 30_000, limits[1]))
        accepted = []
        for number in range(100):
            answer = backend.send(chat_id, f"{number} {'x' * 5000}")
            if answer.status_code != 200:
                break
            accepted.append(f"{number} {'x' * 5000}")
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
        resource.prlimit(backend.process.pid, resource.RLIMIT_FSIZE, (1000, limits[1]))
        assert backend.http.get("/health").status_code == 503
        assert backend.send(chat_id, "still full").status_code == 503
        assert backend.texts(chat_id) == accepted
        resource.prlimit(backend.process.pid, resource.RLIMIT_FSIZE, limits)
        assert backend.send(chat_id, "after").json()["seq"] == len(accepted) + 1
        assert backend.texts(chat_id) == [*accepted, "after"]
        backend.stop(signal.SIGKILL)
        backend.start()
        assert backend.texts(chat_id) == [*accepted, "after"]

    def test_a_retry_after_a_lost_response_stores_nothing_twice(self, backend: Backend) -> None:
        """Promise 2, across a kill."""
        chat_id = backend.new_chat()
        first = backend.send(chat_id, "once", "key 1").json()
        backend.stop(signal.SIGKILL)
        backend.start()
        with backend.dashboard() as dashboard:
            assert backend.send(chat_id, "once", "key 1").json() == first
            assert backend.send(chat_id, "twice", "key 2").json()["seq"] == 2
            assert frame(dashboard)["data"]["seq"] == 2, "a retry is not announced again"
        assert backend.texts(chat_id) == ["once", "twice"]
        for key in ("", "x" * 256):
            assert backend.send(chat_id, "x", key).status_code == 400
