"""The clean chat keeps each promise under a manual fault, and each broken chat breaks the one that it names."""

import asyncio
import json
import os
import resource
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.backend.servers import client_frame, close_code, flood, raw_dashboard
from tests.e2e.command import QUICK, chatswarm, scenario, until
from tests.resilience.chats.connecting import SlowHandshakes
from tests.resilience.chats.names import CHATS, CLEAN

from .started import Started, broker, ended_within, kill_group, started

LONG = 3.0
"""Seconds after which a response no longer counts; normally it takes milliseconds."""
ENOUGH_CONNECTIONS = 16
"""Enough connections to reach both workers."""


def both(broken: str) -> pytest.MarkDecorator:
    """The clean chat keeps the promise, the broken one does not."""
    return pytest.mark.parametrize(("name", "kept"), [(CLEAN, True), (broken, False)])


@contextmanager
def client(chat: Started, timeout: float = 20) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=chat.url, timeout=timeout, trust_env=False, verify=False) as http:
        yield http


def new_chat(http: httpx.Client) -> str:
    response = http.post("/api/users/chats/create", json={"email": "ann@example.org", "name": "Ann"})
    chat: str = response.raise_for_status().json()["chat_id"]
    return chat


def send(http: httpx.Client, chat: str, text: str) -> httpx.Response:
    return http.post(f"/api/users/chats/{chat}/send", json={"content": text, "role": "user"})


def texts(http: httpx.Client, chat: str) -> list[str]:
    return [message["text"] for message in http.get(f"/api/chats/{chat}").json()["messages"]]


def listed(http: httpx.Client) -> str:
    return http.get("/api/debug/users-chats").text


def test_the_clean_chat_passes_a_run_without_faults(tmp_path: Path) -> None:
    with started(CLEAN, tmp_path) as chat:
        options = ["--target", chat.url, "--json", "--out", "run"]
        result = chatswarm("run", scenario(tmp_path, QUICK), *options, folder=tmp_path)
    assert result.verdict["reasons"] == []
    assert result.verdict["findings"] == []
    assert result.code == 0


@both("answers-before-the-commit")
def test_accepted_messages_survive_a_kill(name: str, kept: bool, tmp_path: Path) -> None:
    sent = [f"message {number}" for number in range(10)]
    with started(name, tmp_path) as chat:
        with client(chat) as http:
            chat_id = new_chat(http)
            assert [send(http, chat_id, text).status_code for text in sent] == [200] * 10
            assert texts(http, chat_id) == sent
            assert sent[-1] in listed(http)
        kill_group(chat.child)
        chat.start()
        with client(chat) as http:
            assert (texts(http, chat_id) == sent) is kept
            assert (sent[-1] in listed(http)) is kept
            assert send(http, chat_id, "later").status_code == 200


def test_write_behind_loses_nothing_on_a_deployment(tmp_path: Path) -> None:
    with started("answers-before-the-commit", tmp_path) as chat:
        with client(chat) as http:
            chat_id = new_chat(http)
            send(http, chat_id, "one")
        assert ended_within(chat.child, 10)
        chat.start()
        with client(chat) as http:
            assert texts(http, chat_id) == ["one"]


@both("drops-what-waited")
def test_sends_that_waited_during_a_pause_are_late_but_not_lost(name: str, kept: bool, tmp_path: Path) -> None:
    waited = [f"waited {number}" for number in range(4)]
    with started(name, tmp_path) as chat, client(chat) as http, ThreadPoolExecutor(4) as pool:
        chat_id = new_chat(http)
        send(http, chat_id, "before")
        chat.child.signal(signal.SIGSTOP)
        responses = [pool.submit(send, http, chat_id, text) for text in waited]
        time.sleep(LONG)
        chat.child.signal(signal.SIGCONT)
        assert [response.result().status_code for response in responses] == [200] * 4
        assert (set(texts(http, chat_id)) == {"before", *waited}) is kept
        until(lambda: send(http, chat_id, "again").status_code == 200 and "again" in texts(http, chat_id))


