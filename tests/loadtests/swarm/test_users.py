"""Whatever a target says, every send has an outcome, every refetch a row, every connection an end.

In a process of its own, because importing Locust patches the whole process; all cases in one, at the same time.
"""

import errno
import json
import subprocess
import sys
from typing import Any

import pytest

from chatswarm.loadtests.history.tables import UNREADABLE_HERE, ConnectionEvent, Role, SendOutcome, UserEvent

History = dict[str, list[dict[str, Any]]]

ACCEPTED, REJECTED, UNKNOWN = SendOutcome
DEEP = "[" * 200_000
LIST, CREATE, SEND, WHOLE, SOCKET = (
    "/api/debug/users-chats", "/api/users/chats/create", "/send", "/api/chats/", "/ws/dashboard",
)  # fmt: skip
SUBSCRIBED = '{"type": "connected"}\n{"type": "subscribed", "subscription_type": "chat_updates"}\n'
ANNOUNCED = '{"type": "chat_updates", "data": {"type": "chat_message_notification", "chat_id": "%s", "message_id": %s}}'


def answer(body: str = "", status: str = "200 OK", *headers: str) -> str:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body.encode('latin-1'))}"]
    return "\r\n".join(lines) + "\r\n\r\n" + body


ZSTD = answer("xx", "200 OK", "Content-Encoding: zstd")

# What the server says, and what the sends, the refetches and the final read then say.
CASES: dict[str, tuple[dict[str, str], tuple[SendOutcome, int], int, int]] = {
    "as usual": ({}, (ACCEPTED, 200), 200, 200),
    "a list nested too deeply": (
        {LIST: answer('{"users": [], "x":' + DEEP)}, (ACCEPTED, 200), UNREADABLE_HERE, 200,
    ),
    "a list in an encoding of tomorrow": ({LIST: ZSTD}, (ACCEPTED, 200), UNREADABLE_HERE, 200),
    "a list that counts beyond all measure": (
        {LIST: answer('{"users": [{"chats": [{"chat_id": "a", "total_messages": 99999999999}]}]}')},
        (ACCEPTED, 200), 200, 200,
    ),
    "half a character everywhere": (
        {
            CREATE: answer('{"chat_id": "\\ud800"}'),
            LIST: answer('{"users": [{"chats": [{"chat_id": "\\ud800", "total_messages": 1, '
                         '"messages": [{"text": "\\ud800", "message_id": -5}]}]}]}'),
            "frames": SUBSCRIBED + ANNOUNCED % ("\\ud800\\u0000", "99999999999999999999999"),
        },
        (ACCEPTED, 200), 200, 200,
    ),
    "a list that is no HTTP": ({LIST: "garbage"}, (ACCEPTED, 200), 0, 200),
    "a list that redirects for ever": (
        {LIST: answer("", "302 Found", f"Location: {LIST}")}, (ACCEPTED, 200), 302, 200,
    ),
    "a login page in place of the list": ({LIST: answer("<!doctype html>")}, (ACCEPTED, 200), 200, 200),
    "a list that is rate limited": ({LIST: answer("", "429 Slow")}, (ACCEPTED, 200), 429, 200),
    "ids that are no numbers": ({SEND: answer('{"message_id": "a1"}')}, (ACCEPTED, 200), 200, 200),
    "ids beyond all measure": ({SEND: answer('{"message_id": 99999999999999999999}')}, (ACCEPTED, 200), 200, 200),
    "an answer to a send nested too deeply": ({SEND: answer('{"x":' + DEEP)}, (ACCEPTED, 200), 200, 200),
    "an answer to a send in an encoding of tomorrow": ({SEND: ZSTD}, (ACCEPTED, 200), 200, 200),
    "no answer to a send": ({SEND: ""}, (UNKNOWN, 0), 200, 200),
    "an odd status for a send": ({SEND: answer("", "799 Odd")}, (UNKNOWN, 799), 200, 200),
    "a chat with any id": ({CREATE: answer('{"chat_id": "a b\\n?#/%..\\u0000"}')}, (ACCEPTED, 200), 200, 200),
    "a chat that this rig cannot read": ({CREATE: ZSTD}, (REJECTED, UNREADABLE_HERE), 200, 0),
    "a chat nested too deeply": ({CREATE: answer('{"x":' + DEEP)}, (REJECTED, UNREADABLE_HERE), 200, 0),
    "a whole chat nested too deeply": ({WHOLE: answer('{"x":' + DEEP)}, (ACCEPTED, 200), 200, UNREADABLE_HERE),
    "a whole chat in an encoding of tomorrow": ({WHOLE: ZSTD}, (ACCEPTED, 200), 200, UNREADABLE_HERE),
    "a frame nested too deeply": ({"frames": SUBSCRIBED + '{"x":' + DEEP}, (ACCEPTED, 200), 200, 200),
}  # fmt: skip

# What the server says in place of a handshake or of frames, the code of the connection's end and a part of its detail.
LOST: dict[str, tuple[dict[str, str], int, str]] = {
    "rate limiting": ({SOCKET: answer("", "429 Slow", "Retry-After: 7")}, 429, "HTTP 429"),
    "no token": ({SOCKET: answer("", "401 Who")}, 401, "HTTP 401"),
    "a redirect": ({SOCKET: answer("", "302 Found", "Location: /login")}, 302, "Location: /login"),
    "no HTTP": ({SOCKET: "garbage"}, 0, "expected an HTTP answer"),
    "a close code that is none": ({"frames": SUBSCRIBED + "raw:\x88\x02\x00\x01"}, 1006, "invalid status code"),
    "a reason that is no text": ({"frames": SUBSCRIBED + "raw:\x88\x04\x03\xe8\xff\xfe"}, 1006, "can't decode"),
    "a close code of its own": ({"frames": SUBSCRIBED + "raw:\x88\x02\x13\x87"}, 4999, "4999"),
    "an error frame": ({"frames": '{"type": "error", "message": "\\ud800"}'}, 1006, "expected connected"),
}

