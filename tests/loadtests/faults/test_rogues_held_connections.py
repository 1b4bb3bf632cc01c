"""Half handshakes, idle sockets and connection floods: what they send, what they leave out, what they count."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from chatswarm.loadtests.faults.rogues.rogue import CannotBeginError
from tests.backend.servers import running

from .harness import until
from .misbehaving import CLIENT_PONG, CONNECTED, PING, TEXT, Connection, attack, server

HELD_KINDS = ["half_handshakes", "idle_sockets", "connection_flood"]


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.held_connections._RETRY_DELAY", 0.05)


def patient(connection: Connection) -> None:
    connection.read_on()


def let_in(connection: Connection) -> None:
    connection.upgrade()
    connection.send(TEXT, CONNECTED)
    connection.read_on()


@pytest.mark.parametrize("kind", HELD_KINDS)
def test_a_chat_that_keeps_the_connections(kind: str) -> None:
    with server(let_in if kind == "idle_sockets" else patient) as chat:
        evidence = attack(kind, chat.url, lambda rogue: rogue.open == 30, connections=30)
        assert evidence == {
            "opened": 30,
            "closed_by_server": 0,
            "refused": 0,
            "open_at_most": 30,
            "open_at_end": 30,
        }
        until(lambda: len(chat.ended) == 30)


@pytest.mark.parametrize("kind", HELD_KINDS)
def test_the_reference_backend_keeps_the_connections(kind: str, tmp_path: Path) -> None:
    with running(tmp_path) as backend:
        evidence = attack(kind, f"http://127.0.0.1:{backend.port}", lambda rogue: rogue.opened >= 40, connections=40)
    assert evidence["opened"] >= 40
    assert evidence["refused"] == 0


@pytest.mark.parametrize("kind", HELD_KINDS)
@pytest.mark.parametrize("way", ["close", "abort"])
def test_closed_connections_are_counted_and_reopened(kind: str, way: str) -> None:
    def serve(connection: Connection) -> None:
        if kind == "idle_sockets":
            connection.upgrade()
        elif kind == "half_handshakes":
            connection.sock.recv(1 << 16)
        else:
            time.sleep(0.05)  # an immediate reset would count as refused
        if way == "abort":
            connection.abort()

    with server(serve) as chat:
        evidence = attack(kind, chat.url, lambda rogue: rogue.closed_by_server >= 20, connections=5)
    assert evidence["opened"] >= evidence["closed_by_server"] >= 20
    assert evidence["opened"] - evidence["closed_by_server"] == evidence["open_at_end"]
    assert evidence["open_at_most"] <= 5


@pytest.mark.parametrize("kind", HELD_KINDS)
def test_an_unreachable_chat(kind: str) -> None:
    with server(patient) as chat:
        url = chat.url
    with pytest.raises(CannotBeginError, match="got none: connection refused"):
        attack(kind, url, lambda _: True, connections=3)


def test_later_refusals_are_counted() -> None:
    cut = threading.Event()

    def serve(connection: Connection) -> None:
        if cut.is_set():
            connection.refuse(503)
        else:
            connection.upgrade()
            cut.wait(20)

    def after_cutting(rogue: object) -> bool:
        cut.set()
        return getattr(rogue, "refused", 0) >= 4

    with server(serve) as chat:
        evidence = attack("idle_sockets", chat.url, after_cutting, connections=2)
    assert (evidence["opened"], evidence["closed_by_server"], evidence["open_at_end"]) == (2, 2, 0)
    assert evidence["refused"] >= 4


def test_a_half_handshake_grows_byte_by_byte_and_never_completes() -> None:
    heads: dict[int, bytes] = {}

    def listen(connection: Connection) -> None:
        heads[connection.number] = b""
        while piece := connection.sock.recv(1 << 16):
            heads[connection.number] += piece

    with server(listen) as chat:
        attack(
            "half_handshakes",
            chat.url + "/prefix",
            lambda _: len(heads) == 4 and all(head.endswith(b"X-More: xxx") for head in heads.values()),
            connections=4,
            drip=0.3,
        )
    assert not [head for head in heads.values() if b"\r\n\r\n" in head]
    firsts = sorted(head.split(b"\r\n")[0] for head in heads.values())
    assert firsts == 2 * [b"GET /prefix/api/debug/users-chats HTTP/1.1"] + 2 * [b"GET /prefix/ws/dashboard HTTP/1.1"]
    assert sum(b"\r\nSec-WebSocket-Key: " in head for head in heads.values()) == 2


def test_an_idle_socket_sends_only_pongs() -> None:
    answers: list[tuple[int, bytes]] = []

    def serve(connection: Connection) -> None:
        connection.upgrade()
        connection.send(TEXT, CONNECTED)
        for number in range(3):
            connection.send(PING, b"%d" % number)
        while True:
            answers.append(connection.frame())

    with server(serve) as chat:
        attack("idle_sockets", chat.url, lambda _: len(answers) >= 3, connections=1)
    assert answers[:3] == [(CLIENT_PONG, b"%d" % number) for number in range(3)]
    assert len(answers) == 3


def test_a_flood_is_silent_and_uses_separate_source_addresses() -> None:
    heard: list[bytes] = []
    with server(lambda connection: heard.append(connection.sock.recv(1))) as chat:
        attack("connection_flood", chat.url, lambda rogue: rogue.open == 20, connections=20)
        until(lambda: len(heard) == 20)
        assert {connection.peer for connection in chat.connections} == {"127.0.0.2"}
    assert set(heard) == {b""}


def test_a_flood_that_needs_more_open_files_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (1000, 1000))
    with server(patient) as chat:
        with pytest.raises(CannotBeginError, match="expected a limit of at least 1050 open files, got 1000"):
            attack("connection_flood", chat.url, lambda _: True, connections=1000)
        assert not chat.connections