@contextmanager
def locked(chat: Started) -> Iterator[None]:
    """Another writer holds the database's lock."""
    other = sqlite3.connect(chat.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


@contextmanager
def full(chat: Started) -> Iterator[None]:
    """The process may not grow any file."""
    process, (_, maximum) = chat.child.process.pid, resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = chat.database.with_name(f"{chat.database.name}-wal").stat().st_size
    resource.prlimit(process, resource.RLIMIT_FSIZE, (largest, maximum))
    yield
    resource.prlimit(process, resource.RLIMIT_FSIZE, (maximum, maximum))


@pytest.mark.parametrize("fault", [locked, full])
@both("swallows-store-errors")
def test_a_message_that_cannot_be_stored_is_not_accepted(
    name: str, kept: bool, fault: Callable[[Started], AbstractContextManager[None]], tmp_path: Path
) -> None:
    with started(name, tmp_path) as chat, client(chat) as http:
        chat_id = new_chat(http)
        send(http, chat_id, "before")
        with fault(chat):
            response = send(http, chat_id, "meanwhile")
        assert response.status_code == (503 if kept else 200)
        assert ("Retry-After" in response.headers) is kept
        assert send(http, chat_id, "after").status_code == 200
        assert texts(http, chat_id) == ["before", "after"]


def all_accepted(chat: Started, chat_id: str, count: int) -> bool:
    """Whether `count` sends in a row are all accepted."""
    with client(chat, LONG) as http:
        try:
            return all(send(http, chat_id, "x" * 1000).status_code == 200 for _ in range(count))
        except httpx.ReadTimeout:
            return False


@both("awaits-each-dashboard")
def test_a_dashboard_that_does_not_read_blocks_neither_sends_nor_shutdown(
    name: str, kept: bool, tmp_path: Path
) -> None:
    with started(name, tmp_path) as chat, client(chat) as http:
        chat_id = new_chat(http)
        with raw_dashboard(chat.port, receive_buffer=4096):
            assert all_accepted(chat, chat_id, 200) is kept
            assert ended_within(chat.child, 6) is kept


def test_a_dashboard_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    with started(CLEAN, tmp_path) as chat, client(chat) as http:
        chat_id = new_chat(http)
        with raw_dashboard(chat.port, receive_buffer=4096) as raw:
            asyncio.run(flood(chat.port, [chat_id] * 20, 2500))
            received = b""
            while piece := raw.recv(65536):
                received += piece
            assert received.count(b"chat_message_notification") < 2500


@both("forgets-to-say-goodbye")
def test_dashboards_get_a_close_frame_on_a_deployment(name: str, kept: bool, tmp_path: Path) -> None:
    with started(name, tmp_path) as chat, raw_dashboard(chat.port) as raw:
        assert ended_within(chat.child, 10)
        assert close_code(raw) == (1012 if kept else None)
        assert chat.child.process.returncode == (0 if kept else -signal.SIGTERM)


def test_without_the_broker_workers_do_not_show_each_others_messages(tmp_path: Path) -> None:
    with ExitStack() as opened:
        bus = opened.enter_context(broker(tmp_path))
        chat = opened.enter_context(started("publishes-at-most-once", tmp_path, "--bus", bus.url))
        http = opened.enter_context(client(chat))
        chat_id = new_chat(http)
        send(http, chat_id, "with it")
        until(lambda: shown(chat, "with it") == {True})
        bus.kill()
        until(
            lambda: send(http, chat_id, "without it").status_code == 200 and shown(chat, "without it") == {True, False}
        )
        bus.start()
        until(lambda: send(http, chat_id, "again").status_code == 200 and shown(chat, "again") == {True})
        assert set(texts(http, chat_id)) == {"with it", "without it", "again"}


def shown(chat: Started, text: str) -> set[bool]:
    """Whether the list contains it, on each of several new connections."""
    seen = set()
    for _ in range(ENOUGH_CONNECTIONS):
        with client(chat) as http:
            seen.add(text in listed(http))
    return seen


def test_messages_that_a_killed_worker_did_not_publish_are_never_shown_by_others(tmp_path: Path) -> None:
    with broker(tmp_path) as bus, started("publishes-later", tmp_path, "--bus", bus.url) as chat:
        with client(chat) as http:
            chat_id = new_chat(http)
            send(http, chat_id, "long ago")
            until(lambda: shown(chat, "long ago") == {True})
        with socket.create_connection(("127.0.0.1", chat.port)) as raw:
            worker = worker_of(chat, raw)
            body = json.dumps({"content": "just now"}).encode()
            head = f"POST /api/users/chats/{chat_id}/send HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            raw.sendall(head.encode() + body)
            assert raw.recv(4096).startswith(b"HTTP/1.1 200")
            worker.kill()
        until(lambda: chat.responds() and shown(chat, "just now") == {True, False})
        assert shown(chat, "long ago") == {True}


def worker_of(chat: Started, raw: socket.socket) -> psutil.Process:
    """The worker that accepted a connection."""
    workers = psutil.Process(chat.child.process.pid).children()
    taken: list[psutil.Process] = []

    def look() -> bool:
        taken.extend(
            worker
            for worker in workers
            if any(connection.raddr == raw.getsockname() for connection in worker.net_connections("tcp4"))
        )
        return bool(taken)

    until(look)
    return taken[0]


@both("one-frame-in-flight")
def test_frames_do_not_wait_for_pongs(name: str, kept: bool, tmp_path: Path) -> None:
    with started(name, tmp_path) as chat, client(chat) as http, raw_dashboard(chat.port) as raw:
        chat_id = new_chat(http)
        for number in range(5):
            send(http, chat_id, f"message {number}")
        raw.settimeout(1)
        received = b""
        try:
            while received.count(b"chat_message_notification") < 5:
                received += raw.recv(4096)
        except TimeoutError:
            pass
        assert received.count(b"chat_message_notification") == (5 if kept else 1)
        if not kept:
            raw.sendall(client_frame(0x8A, b""))
            assert b"chat_message_notification" in raw.recv(4096)


@both("slow-handshakes")
def test_sends_do_not_wait_for_handshakes(name: str, kept: bool, tmp_path: Path) -> None:
    count = int((LONG + 2) / SlowHandshakes.handshake)
    hello = (
        b"GET /ws/dashboard HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with started(name, tmp_path) as chat, client(chat) as http:
        chat_id = new_chat(http)
        dashboards = [socket.create_connection(("127.0.0.1", chat.port)) for _ in range(count)]
        for dashboard in dashboards:
            dashboard.sendall(hello)
        time.sleep(0.5)  # until it is busy with them
        began = time.monotonic()
        send(http, chat_id, "meanwhile")
        assert (time.monotonic() - began < LONG) is kept
        for dashboard in dashboards:
            dashboard.close()


@both("dies-of-bad-frames")
def test_a_bad_frame_harms_only_its_sender(name: str, kept: bool, tmp_path: Path) -> None:
    with started(name, tmp_path) as chat, client(chat) as http, raw_dashboard(chat.port) as bad:
        chat_id = new_chat(http)
        assert send(http, chat_id, "before").status_code == 200
        with raw_dashboard(chat.port) as good:
            bad.sendall(client_frame(0x81, b"{not json"))
            bad.recv(4096)
            time.sleep(0.2)
            assert send(http, chat_id, "after").status_code == (200 if kept else 500)
            good.settimeout(1)
            if kept:
                assert b"chat_message_notification" in good.recv(4096)
            else:
                with pytest.raises(TimeoutError):
                    good.recv(4096)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (client_frame(0x81, b"\xff\xfe"), 1007),
        (client_frame(0x81, b"x" * 70_000), 1009),
        (client_frame(0xF1, b"{}"), 1002),
        (client_frame(0x82, b"{}"), None),
        (client_frame(0x81, b"[1]"), None),
        (client_frame(0x81, b'{"action": "dance"}'), None),
    ],
    ids=["bad-utf-8", "too-long", "reserved-bits", "binary", "list", "unknown-action"],
)
def test_bad_frames_get_an_error_frame_or_a_close_code(frame: bytes, code: int | None, clean: Started) -> None:
    with raw_dashboard(clean.port) as raw:
        raw.sendall(frame)
        if code:
            assert close_code(raw) == code
        else:
            assert b'"type": "error"' in raw.recv(4096)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with started(CLEAN, tmp_path_factory.mktemp("clean")) as chat:
        yield chat


