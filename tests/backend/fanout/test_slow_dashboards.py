"""A dashboard that does not read harms only itself, and is cut off."""

from __future__ import annotations

import asyncio
import contextlib
import re
import select
import socket
import time
from pathlib import Path

from tests.backend.servers import (
    PATIENCE,
    Backend,
    client_frame,
    flood,
    frame,
    frames_in,
    raw_dashboard,
    read_all,
    running,
    until,
)

MESSAGES = 20_000
FRAME = 200
"""The minimum size of a notification, in bytes."""
KERNEL = 512 << 10
"""More than both kernels buffer for a dashboard: 64 KiB and its own small receive buffer."""
SENDERS = 50
CLOSE_FRAME = len(b"\x88\x0a\x03\xf5too slow")
"""Written when the limit is exceeded."""


async def listen(raw: socket.socket, count: int) -> list[int]:
    """The message ids that a dashboard receives if it always reads."""
    reader, writer = await asyncio.open_connection(sock=raw)
    pieces: list[bytes] = []
    received, rest = 0, b""
    while received < count:
        piece = await asyncio.wait_for(reader.read(1 << 18), PATIENCE)
        assert piece, "the good dashboard was cut off"
        pieces.append(piece)
        # "}}" ends each notification and occurs nowhere else.
        received += (rest + piece).count(b"}}")
        rest = b"" if piece.endswith(b"}}") else piece[-1:]
    writer.close()
    await writer.wait_closed()
    return [int(number) for number in re.findall(rb'"message_id":(\d+)', b"".join(pieces))]


def is_closed(raw: socket.socket) -> bool:
    poll = select.poll()
    poll.register(raw, 0)  # errors and hang-ups always count
    return bool(poll.poll(0))


def test_three_that_never_read_are_cut_off_without_affecting_others(tmp_path: Path) -> None:
    """Promise 6: 20,000 messages of 200 bytes; the reader gets all, no send waits, and each cut is counted."""
    with running(tmp_path) as backend:
        chats = [backend.new_chat(f"c{number}@x") for number in range(SENDERS)]
        stalled = [raw_dashboard(backend.port, receive_buffer=4096) for _ in range(3)]

        async def drive() -> tuple[list[float], list[int]]:
            good = asyncio.create_task(listen(raw_dashboard(backend.port), MESSAGES))
            return await flood(backend.port, chats, MESSAGES), await good

        taken, ids = asyncio.run(drive())
        assert ids == list(range(1, MESSAGES + 1))
        # Generous: if sends waited for a stalled dashboard, responses would take minutes or never arrive.
        assert max(taken) < 5
        until(lambda: backend.metric("chat_dashboards_connected") == 0)
        cut = [backend.metric(f'chat_dashboards_cut_total{{reason="{why}"}}') for why in ("buffer", "age")]
        assert sum(cut) == 3
        assert backend.metric("chat_unsent_bytes") == 0
        for raw in stalled:
            raw.close()


def test_no_more_bytes_than_the_limit_are_buffered_for_one(tmp_path: Path) -> None:
    """Promise 6: a bounded buffer, and little beyond it in the kernel (by default, megabytes)."""
    limit = 65_536
    with running(tmp_path, "--buffer-limit", str(limit), "--unsent-limit", "60s") as backend:
        chat_id = backend.new_chat()
        cut = 'chat_dashboards_cut_total{reason="buffer"}'
        with raw_dashboard(backend.port, receive_buffer=4096):
            sent, most = 0, 0.0
            while not backend.metric(cut):
                backend.send_many([chat_id], 50)
                sent += 50
                most = max(most, backend.metric("chat_unsent_bytes"))
                assert sent * FRAME < limit + KERNEL
        assert 0 < most <= limit + CLOSE_FRAME


def test_one_whose_oldest_byte_waits_too_long_is_cut_off(tmp_path: Path) -> None:
    """Promise 6: cut off by age, and counted."""
    with running(tmp_path, "--unsent-limit", "1s") as backend:
        chat_id = backend.new_chat()
        raw = raw_dashboard(backend.port, receive_buffer=4096)
        with backend.dashboard() as good:
            sent = 0
            while backend.metric("chat_unsent_bytes") == 0:
                backend.send_many([chat_id], 100)
                sent += 100
            until(lambda: backend.metric("chat_dashboards_connected") == 1)
            assert backend.metric('chat_dashboards_cut_total{reason="age"}') == 1
            # By a reset, which it sees without reading; otherwise both kernels would keep the unread bytes.
            until(lambda: is_closed(raw))
            for number in range(1, sent + 1):
                assert frame(good)["data"]["seq"] == number
        raw.close()


def test_one_that_sends_and_never_reads_is_cut_off_too(tmp_path: Path) -> None:
    """Promise 6, for replies and pongs."""
    with running(tmp_path, "--buffer-limit", "65536") as backend:
        cut = 'chat_dashboards_cut_total{reason="buffer"}'
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


def test_one_that_reads_again_in_time_gets_1013_and_nothing_after_it(tmp_path: Path) -> None:
    """Promise 6: 1013. Promise 7: no write once the connection is closing."""
    with running(tmp_path, "--buffer-limit", "20000") as backend:
        chat_id = backend.new_chat()
        with raw_dashboard(backend.port, receive_buffer=4096) as raw:
            while backend.metric('chat_dashboards_cut_total{reason="buffer"}') == 0:
                backend.send_many([chat_id], 20)
            backend.send_many([chat_id], 1)
            frames = list(frames_in(read_all(raw)))
        assert [opcode for opcode, _ in frames].index(0x8) == len(frames) - 1
        assert frames[-1][1].startswith((1013).to_bytes(2, "big"))


def test_a_dashboards_close_is_read_during_a_stalled_replay(tmp_path: Path) -> None:
    """Promise 7: the app always receives; otherwise uvicorn would not read a stalled dashboard's Close."""
    with running(tmp_path, "--unsent-limit", "60s") as backend:
        chat_id = backend.new_chat()
        backend.send_many([chat_id] * 20, 5000)
        with raw_dashboard(backend.port, receive_buffer=4096, subscribe=False) as raw:
            subscribe = b'{"action": "subscribe", "subscription_type": "chat_updates", "after": 0}'
            raw.sendall(client_frame(0x81, subscribe))
            until(lambda: backend.metric("chat_unsent_bytes") > 100_000)
            raw.sendall(client_frame(0x81, b'{"action": "ping"}'))
            # uvicorn reads later frames only after the app has received these.
            time.sleep(0.5)
            raw.sendall(client_frame(0x88, b"\x03\xe8"))
            until(lambda: backend.metric("chat_dashboards_connected") == 0)


def test_a_dashboard_that_is_slow_but_keeps_reading_is_left_alone(backend: Backend) -> None:
    chat_id = backend.new_chat()
    raw = raw_dashboard(backend.port, receive_buffer=4096)
    backend.send_many([chat_id] * 10, 1000)
    seen = b""
    while b'"seq":1000}' not in seen:
        seen += raw.recv(2000)
    assert seen.count(b'"seq":') == 1000
    raw.close()
