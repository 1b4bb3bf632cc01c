"""How a push chat ends, and what it does with slow readers and a store that fails."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from .push import Push, join, messages_until, running_push
from .servers import PATIENCE, client_frame, close_code, frame, frames_in, is_listening, read_all, say, until

KEY = "key"


def test_an_acknowledged_message_is_on_disk_when_the_chat_is_killed(tmp_path: Path) -> None:
    """Promise 1: an ack means that the message is on disk, and will be shown."""
    with running_push(tmp_path, key=KEY) as push:
        push.room("a", "ann")
        for round_ in range(3):
            with push.socket("ann") as ann:
                say(ann, type="send", ref=f"{round_}", room="a", text=f"m{round_}")
                assert frame(ann)["type"] == "ack"
                push.backend.stop(signal.SIGKILL)
            push.backend.start()
            assert push.texts("ann", "a") == [f"m{number}" for number in range(round_ + 1)]
            with push.socket("ann") as ann:
                found = [join(ann, "a", after=0), *[frame(ann) for _ in range(round_ + 1)]]
            assert [each.get("text") for each in found] == [*[f"m{number}" for number in range(round_ + 1)], None]


def test_no_acknowledged_message_is_lost_when_killed_under_load(tmp_path: Path) -> None:
    """Promise 1."""
    with running_push(tmp_path, key=KEY) as push:
        users = [f"user-{number}" for number in range(6)]
        push.room("a", *users)
        acknowledged: dict[str, list[str]] = {user: [] for user in users}
        for user in users:
            push.token(user)

        def keep_sending(user: str) -> None:
            with push.socket(user) as socket:
                number = 0
                while True:
                    text = f"{user} {number}"
                    try:
                        say(socket, type="send", ref=text, room="a", text=text)
                        assert frame(socket)["type"] == "ack"
                    except ConnectionClosed:
                        return
                    acknowledged[user].append(text)
                    number += 1

        threads = [threading.Thread(target=keep_sending, args=(user,)) for user in users]
        for thread in threads:
            thread.start()
        until(lambda: sum(map(len, acknowledged.values())) > 300)
        push.backend.stop(signal.SIGKILL)
        for thread in threads:
            thread.join(PATIENCE)
        push.backend.start()
        stored = push.texts(users[0], "a")
        for user in users:
            own = [text for text in stored if text.startswith(f"{user} ")]
            # In order, each once; the one that was in flight may or may not be stored.
            assert own[: len(acknowledged[user])] == acknowledged[user]
            assert len(own) <= len(acknowledged[user]) + 1


def test_a_locked_store_is_a_503_and_certainly_not_stored(tmp_path: Path) -> None:
    """Promise 1: 503 means that nothing was stored."""
    with running_push(tmp_path) as push:
        push.room("a", "ann", "bob")
        with push.socket("ann", "a") as ann:
            with closing(sqlite3.connect(push.backend.database, isolation_level=None)) as lock:
                lock.execute("BEGIN IMMEDIATE")
                say(ann, type="send", ref="r", room="a", text="during")
                nack = frame(ann)
                assert {**nack, "error": ""} == {"type": "nack", "ref": "r", "error": "", "status": 503}
                answers = [
                    push.post("bob", "a", "during"),
                    push.http.put("/api/rooms/b", json={"members": []}),
                    push.http.put("/api/rooms/a/members/eve"),
                    push.http.delete("/api/rooms/a/members/bob"),
                    push.http.get("/health"),
                ]
                assert [answer.status_code for answer in answers] == [503] * 5
                assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
                # Reads still work.
                assert push.texts("bob", "a") == []
                lock.execute("ROLLBACK")
            say(ann, type="send", ref="r", room="a", text="after")
            assert {frame(ann)["type"], frame(ann)["type"]} == {"ack", "message"}
            assert push.texts("ann", "a") == ["after"]
            assert push.read("eve", "a").status_code == 403


def test_a_member_who_does_not_read_is_cut_off_and_nobody_waits(tmp_path: Path) -> None:
    """Promise 6."""
    with running_push(tmp_path, "--buffer-limit", "65536") as push:
        push.room("a", "ann", "bob", "slow")
        with push.raw("slow", "a", receive_buffer=4096) as slow, push.socket("bob", "a") as bob:
            with push.socket("ann") as ann:
                number = 0
                while push.backend.metric('chat_dashboards_cut_total{reason="buffer"}') == 0:
                    say(ann, type="send", ref=f"{number}", room="a", text="x" * 5000)
                    assert frame(ann)["type"] == "ack"
                    assert frame(bob)["type"] == "message"
                    number += 1
            assert close_code(slow) in (1013, None)
            assert push.backend.metric("chat_rooms_joined") == 1


def everything(socket: ClientConnection) -> tuple[list[str], int | None]:
    """The texts of all further messages, and the close code."""
    received: list[str] = []
    try:
        while True:
            received.append(frame(socket)["text"])
    except ConnectionClosed as closed:
        return received, closed.rcvd.code if closed.rcvd else None


@pytest.mark.parametrize("workers", ["1", "2"])
def test_on_shutdown_what_was_sent_is_acknowledged_and_all_close_with_1012(tmp_path: Path, workers: str) -> None:
    """Promise 7."""
    with running_push(tmp_path, "--workers", workers, key=KEY) as push:
        users = [f"user-{number}" for number in range(4)]
        push.room("a", *users, "bob")
        for user in users:
            push.token(user)
        acknowledged: list[str] = []
        codes: list[int | None] = []

        def keep_sending(user: str) -> None:
            with push.socket(user) as socket:
                number = 0
                while True:
                    text = f"{user} {number}"
                    try:
                        say(socket, type="send", ref=text, room="a", text=text)
                        assert frame(socket)["type"] == "ack"
                    except ConnectionClosed as closed:
                        codes.append(closed.rcvd.code if closed.rcvd else None)
                        return
                    acknowledged.append(text)
                    number += 1

        threads = [threading.Thread(target=keep_sending, args=(user,)) for user in users]
        with push.socket("bob", "a") as bob, push.raw("bob", "a", receive_buffer=4096) as stalled:
            for thread in threads:
                thread.start()
            until(lambda: len(acknowledged) > 100)
            started = time.monotonic()
            assert push.backend.stop() == 0
            assert time.monotonic() - started < 5 + 2
            for thread in threads:
                thread.join(PATIENCE)
            received, code = everything(bob)
            assert code == 1012
            assert stalled.fileno() >= 0
        assert codes == [1012] * len(users)
        assert len(set(received)) == len(received)
        if workers == "1":
            # With several, another worker may still accept a message when bob's has closed.
            assert set(received) >= set(acknowledged)
        push.backend.start()
        stored = push.texts("bob", "a")
        assert set(stored) >= set(acknowledged)
        assert len(set(stored)) == len(stored)
        assert "Traceback" not in push.backend.errors


def test_a_send_that_was_read_before_the_shutdown_is_acknowledged_before_1012(tmp_path: Path) -> None:
    """Promise 7: finish what was accepted."""
    with running_push(tmp_path, "--grace", "20s") as push:
        push.room("a", "ann")
        with closing(sqlite3.connect(push.backend.database, isolation_level=None)) as lock, push.raw("ann") as ann:
            lock.execute("BEGIN IMMEDIATE")
            body = b'{"type": "send", "ref": "r", "room": "a", "text": "begun before the end"}'
            ann.sendall(client_frame(0x81, body) + client_frame(0x81, b'{"type": "ping"}'))
            seen = b""
            while b'"pong"' not in seen:
                seen += ann.recv(4096)
            assert push.backend.process is not None
            push.backend.process.send_signal(signal.SIGTERM)
            until(lambda: not is_listening(push.backend.port))
            # It does not close the connection while the commit is pending.
            ann.settimeout(0.3)
            with pytest.raises(TimeoutError):
                ann.recv(4096)
            ann.settimeout(PATIENCE)
            lock.execute("ROLLBACK")
            found = list(frames_in(read_all(ann)))
            assert json.loads(found[0][1]) == {"type": "ack", "ref": "r", "room": "a", "id": 1}
            assert found[-1] == (8, (1012).to_bytes(2, "big"))
        assert push.backend.stop() == 0


def all_texts(push: Push, user: str, room: str) -> list[str]:
    """What a fresh connection is replayed."""
    with push.socket(user) as socket:
        say(socket, type="join", ref="j", room=room, after=0)
        found = messages_until(socket, lambda each: each["type"] == "joined")
    return [each["text"] for each in found[:-1]]


def test_what_was_committed_before_a_restart_is_replayed_after_it(tmp_path: Path) -> None:
    """Promise 5, across a kill."""
    with running_push(tmp_path, key=KEY) as push:
        push.room("a", "ann", "bob")
        push.remove("a", "bob")
        push.post("ann", "a", "one")
        push.backend.stop(signal.SIGKILL)
        push.backend.start()
        push.post("ann", "a", "two")
        assert all_texts(push, "ann", "a") == ["one", "two"]
        with push.socket("bob") as bob:
            assert join(bob, "a")["type"] == "refused"
