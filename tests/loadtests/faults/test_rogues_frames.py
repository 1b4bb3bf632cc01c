"""Bad frames: right responses are never reported as wrong, and wrong ones always are, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chatswarm.loadtests.faults.rogues.malformed_frames import BAD_FRAMES, BadFrame
from chatswarm.loadtests.faults.rogues.rogue import CannotBeginError
from tests.backend.servers import running

from .misbehaving import ERROR, PONG, TEXT, Connection, attack, server

CASES = list(BAD_FRAMES.items())
HEARTBEAT = b'{"type": "chat_updates", "data": {"type": "something else"}}'


def round_done(rogue: Any) -> bool:
    return bool(rogue.answered_right + rogue.wrong >= len(CASES))


def case(connection: Connection) -> tuple[str, BadFrame]:
    """The bad frame for this connection. The first connection only shows that the rogue can begin."""
    return CASES[(connection.number - 1) % len(CASES)]


def responding(respond: Callable[[Connection, str, BadFrame], object]) -> Callable[[Connection], None]:
    """A chat that behaves properly until it has read part of a bad frame."""

    def serve(connection: Connection) -> None:
        connection.dashboard()
        connection.seen += connection.sock.recv(1 << 16)
        if connection.number > 0:
            respond(connection, *case(connection))

    return serve


def right(connection: Connection, _name: str, bad: BadFrame) -> None:
    codes = sorted(bad.codes)
    if bad.error and connection.number % 2:
        error_frame(connection, PONG)
    else:
        connection.close(codes[connection.number % len(codes)])


def error_frame(connection: Connection, *then: bytes) -> None:
    for words in (ERROR, *then):
        connection.send(TEXT, words)
    connection.read_on()


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.malformed_frames._FRAGMENTS", 5000)
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.websocket._WRITE_TIMEOUT", 0.1)


def test_the_reference_backend_responds_correctly(tmp_path: Path) -> None:
    with running(tmp_path) as backend:
        evidence = attack("bad_frames", f"http://127.0.0.1:{backend.port}", round_done)
    assert evidence == {"sent": evidence["sent"], "answered_right": evidence["sent"], "wrong": 0}


def test_every_right_response_is_accepted() -> None:
    with server(responding(right)) as chat:
        evidence = attack("bad_frames", chat.url, lambda rogue: rogue.sent > 2 * len(CASES), pause=0.01, size=200_000)
    assert evidence["wrong"] == 0
    assert list(evidence) == ["sent", "answered_right", "wrong"]
    assert evidence["answered_right"] >= 2 * len(CASES)


@pytest.mark.parametrize("these", [0, 1])
def test_wrong_responses_are_reported_by_name(these: int) -> None:
    def serve(connection: Connection, name: str, bad: BadFrame) -> None:
        if CASES.index((name, bad)) % 2 == these:
            connection.abort()
        else:
            right(connection, name, bad)

    with server(responding(serve)) as chat:
        evidence = attack("bad_frames", chat.url, round_done, size=200_000)
    wrong = [name for name, _ in CASES[these::2]]
    assert [key for key in evidence if key.startswith("wrong_")] == [f"wrong_{name}" for name in wrong]
    assert evidence["wrong"] == len(wrong)
    assert evidence["answered_right"] == len(CASES) - len(wrong)
    for name in wrong:
        assert evidence[f"wrong_{name}"] == f"expected {BAD_FRAMES[name].expected}, got close code 1006"


def test_a_silent_chat() -> None:
    with server(responding(lambda connection, *_: connection.read_on())) as chat:
        evidence = attack("bad_frames", chat.url, round_done, patience=0.1, size=100_000)
    assert evidence["wrong"] == len(CASES)
    assert evidence["wrong_binary"] == (
        "expected an error frame or close code 1003, 1007 or 1008, got no response for 0.1 s on an open connection"
    )
    assert evidence["wrong_bad_utf8"] == ("expected close code 1007, got no response for 0.1 s on an open connection")


NOT_TAKEN = "expected an error frame or close code 1003, 1007 or 1008"
WRONG: dict[str, tuple[Callable[[Connection, str, BadFrame], object], str, str]] = {
    "a code of another case": (
        lambda connection, *_: connection.close(1009),
        "bad_utf8",
        "expected close code 1007, got close code 1009",
    ),
    "an error frame where the protocol was broken": (
        lambda connection, *_: error_frame(connection, PONG),
        "reserved_bits",
        "expected close code 1002, got an error frame, then no response for 0.5 s on an open connection",
    ),
    "an error frame, and then deaf to pings": (
        lambda connection, *_: error_frame(connection),
        "invalid_json",
        f"{NOT_TAKEN}, got an error frame, then no pong for 0.5 s",
    ),
    "an error frame, and then the end": (
        lambda connection, *_: (connection.send(TEXT, ERROR), connection.abort()),
        "no_object",
        f"{NOT_TAKEN}, got an error frame, then close code 1006",
    ),
    "a heartbeat is no response": (
        lambda connection, *_: (connection.send(TEXT, HEARTBEAT), connection.read_on()),
        "unknown_action",
        "expected an error frame or close code 1003, 1007 or 1008, got no response for 0.5 s on an open connection",
    ),
    "an internal error": (
        lambda connection, *_: connection.close(1011),
        "deep_json",
        "expected an error frame or close code 1003, 1007, 1008 or 1009, got close code 1011",
    ),
}


@pytest.mark.parametrize("how", WRONG)
def test_a_wrong_response(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    respond, name, reported = WRONG[how]
    only = {name: BAD_FRAMES[name]}
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.bad_frames.BAD_FRAMES", only)
    with server(responding(respond)) as chat:
        evidence = attack("bad_frames", chat.url, lambda rogue: rogue.wrong, patience=0.5)
    assert evidence[f"wrong_{name}"] == reported
    assert evidence["answered_right"] == 0


def test_a_close_frame_followed_by_a_reset_is_received() -> None:
    def hasty(connection: Connection, _name: str, bad: BadFrame) -> None:
        # Closes without reading the rest, to which the kernel responds with a reset.
        connection.sock.sendall(b"\x88\x02" + min(bad.codes).to_bytes(2))

    with server(responding(hasty)) as chat:
        evidence = attack("bad_frames", chat.url, lambda rogue: rogue.sent > 2 * len(CASES), pause=0.01)
    assert evidence["wrong"] == 0


def test_nothing_more_is_written_after_a_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "chatswarm.loadtests.faults.rogues.bad_frames.BAD_FRAMES", {"oversized_text": BAD_FRAMES["oversized_text"]}
    )
    size, read = 4 << 20, [0]

    def serve(connection: Connection, _name: str, _bad: BadFrame) -> None:
        connection.send(0x88, (1009).to_bytes(2))
        while piece := connection.sock.recv(1 << 16):
            read[0] += len(piece)

    with server(responding(serve)) as chat:
        evidence = attack("bad_frames", chat.url, lambda rogue: rogue.answered_right, size=size, pause=9)
    assert evidence["wrong"] == 0
    assert read[0] < size // 2


def test_a_chat_that_refuses_everybody() -> None:
    expected = "expected a dashboard to be admitted and subscribed, got HTTP 503"
    with server(lambda connection: connection.refuse(503)) as chat, pytest.raises(CannotBeginError, match=expected):
        attack("bad_frames", chat.url, round_done)