@both("no-limits")
def test_idle_connections_shut_nobody_out(name: str, kept: bool, tmp_path: Path) -> None:
    with started(name, tmp_path) as chat:
        idle = [socket.create_connection(("127.0.0.1", chat.port)) for _ in range(600)]
        with client(chat, LONG) as http:
            try:
                listed(http)
                responded = True
            except httpx.TimeoutException:
                responded = False
        for connection in idle:
            connection.close()
        assert responded is kept
        until(chat.responds)


@both("lets-everybody-in")
def test_strangers_are_refused(name: str, kept: bool, tmp_path: Path) -> None:
    flags = ["--token", "secret", "--origin", "https://chat.example"]
    with started(name, tmp_path, *flags, token="secret") as chat:
        bearer = {"Authorization": "Bearer secret"}
        with client(chat) as http:
            new_chat(http)
        assert admitted(chat, "https://chat.example", bearer)
        assert admitted(chat, chat.url, bearer)
        assert admitted(chat, None, bearer)
        assert admitted(chat, "https://evil.example", bearer) is not kept
        assert admitted(chat, None, {"Authorization": "Bearer other"}) is not kept
        assert admitted(chat, None, {}) is not kept
        with client(chat) as http:
            assert ("ann" in listed(http)) is not kept


def admitted(chat: Started, origin: str | None, headers: dict[str, str]) -> bool:
    """Whether a dashboard may connect."""
    url = f"ws://127.0.0.1:{chat.port}/ws/dashboard"
    try:
        with connect(url, origin=Origin(origin) if origin else None, additional_headers=headers, proxy=None) as socket_:
            return "connected" in str(socket_.recv(timeout=20))
    except InvalidStatus as refusal:
        if refusal.response.status_code != 403:
            raise
        return False


def test_no_process_outlives_its_parent(tmp_path: Path) -> None:
    with broker(tmp_path) as bus, started("publishes-at-most-once", tmp_path, "--bus", bus.url) as chat:
        processes = [psutil.Process(chat.child.process.pid)]
        processes += processes[0].children()
        assert len(processes) == 3
        os.close(chat.child._hold)
        chat.child._hold = -1
        chat.child.process.wait(10)
        _, alive = psutil.wait_procs(processes, 10)
        assert not alive


def test_every_broken_chat_names_its_broken_promise() -> None:
    for name, chat in CHATS.items():
        assert chat.__doc__
        assert ("Broken: *" in chat.__doc__) is (name != CLEAN)
