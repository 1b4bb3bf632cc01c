"""Whatever a target sends, every send has an outcome, every refetch a row, and every connection an end.

All cases run at the same time in a separate process, because importing Locust patches the process.
"""

import errno
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from chatswarm.loadtests.history.tables import UNREADABLE_HERE, ConnectionEvent, Role, SendOutcome, UserEvent
from chatswarm.loadtests.messages import trace

History = dict[str, list[dict[str, Any]]]

ACCEPTED, REJECTED, UNKNOWN = SendOutcome
DEEP = "[" * 200_000
LIST, CREATE, SEND, WHOLE, SOCKET = (
    "/api/debug/users-chats", "/api/users/chats/create", "/send", "/api/chats/", "/ws/dashboard",
)  # fmt: skip
SUBSCRIBED = '{"type": "connected"}\n{"type": "subscribed", "subscription_type": "chat_updates"}\n'
ANNOUNCED = '{"type": "chat_updates", "data": {"type": "chat_message_notification", "chat_id": "%s", "message_id": %s}}'


def response(body: str = "", status: str = "200 OK", *headers: str) -> str:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body.encode('latin-1'))}"]
    return "\r\n".join(lines) + "\r\n\r\n" + body


ZSTD = response("xx", "200 OK", "Content-Encoding: zstd")

# What the server sends, and the results: outcome and status of sends, status of refetches and of the final read.
CASES: dict[str, tuple[dict[str, str], tuple[SendOutcome, int], int, int]] = {
    "as usual": ({}, (ACCEPTED, 200), 200, 200),
    "a list nested too deeply": (
        {LIST: response('{"users": [], "x":' + DEEP)}, (ACCEPTED, 200), UNREADABLE_HERE, 200,
    ),
    "a list in an unknown encoding": ({LIST: ZSTD}, (ACCEPTED, 200), UNREADABLE_HERE, 200),
    "a list with a count that overflows": (
        {LIST: response('{"users": [{"chats": [{"chat_id": "a", "total_messages": 99999999999}]}]}')},
        (ACCEPTED, 200), 200, 200,
    ),
    "lone surrogates everywhere": (
        {
            CREATE: response('{"chat_id": "\\ud800"}'),
            LIST: response('{"users": [{"chats": [{"chat_id": "\\ud800", "total_messages": 1, '
                         '"messages": [{"text": "\\ud800", "message_id": -5}]}]}]}'),
            "frames": SUBSCRIBED + ANNOUNCED % ("\\ud800\\u0000", "99999999999999999999999"),
        },
        (ACCEPTED, 200), 200, 200,
    ),
    "a list that is not HTTP": ({LIST: "garbage"}, (ACCEPTED, 200), 0, 200),
    "a list that redirects for ever": (
        {LIST: response("", "302 Found", f"Location: {LIST}")}, (ACCEPTED, 200), 302, 200,
    ),
    "a login page in place of the list": ({LIST: response("<!doctype html>")}, (ACCEPTED, 200), 200, 200),
    "a list that is rate limited": ({LIST: response("", "429 Slow")}, (ACCEPTED, 200), 429, 200),
    "ids that are not numbers": ({SEND: response('{"message_id": "a1"}')}, (ACCEPTED, 200), 200, 200),
    "ids that overflow": ({SEND: response('{"message_id": 99999999999999999999}')}, (ACCEPTED, 200), 200, 200),
    "a response to a send nested too deeply": ({SEND: response('{"x":' + DEEP)}, (ACCEPTED, 200), 200, 200),
    "a response to a send in an unknown encoding": ({SEND: ZSTD}, (ACCEPTED, 200), 200, 200),
    "no response to a send": ({SEND: ""}, (UNKNOWN, 0), 200, 200),
    "an odd status for a send": ({SEND: response("", "799 Odd")}, (UNKNOWN, 799), 200, 200),
    "a chat with any id": ({CREATE: response('{"chat_id": "a b\\n?#/%..\\u0000"}')}, (ACCEPTED, 200), 200, 200),
    "a chat that this rig cannot read": ({CREATE: ZSTD}, (REJECTED, UNREADABLE_HERE), 200, 0),
    "a chat nested too deeply": ({CREATE: response('{"x":' + DEEP)}, (REJECTED, UNREADABLE_HERE), 200, 0),
    "a whole chat nested too deeply": ({WHOLE: response('{"x":' + DEEP)}, (ACCEPTED, 200), 200, UNREADABLE_HERE),
    "a whole chat in an unknown encoding": ({WHOLE: ZSTD}, (ACCEPTED, 200), 200, UNREADABLE_HERE),
    "a frame nested too deeply": ({"frames": SUBSCRIBED + '{"x":' + DEEP}, (ACCEPTED, 200), 200, 200),
}  # fmt: skip

