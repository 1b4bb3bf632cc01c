"""One connection by a file: its steps in order, what frames mean meanwhile, and what is kept for the next one."""

import contextlib
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.messages.trace import send_traceparent
from chatswarm.loadtests.protocols.catalogue import shipped
from chatswarm.loadtests.protocols.described import Described, read_description
from chatswarm.loadtests.protocols.described.session import DescribedSession
from chatswarm.loadtests.protocols.protocol import (
    Answer,
    Frame,
    Heartbeat,
    Kind,
    Outgoing,
    Request,
    Session,
    Taken,
    Unreadable,
    User,
)
from chatswarm.loadtests.protocols.variables import OutOfScopeError
from tests.contract.test_transcripts import transcript_of

from .files import SMALL, protocol_of

FILE = """\
format = 1
name = "ours"
[rooms]
id = "room-${index}"
[socket]
path = "/ws?last=${last|or:}"
[[socket.open]]
expect = { "$.type" = "hello" }
refuse = { "$.type" = "go away" }
keep = { session = "$.session", every = "$.every" }
[[socket.open]]
send = '{"n": ${ref}, "login": "${session}"}'
expect = { "$.re" = "${ref}" }
[[socket.again]]
send = '{"n": ${ref}, "resume": "${session}", "last": ${last|or:0}}'
expect = { "$.re" = "${ref}" }
keep = { session = "$.session" }
[[socket.join]]
send = '{"watch": "${room}"}'
[[socket.join]]
send = '{"n": ${ref}, "join": "${room}"}'
expect = { "$.type" = "joined", "$.room" = "${room}" }
refuse = { "$.type" = "refused", "$.room" = "${room}" }
keep = { "room.epoch" = "$.epoch" }
messages = { each = "$.missed[*]", text = "$.text", text_as = "html", id = "$.id", keep = { "room.at" = "$.id" } }
[[socket.rejoin]]
send = '{"n": ${ref}, "rejoin": "${room}", "epoch": "${room.epoch}", "at": ${room.at|or:0}}'
expect = { "$.type" = "joined", "$.room" = "${room}" }
recovered = { "$.recovered" = true }
keep = { "room.epoch" = "$.epoch" }
messages = { each = "$.missed[*]", text = "$.text", id = "$.id" }
[[frame]]
when = { "$.type" = "message" }
is = "message"
room = "$.room"
text = "$.text"
id = "$.id"
keep = { last = "$.id", "room.at" = "$.id" }
reply = '{"seen": ${last}}'
[[frame]]
when = { "$.type" = "ack" }
is = "ack"
ref = "$.ref"
[[frame]]
when = { "$.type" = "nack" }
is = "nack"
ref = "$.ref"
[[frame]]
when = { "$.type" = "ping" }
is = "ping"
reply = '{"pong": ${n|plus:1}, "n": "${session}"}'
keep = { n = "$.n", "room.n" = "$.n" }
[[frame]]
when = { "$.type" = "notice" }
is = "ignore"
keep = { session = "$.session", "room.at" = "$.at" }
[heartbeat]
every = "${every|or:20}s"
send = '{"ping": ${ref}}'
dead_after = "${every|plus:10}s"
[send]
frame = '{"n": ${ref}, "key": "${uid}", "to": "${room}", "text": "${text}"}'
accepted_by = "ack"
"""
HELLO = {"type": "hello", "session": "s1", "every": 5}


def taken(protocol: Described, session: Session, *documents: object) -> Taken:
    """What these documents mean, one after the other."""
    frames: list[Frame] = []
    replies: list[Outgoing] = []
    for document in documents:
        for frame in protocol.read_frames(json.dumps(document).encode()):
            one = session.take(frame)
            frames += one.frames
            replies += one.replies
    return Taken([frame._replace(source=None) for frame in frames], replies or ())


