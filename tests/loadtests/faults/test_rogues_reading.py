"""Slow readers: they do not read, and report how many were cut off, and when, as far as clients can know."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from chatswarm.loadtests.faults.rogues.rogue import CannotBeginError
from tests.backend.servers import frame, running

from .harness import fill, until
from .misbehaving import CONNECTED, TEXT, Connection, attack, fault, server

PLENTY = 32 << 20
SMALL = 4608


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.slow_reader._DRAIN_TIMEOUT", 0.5)
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.websocket._WRITE_TIMEOUT", 0.1)


def test_the_reference_backend_cuts_off_only_stalled_dashboards(tmp_path: Path) -> None:
    # Long enough for a slow reader that has to wait for a busy machine.
    with running(tmp_path, "--unsent-limit", "1s") as backend, backend.dashboard() as good:
        url = f"http://127.0.0.1:{backend.port}"
        stalled = fault("slow_reader", url, tmp_path, readers=2, receive_buffer=2048)
        slow = fault("slow_reader", url, tmp_path, readers=1, rate=1e6)
        chat = backend.new_chat()
        try:
            stalled.begin()
            slow.begin()
            # On a fast machine, too many bytes wait before they have waited for too long.
            cuts = [f'chat_dashboards_cut_total{{reason="{reason}"}}' for reason in ("age", "buffer")]
            until(lambda: bool(backend.send_many([chat] * 8, 400)) and sum(map(backend.metric, cuts)) >= 2)
        finally:
            cut_off, kept = stalled.heal(), slow.heal()
        assert frame(good)["type"] == "chat_updates"
    assert (cut_off["readers"], cut_off["subscribed"], cut_off["cut_off"]) == (2, 2, 2)
    assert float(cut_off["bytes_unread"]) > 0
    assert cut_off["close_codes"]
    assert kept == {"readers": 1, "subscribed": 1, "cut_off": 0, "bytes_unread": kept["bytes_unread"]}


def test_a_chat_that_never_cuts_anyone_off() -> None:
    taken: list[int] = []

    def serve(connection: Connection) -> None:
        connection.dashboard()
        taken.append(fill(connection.sock, PLENTY))
        connection.read_on()

    with server(serve) as chat:
        evidence = attack("slow_reader", chat.url, lambda _: len(taken) == 2, readers=2)
    assert max(taken) < PLENTY
    assert 0 < evidence.pop("bytes_unread") < 2 * 64 << 10
    assert evidence == {"readers": 2, "subscribed": 2, "cut_off": 0}


@pytest.mark.parametrize(("asked", "least", "most"), [(2304, 1, 40_000), (1 << 20, 400_000, PLENTY)])
def test_the_receive_buffer_has_the_requested_size(asked: int, least: int, most: int) -> None:
    taken: list[int] = []

    def serve(connection: Connection) -> None:
        connection.dashboard()
        taken.append(fill(connection.sock, PLENTY))
        connection.read_on()

    with server(serve) as chat:
        evidence = attack("slow_reader", chat.url, lambda _: taken, readers=1, receive_buffer=asked)
    assert least <= evidence["bytes_unread"] <= most


@pytest.mark.parametrize(("way", "code"), [("abort", 1006), ("close", 1013)])
def test_a_visible_cut_off_is_timed(way: str, code: int) -> None:
    cut = threading.Event()

    def serve(connection: Connection) -> None:
        connection.dashboard()
        if connection.number == 2:
            connection.read_on()
        cut.wait(20)
        if way == "abort":
            connection.abort()
        else:
            connection.close(code)

    def cut_two(rogue: object) -> bool:
        cut.set()
        return sum(reader.cut_off_at is not None for reader in getattr(rogue, "_readers", [])) == 2

    with server(serve) as chat:
        evidence = attack("slow_reader", chat.url, cut_two)
    assert (evidence["readers"], evidence["cut_off"]) == (3, 2)
    assert 0 < evidence["first_cut_off_after_s"] <= evidence["last_cut_off_after_s"] < 20
    assert evidence["close_codes"] == f"{code} ×2"


def test_a_close_behind_unread_bytes_is_found_at_the_end() -> None:
    closed = threading.Event()

    def serve(connection: Connection) -> None:
        connection.dashboard()
        # Small, because a kernel short of memory resets closed connections with much buffered data.
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        fill(connection.sock, PLENTY)
        # Not a reset: the end waits behind the unread bytes.
        connection.sock.close()
        closed.set()

    with server(serve) as chat:
        evidence = attack("slow_reader", chat.url, lambda _: closed.is_set(), readers=1)
    # The time may be reported all the same: a kernel short of memory resets orphaned connections.
    assert evidence["cut_off"] == 1
    assert evidence["close_codes"] == "1006 ×1"


def test_the_read_rate() -> None:
    sent: list[int] = []
    done = threading.Event()

    def serve(connection: Connection) -> None:
        connection.dashboard()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        began = time.monotonic()
        total = 0
        while time.monotonic() < began + 1.5:
            total += fill(connection.sock, 1 << 16)
        sent.append(total)
        done.set()
        connection.read_on()

    with server(serve) as chat:
        attack("slow_reader", chat.url, lambda _: done.is_set(), readers=1, rate=100_000)
    assert 80_000 < sent[0] < 1_000_000


def test_a_reader_without_a_subscription_cannot_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.websocket.PATIENCE", 0.3)

    def serve(connection: Connection) -> None:
        connection.upgrade()
        connection.read_on()

    expected = "expected a dashboard to be subscribed, got no answer in time"
    with server(serve) as chat, pytest.raises(CannotBeginError, match=expected):
        attack("slow_reader", chat.url, lambda _: True)


def test_a_reader_that_is_closed_at_once_cannot_begin() -> None:
    def serve(connection: Connection) -> None:
        connection.upgrade()
        connection.send(TEXT, b"no JSON at all")
        connection.send(TEXT, CONNECTED)
        connection.frame()
        connection.close(1008)

    expected = "expected a dashboard to be subscribed, got close code 1008"
    with server(serve) as chat, pytest.raises(CannotBeginError, match=expected):
        attack("slow_reader", chat.url, lambda _: True)