# What the server sends instead of a handshake or frames, and the code and part of the detail of the connection's end.
LOST: dict[str, tuple[dict[str, str], int, str]] = {
    "rate limiting": ({SOCKET: response("", "429 Slow", "Retry-After: 7")}, 429, "HTTP 429"),
    "no token": ({SOCKET: response("", "401 Who")}, 401, "HTTP 401"),
    "a redirect": ({SOCKET: response("", "302 Found", "Location: /login")}, 302, "Location: /login"),
    "not HTTP": ({SOCKET: "garbage"}, 0, "expected an HTTP answer"),
    "an invalid close code": ({"frames": SUBSCRIBED + "raw:\x88\x02\x00\x01"}, 1006, "invalid status code"),
    "a reason that is not text": ({"frames": SUBSCRIBED + "raw:\x88\x04\x03\xe8\xff\xfe"}, 1006, "can't decode"),
    "a private close code": ({"frames": SUBSCRIBED + "raw:\x88\x02\x13\x87"}, 4999, "4999"),
    "an error frame": ({"frames": '{"type": "error", "message": "\\ud800"}'}, 1006, "expected subscribed"),
}

TOKEN = "s3cretMARK0123456789"
ECHOES: dict[str, str] = {
    part: response("", "302 Found", f"Location: http://[/?token={TOKEN}") for part in (LIST, CREATE, SEND, WHOLE)
} | {SOCKET: response("", "302 Found", f"Location: /login?token={TOKEN}")}
"""Requests that a target answers with the token in an address."""

KEPT = {
    LIST: response('{"users": [{"chats": [{"chat_id": "a", "total_messages": 3}]}]}', "200 OK", 'ETag: "1"'),
    "If-None-Match": "HTTP/1.1 304 Not Modified\r\n\r\n",
    "frames": SUBSCRIBED + ANNOUNCED % ("a", "1"),
}
OTHERS: list[dict[str, Any]] = [{"number": 5}, {"withdrawn": True}, {"header": "a\r\nb: c"}, {"responses": KEPT}]
OTHERS.append({"responses": KEPT, "traceparent": True})


@pytest.fixture(scope="module")
def histories() -> dict[str, History]:
    cases = [{"responses": case[0]} for case in (*CASES.values(), *LOST.values())]
    echoes = [{"responses": {part: answer}} for part, answer in ECHOES.items()]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.loadtests.swarm.scripted_target"],
        input=json.dumps(cases + OTHERS + echoes), capture_output=True, text=True, check=True, timeout=100,
        env={**os.environ, "CHATSWARM_TOKEN": TOKEN},
    )  # fmt: skip
    assert "Traceback" not in ran.stderr, ran.stderr
    assert TOKEN not in ran.stdout + ran.stderr
    names = [*CASES, *LOST, "added", "withdrawn", "unsendable", "kept", "traced", *ECHOES]
    return dict(zip(names, json.loads(ran.stdout), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_every_send_and_refetch_has_an_outcome(name: str, histories: dict[str, History]) -> None:
    _, (outcome, status), refetched, final = CASES[name]
    history = histories[name]
    sends = history["send"]
    # Each is sent by itself, so a later one may end first.
    assert sorted(send["n"] for send in sends) == list(range(len(sends)))
    assert len(sends) == len(histories["as usual"]["send"]) > 0
    assert {(send["outcome"], send["status"]) for send in sends} == {(outcome, status)}
    assert {refetch["status"] for refetch in history["refetch"]} == {refetched}
    assert {refetch["dashboard"] for refetch in history["refetch"]} == {0, -1}
    assert [row["status"] for row in history["final"]] == ([final] if final else [])
    events = [row["event"] for row in history["connection"]]
    assert events == [ConnectionEvent.OPENING, ConnectionEvent.SUBSCRIBED], "expected one connection until the end"


@pytest.mark.parametrize("name", LOST)
def test_every_connection_has_an_end(name: str, histories: dict[str, History]) -> None:
    _, code, detail = LOST[name]
    rows = histories[name]["connection"]
    ends = [row for row in rows if row["event"] in (ConnectionEvent.FAILED, ConnectionEvent.CLOSED)]
    assert len(ends) > 1, "it must retry"
    assert {row["code"] for row in ends} == {code}
    assert all(detail in row["detail"] for row in ends)
    opened = [row["connection"] for row in rows if row["event"] == ConnectionEvent.OPENING]
    assert [row["connection"] for row in ends] == opened[: len(ends)], "only the last may still be connecting"
    assert len(opened) - len(ends) <= 1


def test_a_frame_that_this_rig_cannot_read_is_recorded_as_its_problem(histories: dict[str, History]) -> None:
    (trouble,) = histories["a frame nested too deeply"]["trouble"]
    assert trouble["kind"] == "frame"


def test_a_frame_that_could_not_be_read_is_recorded_with_its_connection(histories: dict[str, History]) -> None:
    (row,) = histories["a frame nested too deeply"]["unreadable"]
    opening, subscribed = histories["a frame nested too deeply"]["connection"]
    assert row["connection"] == opening["connection"]
    assert row["time"] >= subscribed["time"]
    assert "nested too deeply" in row["detail"]
    assert histories["as usual"]["unreadable"] == []


@pytest.mark.parametrize("name", ["as usual", "kept", "traced"])
def test_the_refetches_of_a_dashboard_are_numbered(name: str, histories: dict[str, History]) -> None:
    # Several may be on their way at once. The last read, after the run, has no number.
    numbers = sorted(row["n"] for row in histories[name]["refetch"])
    assert numbers == list(range(-1, len(numbers) - 1))
    assert len(numbers) > 1


def test_each_send_and_refetch_has_a_trace_context_that_follows_from_it(histories: dict[str, History]) -> None:
    history = histories["traced"]
    assert len(history["send"]) == len(histories["as usual"]["send"])
    sends = [trace.send_traceparent(f"scripted.{row['widget']}.{row['n']}") for row in history["send"]]
    refetches = [trace.refetch_traceparent("scripted", 0, row["n"]) for row in history["refetch"] if row["n"] >= 0]
    contexts: dict[str, list[str]] = {}
    for row in history["traced"]:
        contexts.setdefault(row["path"], []).append(row["context"])
    assert sorted(contexts.pop("/api/users/chats/a/send")) == sorted(sends)
    assert contexts == {LIST: refetches}, "no other request has one, the final reads included"
    assert [row["status"] for row in history["refetch"]] == [200, 304, 200], "a refetch is as conditional as without"


def test_nothing_has_a_trace_context_without_being_asked_for_it(histories: dict[str, History]) -> None:
    assert not [row for name, history in histories.items() if name != "traced" for row in history["traced"]]


def test_rate_limiting_is_noted_with_its_retry_after(histories: dict[str, History]) -> None:
    (note,) = histories["rate limiting"]["note"]
    assert (note["kind"], note["detail"]) == (
        "rate_limited",
        "a handshake was answered 429: rate limiting (Retry-After: 7)",
    )


def test_an_unauthorized_handshake_is_noted_with_its_possible_causes(histories: dict[str, History]) -> None:
    (note,) = histories["no token"]["note"]
    assert note["detail"].startswith("a handshake was answered 401: the token in CHATSWARM_TOKEN or the --origin")


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("a list in an unknown encoding", ["expected content in gzip, deflate, br, got zstd"]),
        ("a list that redirects for ever", ["more than 5 redirects"]),
        ("a login page in place of the list", ["<!doctype html>"]),
        ("a list that is rate limited", []),
        ("as usual", []),
    ],
)
def test_why_a_refetch_showed_no_list_is_noted(name: str, reasons: list[str], histories: dict[str, History]) -> None:
    notes = [note["detail"] for note in histories[name].get("note", []) if note["kind"] == "unshown"]
    assert len(notes) == len(reasons)
    for note, part in zip(notes, reasons, strict=True):
        assert note.startswith("a refetch showed no list: ")
        assert part in note