class Client:
    """A user of a protocol, on one connection after another."""

    def __init__(self, text: str = FILE) -> None:
        self.protocol = protocol_of(text)
        self.user: User = self.protocol.user("dashboard", 0, "run", {})
        self.session: Session = self.protocol.session(self.user)

    def expects(self) -> bool:
        return self.session.expects

    def connect(self, **how: Any) -> Taken:
        self.session = self.protocol.session(self.user, **how)
        return self.session.open()

    def take(self, *documents: object) -> Taken:
        return taken(self.protocol, self.session, *documents)

    def open(self) -> None:
        self.connect()
        self.take(HELLO, {"re": 2})

    def join(self, room: str) -> Sequence[Outgoing]:
        return self.session.join(room, None).replies


def kinds(one: Taken) -> list[Kind]:
    return [frame.kind for frame in one.frames]


# Steps.


def test_steps_come_in_order() -> None:
    client = Client()
    assert client.connect() == Taken([], [])
    assert client.expects()
    assert client.take({"re": 2}) == Taken([Frame(Kind.UNKNOWN)])
    assert client.take(HELLO) == Taken([Frame(Kind.CONNECTED)], ['{"n": 2, "login": "s1"}'])
    assert client.take(HELLO, {"re": 1}) == Taken([Frame(Kind.UNKNOWN)] * 2)
    assert client.take({"re": 2}) == Taken([Frame(Kind.SUBSCRIBED)])
    assert not client.expects()
    assert client.take({"re": 2}) == Taken([Frame(Kind.UNKNOWN)])


def test_what_a_step_expects_comes_before_the_rules() -> None:
    text = FILE.replace('expect = { "$.type" = "hello" }', 'expect = { "$.type" = "message" }')
    client = Client(text)
    client.connect()
    message = {"type": "message", "room": "r", "text": "x", "id": 4, "session": "s"}
    shown = Frame(Kind.MESSAGE, "r", message_id=4, text="x")
    assert client.take(message).frames == [shown, Frame(Kind.CONNECTED)]
    assert client.take(message).frames == [shown]


def test_a_message_in_the_middle_of_a_step_is_not_lost() -> None:
    client = Client()
    client.connect()
    assert client.take({"type": "message", "room": "r", "text": "x", "id": 4}) == Taken(
        [Frame(Kind.MESSAGE, "r", message_id=4, text="x")], ['{"seen": 4}']
    )
    assert client.expects()


def test_a_step_may_be_refused() -> None:
    client = Client()
    client.connect()
    assert client.take({"type": "go away", "why": "full"}) == Taken(
        [Frame(Kind.ERROR, detail='{"type":"go away","why":"full"}')]
    )
    assert not client.expects()
    client.open()
    client.join("r")
    assert client.take({"type": "refused", "room": "s"}).frames == [Frame(Kind.UNKNOWN)]
    assert client.take({"type": "refused", "room": "r"}).frames == [
        Frame(Kind.REFUSED, "r", detail='{"type":"refused","room":"r"}')
    ]


def test_several_rooms_join_at_once() -> None:
    client = Client()
    client.open()
    assert client.join("a") == ['{"watch": "a"}', '{"n": 4, "join": "a"}']
    assert client.join("b") == ['{"watch": "b"}', '{"n": 6, "join": "b"}']
    assert client.take({"type": "joined", "room": "b"}).frames == [Frame(Kind.JOINED, "b")]
    assert client.expects()
    assert client.take({"type": "refused", "room": "a"}).frames[0].kind is Kind.REFUSED
    assert not client.expects()


def test_where_nothing_is_confirmed_the_client_counts_as_subscribed_at_once() -> None:
    client = Client(SMALL)
    assert client.connect(room="everybody") == Taken([Frame(Kind.SUBSCRIBED)], [])
    assert client.session.join("everybody", None) == Taken([Frame(Kind.JOINED, "everybody")], [])
    assert not client.expects()
    assert client.session.ping() is None
    assert client.session.heartbeat == Heartbeat(None, True)


def test_the_messages_in_an_answer_are_sent_again() -> None:
    client = Client()
    client.open()
    client.join("r")
    missed = [{"text": "&lt;1&gt;", "id": 8}, {"id": 9}, {"text": "3", "id": 10}]
    assert client.take({"type": "joined", "room": "r", "epoch": "e", "missed": missed}).frames == [
        Frame(Kind.MESSAGE, "r", message_id=8, text="<1>", replayed=True),
        Frame(Kind.MESSAGE, "r", message_id=10, text="3", replayed=True),
        Frame(Kind.JOINED, "r"),
    ]
    client.connect()
    assert client.join("r") == ['{"n": 2, "rejoin": "r", "epoch": "e", "at": 10}']


