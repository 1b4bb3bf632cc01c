"""Which diagnosis a chat and its file get, from clues that are literals."""

from __future__ import annotations

import re

import pytest

from chatswarm.loadtests.checklist.causes import Diagnosis
from chatswarm.loadtests.checklist.described_causes import (
    Came,
    Clues,
    FileLines,
    changed,
    not_acknowledged,
    not_replayed,
    not_shown,
    nothing_expected_came,
    path_to,
    rule_for,
    unreadable,
    wrong_answer,
    wrong_history,
)
from chatswarm.loadtests.checklist.transcript import Transcript, Witness, shown
from chatswarm.loadtests.messages.damage import Condition
from chatswarm.loadtests.protocols.protocol import Request

LINES = FileLines(frames="line 1", encoding="line 2", send="line 3", accepted_by="line 4", history="line 5")
OTHER = Diagnosis("something else", ["a cause"], ["a remedy"])
FIND = re.compile("our text")
IGNORE = "frame 3: ignore (line 9)"
ACK = Came("sender", "an ack", "frame 2: ack (line 8)", "ack", reference="7")
NACK = Came("sender", "a nack", "frame 2: nack (line 8)", "nack")
IGNORED = Came("sender", '{"ok": 1}', IGNORE, "ignore")
NAMING = Came("sender", "r.1 taken", IGNORE, "ignore")
ECHO = Came("sender", '{"text": "our text"}', "frame 1: message (line 7)", "message", quotes=True)
SHOWN = Came("viewer 1", '{"text": "our text"}', "frame 1: message (line 7)", "message", quotes=True)
OWN = Came("sender", "our text", quotes=True)
LOST = Came("viewer 1", "our text", quotes=True)
PING = Came("sender", "ping", "frame 2: ping (line 8)", "ping")


def clues(*came: Came, accepted_by: str = "ack", reference: str = "") -> Clues:
    return Clues(LINES, accepted_by, "the room", "what was sent", reference, came)


@pytest.mark.parametrize(
    ("found", "seen", "remedy"),
    [
        (clues(ACK), "whose ref is 7", "frame 2: ack"),
        (clues(NACK), "whose ref is nothing", "frame 2: nack"),
        (clues(Came("sender", '{"done": 7}')), 'no rule took it: {"done": 7}', 'that is = "ack" (line 1)'),
        (clues(NAMING, reference="r.1"), "frame 3: ignore", "is"),
        (clues(PING, ECHO), "came back to its sender, but no acknowledgement", 'accepted_by = "echo" (line 4)'),
        (clues(IGNORED), 'What came: {"ok": 1} (frame 3: ignore', 'put the rule that is = "ack" before'),
        (clues(PING, SHOWN), "its sender was sent nothing at all", 'accepted_by = "written" (line 4)'),
        (clues(PING), "nothing came of it, to its sender or anybody", "compare the send"),
        (clues(SHOWN, accepted_by="echo"), "did not come back to its sender", 'accepted_by = "ack"'),
        (clues(OWN, accepted_by="echo"), "to sender, in a frame that no rule", "line 1"),
        (clues(accepted_by="echo"), "nothing came of it", "compare the send"),
        (clues(accepted_by="written"), "something else", "a remedy"),
    ],
)  # fmt: skip
def test_why_a_message_is_not_acknowledged(found: Clues, seen: str, remedy: str) -> None:
    diagnosis = not_acknowledged(found, 2.0, OTHER)
    assert seen in diagnosis.seen
    assert remedy in diagnosis.remedies[0]


@pytest.mark.parametrize(
    ("came", "seen", "remedy"),
    [
        (Came("viewer 2", "our text", quotes=True, advice="[[frame]] …"), "to viewer 2, in a frame that no", "[["),
        (LOST, "no rule took: our text", "correct the [[frame]] (line 1)"),
        (Came("viewer 1", "our text", IGNORE, "ignore", quotes=True), "but frame 3: ignore", "narrow"),
        (Came("viewer 1", "another text"), "something else", "a remedy"),
        (Came("sender", "our text", quotes=True), "something else", "a remedy"),
    ],
)  # fmt: skip
def test_why_a_message_is_not_shown(came: Came, seen: str, remedy: str) -> None:
    diagnosis = not_shown(clues(came), OTHER)
    assert seen in diagnosis.seen
    assert diagnosis.remedies[0].startswith(remedy) or remedy in diagnosis.remedies[0]


def test_a_step_that_waits_says_what_came_instead() -> None:
    waiting = ("open 1 (line 12) waits for $.type = hello",)
    silent = nothing_expected_came(Clues(LINES, waiting=waiting), 2.0)
    assert silent.seen == "open 1 (line 12) waits for $.type = hello, but within 2.00 s no frame came at all."
    several = [Came("viewer 1", f"frame {n}") for n in range(5)]
    loud = nothing_expected_came(Clues(LINES, came=several, waiting=waiting), 2.0)
    assert "only these came: frame 0; frame 1; frame 2, and 2 more." in loud.seen


