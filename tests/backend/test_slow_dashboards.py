"""A dashboard that does not read harms itself only, and is cut off."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from pathlib import Path

from tests.backend.servers import (
    PATIENCE,
    Backend,
    client_frame,
    close_code,
    flood,
    frame,
    raw_dashboard,
    running,
    until,
)

MESSAGES = 20_000
SENDERS = 50


async def listen(raw: socket.socket, count: int) -> list[int]:
    """The message ids that a dashboard hears which reads all the time."""
    reader, writer = await asyncio.open_connection(sock=raw)
    pieces: list[bytes] = []
    heard, rest = 0, b""
    while heard < count:
        piece = await asyncio.wait_for(reader.read(1 << 18), PATIENCE)
        assert piece, "the good dashboard was cut off"
        pieces.append(piece)
        # "}}" ends each notification, and stands nowhere else.
        heard += (rest + piece).count(b"}}")
        rest = b"" if piece.endswith(b"}}") else piece[-1:]
    writer.close()
    await writer.wait_closed()
    return [int(number) for number in re.findall(rb'"message_id":(\d+)', b"".join(pieces))]


def test_three_that_never_read_are_cut_off_and_nobody_else_notices(tmp_path: Path) -> None:
    with running(tmp_path) as backend:
        chats = [backend.new_chat(f"c{number}@x") for number in range(SENDERS)]
        stalled = [raw_dashboard(backend.port, receive_buffer=4096) for _ in range(3)]

        async def drive() -> tuple[list[float], list[int]]:
            good = asyncio.create_task(listen(raw_dashboard(backend.port), MESSAGES))
            return await flood(backend.port, chats, MESSAGES), await good

        taken, ids = asyncio.run(drive())
        assert ids == list(range(1, MESSAGES + 1))
        # Generous: with the sender waiting for a stalled dashboard, answers took minutes or never came.
        assert max(taken) < 5
        until(lambda: backend.metric("chatswarm_dashboards_connected") == 0)
        cut = [backend.metric(f'chatswarm_dashboards_cut_total{{reason="{why}"}}') for why in ("buffer", "age")]
        assert sum(cut) == 3
        assert backend.metric("chatswarm_unsent_bytes") == 0
        for raw in stalled:
            raw.close()


def test_one_whose_oldest_byte_waits_too_long_is_cut_off(tmp_path: Path) -> None:
    with running(tmp_path, "--unsent-limit", "1s") as backend:
        chat_id = backend.new_chat()
        raw = raw_dashboard(backend.port, receive_buffer=4096)
        with backend.dashboard() as good:
            sent = 0
            while backend.metric("chatswarm_unsent_bytes") == 0:
                backend.send_many([chat_id], 100)
                sent += 100
            until(lambda: backend.metric("chatswarm_dashboards_connected") == 1)
            assert backend.metric('chatswarm_dashboards_cut_total{reason="age"}') == 1
            for number in range(1, sent + 1):
                assert frame(good)["data"]["seq"] == number
        raw.close()


def test_one_that_asks_and_never_reads_is_cut_off_too(tmp_path: Path) -> None:
    with running(tmp_path, "--buffer-limit", "65536") as backend:
        cut = 'chatswarm_dashboards_cut_total{reason="buffer"}'
        floods = {
            "actions": client_frame(0x81, b'{"action": "ping"}'),
            "nonsense": client_frame(0x81, b"?"),
            "pings": client_frame(0x89, b"x" * 125),
        }
        for name, each in floods.items():
            raw = raw_dashboard(backend.port, receive_buffer=4096)
            raw.setblocking(False)
            before = backend.metric(cut)

            while backend.metric(cut) == before:
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    raw.send(each * 1000)
            assert backend.metric(cut) == before + 1, name
            raw.close()
        with backend.dashboard():
            pass


def test_one_that_wakes_up_in_time_hears_1013(tmp_path: Path) -> None:
    with running(tmp_path, "--buffer-limit", "20000") as backend:
        chat_id = backend.new_chat()
        raw = raw_dashboard(backend.port, receive_buffer=4096)
        while backend.metric('chatswarm_dashboards_cut_total{reason="buffer"}') == 0:
            backend.send_many([chat_id], 20)
        assert close_code(raw) == 1013
        raw.close()


def test_a_dashboard_that_is_slow_but_keeps_reading_is_left_alone(backend: Backend) -> None:
    chat_id = backend.new_chat()
    raw = raw_dashboard(backend.port, receive_buffer=4096)
    backend.send_many([chat_id] * 10, 1000)
    seen = b""
    while b'"seq":1000}' not in seen:
        seen += raw.recv(2000)
    assert seen.count(b'"seq":') == 1000
    raw.close()