# Requests as steps.

TICKET = SMALL.replace(
    "[[frame]]",
    """\
[[socket.open]]
request = "POST /ticket?n=${ref}"
expect = { "$.ok" = true }
keep = { ticket = "$.ticket" }
[[socket.open]]
send = '{"ticket": "${ticket}"}'
[[frame]]""",
    1,
)


def test_a_step_may_be_a_request() -> None:
    client = Client(TICKET)
    (request,) = client.connect(room="everybody").replies
    assert isinstance(request, Request)
    assert (request.method, request.path) == ("POST", "/ticket?n=1")
    assert client.expects()
    other = Request("POST", "/ticket?n=1")
    assert client.session.answered(other, Answer(200, {}, b"{}")) == Taken(())
    answer = Answer(200, {}, b'{"ok": true, "ticket": "t"}')
    assert client.session.answered(request, answer) == Taken([Frame(Kind.SUBSCRIBED)], ['{"ticket": "t"}'])
    assert client.session.answered(request, answer) == Taken(())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(403, {}, b"no"), "expected a status of 2xx, got 403"),
        (Answer(200, {}, b'{"ok": false}'), "expected $.ok = true, got another answer"),
        (Answer(200, {}, b'{"ok": true}'), "expected $.ticket in the answer, got nothing"),
    ],
)
def test_a_request_may_fail(answer: Answer, why: str) -> None:
    client = Client(TICKET)
    (request,) = client.connect(room="everybody").replies
    assert isinstance(request, Request)
    detail = f"line 5 of the protocol file (socket.open 1): {why}"
    assert client.session.answered(request, answer) == Taken((Frame(Kind.ERROR, detail=detail),))


# Later connections.


def test_a_later_connection_takes_again_once_what_it_needs_is_known() -> None:
    client = Client()
    client.connect()
    assert client.connect() == Taken([], [])  # there is no session yet
    client.take(HELLO)
    assert client.connect().replies == ['{"n": 1, "resume": "s1", "last": 0}']
    client.take({"re": 1}, {"type": "message", "room": "r", "text": "x", "id": 7})
    assert client.connect().replies == ['{"n": 1, "resume": "s1", "last": 7}']
    client.take({"re": 1, "session": "s2"})
    assert client.connect().replies == ['{"n": 1, "resume": "s2", "last": 7}']


def test_a_later_join_takes_rejoin_once_what_it_needs_is_known() -> None:
    client = Client()
    client.open()
    client.join("a")
    client.join("b")
    client.take({"type": "joined", "room": "a", "epoch": "e"}, {"type": "joined", "room": "b"})
    client.open()
    assert client.join("a") == ['{"n": 2, "rejoin": "a", "epoch": "e", "at": 0}']
    assert client.join("b") == ['{"watch": "b"}', '{"n": 4, "join": "b"}']


def test_a_frame_that_sends_may_have_the_trace_context_of_its_message() -> None:
    frame = '{"n": ${ref}, "key": "${uid}", "to": "${room}", "text": "${text}"}'
    client = Client(FILE.replace(frame, '{"text": "${text}", "traceparent": "${traceparent}"}'))
    client.open()
    sent = client.session.send("r", "hi", "run.3.4")
    assert sent == f'{{"text": "hi", "traceparent": "{send_traceparent("run.3.4")}"}}'


@pytest.mark.parametrize("recovered", [True, False, None])
def test_a_rejoin_that_was_not_recovered_has_missed_messages(recovered: bool | None) -> None:
    client = Client()
    client.open()
    client.join("r")
    client.take({"type": "joined", "room": "r", "epoch": "e"})
    client.open()
    client.join("r")
    joined = {"type": "joined", "room": "r", "recovered": recovered}
    missed = [] if recovered else [Frame(Kind.MISSED, "r")]
    assert client.take(joined).frames == [Frame(Kind.JOINED, "r", recovered=recovered is True), *missed]