def test_a_user_beyond_the_scenario_is_recorded_and_does_nothing(histories: dict[str, History]) -> None:
    history = histories["added"]
    users = [(row["role"], row["number"], row["event"]) for row in history["user"]]
    assert sorted(users) == [(Role.WIDGET, 5, UserEvent.ADDED), (Role.DASHBOARD, 5, UserEvent.ADDED)]
    assert history["send"] == history["chat"] == history["connection"] == []


def test_a_user_that_is_withdrawn_during_the_run_is_recorded(histories: dict[str, History]) -> None:
    history = histories["withdrawn"]
    users = [(row["role"], row["number"], row["event"]) for row in history["user"]]
    assert sorted(users) == [(Role.WIDGET, 0, UserEvent.WITHDRAWN), (Role.DASHBOARD, 0, UserEvent.WITHDRAWN)]
    assert len(history["send"]) < len(histories["as usual"]["send"])
    assert history["connection"][-1]["event"] == ConnectionEvent.STOPPED
    assert histories["as usual"]["user"] == [], "the end of the run withdraws no user"


def test_an_origin_that_cannot_be_sent_is_a_rig_failure(histories: dict[str, History]) -> None:
    history = histories["unsendable"]
    assert {(send["outcome"], send["status"]) for send in history["send"]} == {(REJECTED, -errno.EINVAL)}
    assert {row["code"] for row in history["connection"] if row["event"] == ConnectionEvent.FAILED} == {-errno.EINVAL}


@pytest.mark.parametrize("part", [LIST, WHOLE, SOCKET])
def test_a_token_that_the_target_repeats_is_blanked(part: str, histories: dict[str, History]) -> None:
    assert "token=***" in json.dumps(histories[part])


def test_a_list_that_has_not_changed_is_shown_again(histories: dict[str, History]) -> None:
    *refetches, final = histories["kept"]["refetch"]
    assert [(row["status"], row["version"]) for row in refetches] == [(200, 0), (304, 0)]
    assert final["status"] == 200, "the final read asks for everything"
    assert not [row for row in histories["kept"]["note"] if row["kind"] == "unshown"]