OTHERS: list[dict[str, Any]] = [{"place": 5}, {"withdrawn": True}, {"header": "a\r\nb: c"}]


@pytest.fixture(scope="module")
def histories() -> dict[str, History]:
    says = [{"says": case[0]} for case in (*CASES.values(), *LOST.values())]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.loadtests.swarm.lonely"],
        input=json.dumps(says + OTHERS), capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    assert "Traceback" not in ran.stderr, ran.stderr
    names = [*CASES, *LOST, "added", "withdrawn", "unsendable"]
    return dict(zip(names, json.loads(ran.stdout), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_everything_has_an_outcome(name: str, histories: dict[str, History]) -> None:
    _, (outcome, status), refetched, final = CASES[name]
    history = histories[name]
    sends = history["send"]
    assert [send["n"] for send in sends] == list(range(len(sends)))
    assert len(sends) == len(histories["as usual"]["send"]) > 0
    assert {(send["outcome"], send["status"]) for send in sends} == {(outcome, status)}
    assert {refetch["status"] for refetch in history["refetch"]} == {refetched}
    assert {refetch["dashboard"] for refetch in history["refetch"]} == {0, -1}
    assert [row["status"] for row in history["final"]] == ([final] if final else [])
    events = [row["event"] for row in history["connection"]]
    assert events == [ConnectionEvent.OPENING, ConnectionEvent.SUBSCRIBED], "one connection, which lasts to the end"


@pytest.mark.parametrize("name", LOST)
def test_every_connection_has_an_end(name: str, histories: dict[str, History]) -> None:
    _, code, detail = LOST[name]
    rows = histories[name]["connection"]
    ends = [row for row in rows if row["event"] in (ConnectionEvent.FAILED, ConnectionEvent.CLOSED)]
    assert len(ends) > 1, "and it tries again"
    assert {row["code"] for row in ends} == {code}
    assert all(detail in row["detail"] for row in ends)
    opened = [row["connection"] for row in rows if row["event"] == ConnectionEvent.OPENING]
    assert [row["connection"] for row in ends] == opened[: len(ends)], "only the last may still be on its way"
    assert len(opened) - len(ends) <= 1


def test_a_frame_that_this_rig_cannot_read_is_its_trouble(histories: dict[str, History]) -> None:
    (trouble,) = histories["a frame nested too deeply"]["trouble"]
    assert trouble["kind"] == "frame"


def test_rate_limiting_is_noted_with_the_time_to_wait(histories: dict[str, History]) -> None:
    (note,) = histories["rate limiting"]["note"]
    assert (note["kind"], note["detail"]) == (
        "rate_limited",
        "a handshake was answered 429: rate limiting (Retry-After: 7)",
    )


def test_a_handshake_that_wants_a_token_is_noted_with_what_to_look_at(histories: dict[str, History]) -> None:
    (note,) = histories["no token"]["note"]
    assert note["detail"].startswith("a handshake was answered 401: the token in CHATSWARM_TOKEN or the --origin")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a list in an encoding of tomorrow", ["expected content in gzip, deflate, br, got zstd"]),
        ("a list that redirects for ever", ["more than 5 redirects"]),
        ("a login page in place of the list", ["<!doctype html>"]),
        ("a list that is rate limited", []),
        ("as usual", []),
    ],
)
def test_why_a_refetch_showed_no_list_is_noted(name: str, told: list[str], histories: dict[str, History]) -> None:
    notes = [note["detail"] for note in histories[name].get("note", []) if note["kind"] == "unshown"]
    assert len(notes) == len(told)
    for note, part in zip(notes, told, strict=True):
        assert note.startswith("a refetch showed no list: ")
        assert part in note


def test_a_user_beyond_the_scenario_says_so_and_does_nothing(histories: dict[str, History]) -> None:
    history = histories["added"]
    users = [(row["role"], row["number"], row["event"]) for row in history["user"]]
    assert sorted(users) == [(Role.WIDGET, 5, UserEvent.ADDED), (Role.DASHBOARD, 5, UserEvent.ADDED)]
    assert history["send"] == history["chat"] == history["connection"] == []


def test_a_user_that_is_taken_away_in_the_middle_says_so(histories: dict[str, History]) -> None:
    history = histories["withdrawn"]
    users = [(row["role"], row["number"], row["event"]) for row in history["user"]]
    assert sorted(users) == [(Role.WIDGET, 0, UserEvent.WITHDRAWN), (Role.DASHBOARD, 0, UserEvent.WITHDRAWN)]
    assert len(history["send"]) < len(histories["as usual"]["send"])
    assert history["connection"][-1]["event"] == ConnectionEvent.STOPPED
    assert histories["as usual"]["user"] == [], "the end of the run takes nobody away"


def test_an_origin_that_cannot_be_sent_is_the_rigs_own(histories: dict[str, History]) -> None:
    history = histories["unsendable"]
    assert {(send["outcome"], send["status"]) for send in history["send"]} == {(REJECTED, -errno.EINVAL)}
    assert {row["code"] for row in history["connection"] if row["event"] == ConnectionEvent.FAILED} == {-errno.EINVAL}