def test_a_chat_that_says_nothing_of_what_was_missed_has_not_said_that_it_is_all_there() -> None:
    client = Client()
    for _ in range(2):
        client.open()
        client.join("b")
        assert client.take({"type": "joined", "room": "b"}).frames == [Frame(Kind.JOINED, "b")]


def test_where_a_client_reads_on_each_reconnection_messages_were_missed_on_each() -> None:
    history = 'request = "GET /x"\nmessages = "$[*]"\ntext = "$.text"\nread_on = "reconnect"\n'
    client = Client(f"{SMALL}[history]\n{history}")
    client.connect(room="everybody")
    assert kinds(client.session.join("everybody", None)) == [Kind.JOINED]
    client.connect(room="everybody")
    assert kinds(client.session.join("everybody", None)) == [Kind.JOINED, Kind.MISSED]
    client.connect(room="everybody", everything=True)
    assert kinds(client.session.join("everybody", None)) == [Kind.JOINED]


def test_a_connection_that_asks_for_everything_knows_nothing_and_leaves_nothing() -> None:
    client = Client()
    client.open()
    client.take({"type": "message", "room": "r", "text": "x", "id": 7})
    assert client.protocol.handshake(client.user).path == "/ws?last=7"
    assert client.protocol.handshake(client.user, everything=True).path == "/ws?last="
    assert client.connect(everything=True) == Taken([], [])
    client.take({**HELLO, "session": "s9"}, {"type": "message", "room": "r", "text": "x", "id": 99})
    assert client.connect().replies == ['{"n": 1, "resume": "s1", "last": 7}']


# What frames leave.


def test_a_rule_keeps_and_replies() -> None:
    client = Client()
    client.open()
    assert client.take({"type": "ping", "n": 5}) == Taken([Frame(Kind.OTHER)], ['{"pong": 6, "n": "s1"}'])
    assert client.take({"type": "ping", "n": "x"}) == Taken([Frame(Kind.OTHER)])  # nothing to say
    assert client.take({"type": "notice", "session": 'a"b'}).replies == ()
    assert client.take({"type": "ping", "n": 1}).replies == ['{"pong": 2, "n": "a\\"b"}']
    assert client.take({"type": "notice", "session": None}, {"type": "ping"}).replies == [
        '{"pong": 2, "n": "a\\"b"}'
    ]  # as before


def test_a_message_that_is_no_longer_awaited_leaves_the_same_by_note() -> None:
    client = Client()
    client.open()
    assert client.session.notes
    (frame,) = client.protocol.read_frames(b'{"type": "message", "room": "r", "text": "x", "id": 4}')
    assert list(client.session.note(frame)) == ['{"seen": 4}']
    assert list(client.session.note(frame._replace(source=None))) == []
    assert client.session.take(frame._replace(source=None)) == Taken((frame._replace(source=None),))
    assert not Client(SMALL).session.notes


def test_each_of_several_messages_leaves_its_own() -> None:
    each = SMALL.replace('text = "$.text"', 'each = "$.all[*]"\ntext = "$.text"\nkeep = { last = "$.id" }')
    client = Client(each.replace('path = "/ws"', 'path = "/ws/${last|or:0}"'))
    client.connect(room="everybody")
    for frame in client.protocol.read_frames(
        b'{"type": "message", "all": [{"text": "a", "id": 4}, {"text": "b", "id": 5}]}'
    ):
        client.session.note(frame)
    assert client.protocol.handshake(client.user).path == "/ws/5"
    client.take({"type": "message", "all": []})
    assert client.protocol.handshake(client.user).path == "/ws/5"


def test_what_is_kept_of_a_room_without_saying_which_is_that_of_the_only_room() -> None:
    text = SMALL.replace('id = "$.id"', 'id = "$.id"\nkeep = { "room.at" = "$.id" }')
    text += "[history]\nrequest = \"GET /x/${room.at|or:0}\"\nmessages = '$[*]'\ntext = '$.text'\n"
    client = Client(text)
    for room, path in (("", "/x/0"), ("everybody", "/x/4")):
        client.connect(room=room)
        client.take({"type": "message", "text": "x", "id": 4})
        assert client.protocol.whole_chat(client.user, "everybody").path == path