@pytest.mark.parametrize(
    ("kind", "data", "cause"),
    [
        ("json", "CONNECTED\nversion:1.2\n\n\x00", 'encoding = "stomp"'),
        ("json", '{"type": 6}\\x1e', "terminator"),
        ("json", '42["message"]', "head = "),
        ("json", '{"a": 1}\\n{"b": 2}', 'separator = "\\n"'),
        ("json", "MSG|room|hello", 'encoding = "text"'),
        ("stomp", '{"type": "hello"}', 'encoding = "json"'),
        ("json", '{"type": ', "another protocol"),
    ],
)
def test_a_frame_of_another_encoding_is_recognised(kind: str, data: str, cause: str) -> None:
    found = unreadable(Clues(FileLines(encoding="line 2", kind=kind)), "a frame: expected JSON", data)
    assert "(line 2) cannot read" in found.seen
    assert cause in found.causes[0]


@pytest.mark.parametrize(
    ("detail", "cause"),
    [
        ("line 4 of the protocol file (login 1): expected JSON, got text/html (a login page?)", "a page for people"),
        ("line 4 of the protocol file (login 1): expected a status of 2xx, got 401", "name, password or key"),
        ("line 4 of the protocol file (login 1): expected a status of 2xx, got 404", "the path or the method"),
        ("line 4 of the protocol file (login 1): expected $.token in the answer, got nothing", "under another path"),
        ("line 4 of the protocol file (login 1): expected a status of 2xx, got 500", "other fields"),
    ],
)
def test_why_a_login_fails(detail: str, cause: str) -> None:
    found = wrong_answer("POST /login", detail)
    assert found.seen == f"POST /login was answered, but not as the file says: {detail}."
    assert cause in found.causes[0]


def test_a_text_that_has_changed() -> None:
    escaped = changed(Condition.HTML_ESCAPED, "a<b", "a&lt;b", "frame 1 (line 7)")
    assert escaped.remedies == ['say text_as = "html" in frame 1 (line 7)']
    assert changed(Condition.DAMAGED, "a<b", "a&lt;b", "frame 1").remedies == ['say text_as = "html" in frame 1']
    assert "out of frame 1" in changed(Condition.HTML_UNESCAPED, "a&lt;b", "a<b", "frame 1").remedies[0]
    assert "another form of the text" in changed(Condition.CUT, "a<b", "a", "frame 1").causes[0]


def test_a_history_without_our_messages() -> None:
    assert wrong_history(clues(), 10, 4, "{}", "", OTHER) == OTHER
    assert "our texts at $.items[0]" in wrong_history(clues(), 10, 0, "{}", "$.items[0]", OTHER).seen
    assert "shows none of the 10 messages: {}" in wrong_history(clues(), 10, 0, "{}", "", OTHER).seen


def test_what_comes_back_with_steps_names_them() -> None:
    assert not_replayed((), OTHER) == OTHER
    assert "what rejoin 1 (line 5) sends" in not_replayed(["rejoin 1 (line 5)"], OTHER).causes[0]


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        ({"type": "msg", "data": {"body": "our text", "chat-id": "the room"}},
         'when = { "$.type" = "msg" }, is = "message", room = "$.data[\'chat-id\']", text = "$.data.body"'),
        ({"message": "our text"}, 'when = { "$.message" = { exists = true } }, is = "message", text = "$.message"'),
        ({"event": "posted", "data": {"post": '{"message": "our text"}'}},
         'when = { "$.event" = "posted" }, is = "message", text = "$.data.post -> $.message"'),
        ([None, None, "the room", "new_msg", {"body": "our text"}],
         'when = { "$[3]" = "new_msg" }, is = "message", room = "$[2]", text = "$[4].body"'),
        (["chat message", "our text", 7], 'when = { "$[0]" = "chat message" }, is = "message", text = "$[1]"'),
    ],
)  # fmt: skip
def test_the_rule_that_is_missing(document: object, rule: str) -> None:
    assert rule_for(document, FIND, "the room", one_room=False) == f"[[frame]] {rule}"


def test_no_rule_where_the_text_is_not() -> None:
    assert rule_for({"type": "msg"}, FIND, "the room", one_room=False) == ""
    assert path_to([[["x"]]], lambda value: value == "x") == "$[0][0][0]"
    deep: object = "x"
    for _ in range(1000):
        deep = [deep]
    assert path_to(deep, lambda value: value == "x") is None


# The transcript.


def test_a_transcript_is_in_order_and_without_secrets() -> None:
    transcript = Transcript()
    witness = Witness(transcript, "viewer 1")
    witness.asked(Request("POST", "/login", b'{"key": "a-secret"}'), "login 1 (line 3)")
    witness.answered(200, b'{"token": "unknown yet", "n": 1}', "login 1 (line 3)", secret=True)
    witness.sent("a-secret " + "x" * 300, "send (line 4)")
    witness.came(b"two", ["frame 1", "frame 1", "no rule"], 0.0)
    entries = transcript.entries(lambda text: text.replace("a-secret", "***"))
    assert [(one.sent, one.text[:50], one.met) for one in entries] == [
        (False, "two", "frame 1, no rule"),
        (True, 'POST /login {"key": "***"}', "login 1 (line 3)"),
        (False, '200 {"token": "***", "n": 1}', "login 1 (line 3)"),
        (True, "*** " + "x" * 46, "send (line 4)"),
    ]
    assert len(entries[-1].text) == 200
    assert transcript.met == {"frame 1", "login 1 (line 3)", "send (line 4)"}


def test_what_a_file_computes_from_secrets_is_blanked_too() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    text = f'{{"token": "{token}", "auth": "key:{"0af1" * 16}"}}\nnext \x1b[31m'
    assert shown(text, lambda one: one) == '{"token": "***", "auth": "key:***"} next \\x1b[31m'