def test_what_a_step_of_the_connection_keeps_of_a_room_is_that_of_the_only_room() -> None:
    text = SMALL.replace(
        "[[frame]]",
        '[[socket.open]]\nexpect = { "$.at" = { exists = true } }\nkeep = { "room.at" = "$.at" }\n[[frame]]',
    )
    client = Client(text.replace('"/ws"', '"/ws/${room}"'))
    for room in ("", "everybody"):
        client.connect(room=room)
        assert kinds(client.take({"at": 4})) == [Kind.SUBSCRIBED]
    assert client.user.memory.connection.rooms["everybody"]["room.at"] == "4"


def test_what_steps_keep_is_a_secret_and_what_comes_with_messages_is_not() -> None:
    client = Client()
    client.connect()
    client.take({**HELLO, "session": "the-session-of-ann"})
    client.take({"type": "message", "room": "r", "text": "x", "id": "the-id-of-it"})
    (connection, *_) = client.session.kept if isinstance(client.session, DescribedSession) else []
    assert connection.blanked("the-session-of-ann the-id-of-it") == "*** the-id-of-it"


# Sends.


def test_an_acknowledgement_is_of_the_send_whose_number_or_key_it_names() -> None:
    client = Client()
    client.open()
    assert client.session.send("r", 'say "hi"', "key-1") == (
        '{"n": 3, "key": "key-1", "to": "r", "text": "say \\"hi\\""}'
    )
    client.session.send("r", "x", "key-2")
    assert client.take({"type": "ack", "ref": 3}).frames == [Frame(Kind.ACKNOWLEDGED, reference="key-1")]
    assert client.take({"type": "nack", "ref": "key-2"}).frames[0].reference == "key-2"
    for ref in ("3", "4", "key-1", "7", None):  # each send is acknowledged once
        assert client.take({"type": "ack", "ref": ref}).frames[0].reference == ("null" if ref is None else ref)
    assert isinstance(client.session, DescribedSession)
    assert client.session._references == {}


# Heartbeats.


@pytest.mark.parametrize(
    ("said", "every", "dead"),
    [
        (5, 5.0, 15.0),
        (0.5, 0.5, 10.5),
        (0, None, 10.0),
        (-5, None, 5.0),
        (-10, None, None),
        ("x", None, None),
        (None, 20.0, None),  # as before
        ([], None, None),
        (1e300, None, None),
        (10**15, None, None),
    ],
)
def test_what_a_server_says_of_heartbeats_counts_if_it_makes_sense(
    said: object, every: float | None, dead: float | None
) -> None:
    client = Client()
    client.connect()
    assert client.session.heartbeat == Heartbeat(20.0, False)
    assert client.session.dead_after is None
    client.take({**HELLO, "every": said})
    assert client.session.heartbeat == Heartbeat(every, False)
    assert client.session.dead_after == dead
    assert client.session.ping() == '{"ping": 3}'


# What cannot be made.

ODD = SMALL.replace(
    "[[frame]]",
    """\
[[socket.open]]
send = '{"login": 1}'
expect = { "$.seq" = { exists = true } }
keep = { seq = "$.seq" }
[[socket.open]]
send = '{"n": ${seq|plus:1}}'
expect = { "$.re" = "${seq|plus:2}" }
[heartbeat]
idle = "5s"
send = '{"n": ${seq|plus:1}}'
[[frame]]""",
    1,
)


def test_a_later_step_that_cannot_be_made_has_failed() -> None:
    client = Client(ODD)
    client.connect(room="everybody")
    why = "line 9 of the protocol file (socket.open 2): expected two numbers for the filter plus:1, got something else"
    assert client.take({"seq": "the secret"}).frames == [Frame(Kind.CONNECTED), Frame(Kind.ERROR, detail=why)]
    assert not client.expects()


def test_what_the_client_itself_begins_is_an_error_if_it_cannot_be_made() -> None:
    client = Client(ODD.replace('{"login": 1}', '{"login": ${seq}}'))
    with pytest.raises(OutOfScopeError, match=r"^seq: expected a variable of the scope "):
        client.connect(room="everybody")
    assert not client.expects()
    with pytest.raises(OutOfScopeError):
        client.session.ping()
    client = Client(ODD)
    client.connect(room="everybody")
    client.take({"seq": 7})
    assert client.session.ping() == '{"n": 8}'
    assert client.take({"re": 9}).frames == [Frame(Kind.SUBSCRIBED)]


# Any frames.


def frames_of(name: str) -> list[bytes]:
    """What the server says in a transcript."""
    return [line["in"].encode() for line in transcript_of(name)["line"] if "in" in line]


def odd(document: Any) -> st.SearchStrategy[Any]:
    """The same with some values replaced, however a server could."""
    same: st.SearchStrategy[Any] = st.just(document)
    values = st.sampled_from([None, True, -1, 0, 10**30, 1.5, "", "x", "\ud83d", "1e9", [], {}, [None], {"id": 1}])
    if isinstance(document, dict):
        same = st.fixed_dictionaries({key: odd(value) for key, value in document.items()})
    elif isinstance(document, list):
        same = st.tuples(*map(odd, document)).map(list)
    return st.integers(0, 9).flatmap(lambda n: same if n else values)


def any_frame(name: str) -> st.SearchStrategy[bytes]:
    """One of a transcript's frames: as it is, with other values, or with other bytes."""

    def other(data: bytes) -> st.SearchStrategy[bytes]:
        start = min((at for at in (data.find(b"{"), data.find(b"[")) if at >= 0), default=len(data))
        end = max(data.rfind(b"}"), data.rfind(b"]")) + 1
        try:
            document = json.loads(data[start:end])
        except ValueError:
            return st.binary(max_size=8).map(lambda more: data[:-1] + more)
        return odd(document).map(lambda value: data[:start] + json.dumps(value).encode() + data[end:])

    known = st.sampled_from(frames_of(name))
    return st.one_of(known, known.flatmap(other))


@pytest.mark.parametrize("name", sorted(shipped()))
@settings(deadline=None)
@given(data=st.data())
def test_a_session_takes_any_frames_in_any_order(name: str, data: st.DataObject) -> None:
    transcript, description = transcript_of(name), DESCRIPTIONS[name]
    protocol = Described(description, transcript.get("environment", {}), "https://chat.example.com")
    user = protocol.user("widget", 0, transcript["run"], transcript["user"])
    for kept in ("token", "csrf", "me"):
        user.variables[kept] = "x"
    frames = any_frame(name)
    for _ in range(data.draw(st.integers(1, 2))):
        room = transcript["room"] if protocol.promises.one_room else ""
        protocol.handshake(user, room=room)
        session = protocol.session(user, room=room)
        session.open()
        joined = False
        for one in data.draw(st.lists(st.one_of(frames, st.just(b"join")), max_size=8)):
            if one == b"join" and not joined:
                joined = True
                for each in (transcript["room"], "another room"):
                    with contextlib.suppress(OutOfScopeError):  # of what the frames before did not say
                        session.join(each, None)
            assert session.dead_after is None or session.dead_after > 0
            assert session.heartbeat.seconds is None or session.heartbeat.seconds > 0
            try:
                read = protocol.read_frames(one)
            except Unreadable:
                continue
            for frame in read:
                if frame.kind is Kind.MESSAGE and not session.expects:
                    session.note(frame)
                else:
                    session.take(frame)


DESCRIPTIONS = {name: read_description(path.read_text(encoding="utf-8"), name) for name, path in shipped().items()}


def test_no_depth_of_nesting_stops_a_session() -> None:
    client = Client(FILE.replace('is = "nack"', 'is = "nack"\ndetail = "$"'))
    client.open()
    client.join("r")
    for levels in [*range(0, 900, 100), *range(900, 1010)]:
        deep = b"[" * levels + b"]" * levels
        for written in (
            b'{"type": "nack", "ref": %s}',
            b'{"type": "refused", "room": "r", "x": %s}',
            b'{"type": "notice", "at": %s}',
        ):
            try:
                read = client.protocol.read_frames(written.replace(b"%s", deep))
            except Unreadable:
                continue
            for frame in read:
                client.session.take(frame)
        client.join("r")
