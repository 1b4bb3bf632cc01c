"""WebSocket messages: their documents by each encoding, and the rule that each of them meets."""

import html
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.protocols.catalogue import shipped
from chatswarm.loadtests.protocols.described import read_description
from chatswarm.loadtests.protocols.described.conditions import Conditions, conditions_of
from chatswarm.loadtests.protocols.described.frames import (
    Codec,
    Document,
    FrameRule,
    JsonCodec,
    Rules,
    StompCodec,
    TextCodec,
    identity,
)
from chatswarm.loadtests.protocols.described.paths import MISSING, Paths, path_of
from chatswarm.loadtests.protocols.protocol import Frame, Kind, Unreadable, UnreadableHere, read

SOCKET_IO = r"(?P<eio>\d)(?P<sio>\d?)(?:(?P<attachments>\d+)-)?(?:(?P<namespace>/[^,]*),)?(?P<ref>\d*)"


# Encodings.


@pytest.mark.parametrize(
    ("codec", "data", "documents"),
    [
        (JsonCodec(), b'{"a": 1}', [(None, {"a": 1})]),
        (JsonCodec(), b" [1]\n", [(None, [1])]),
        (JsonCodec(separator="\n"), b'{"a": 1}\n{"b": 2}\n', [(None, {"a": 1}), (None, {"b": 2})]),
        (JsonCodec(separator="\n"), b"\n\n{}", [(None, {})]),
        (JsonCodec(separator="\n"), b"", []),
        (JsonCodec(terminator="\x1e"), b"{}\x1e{}\x1e", [(None, {}), (None, {})]),
        (JsonCodec(terminator="\x1e"), b"{}", [(None, {})]),
        (JsonCodec(terminator="end"), '"ü"end'.encode(), [(None, "ü")]),
        (
            JsonCodec(head=re.compile(SOCKET_IO)),
            b'42/admin,7["x", {}]',
            [({"eio": "4", "sio": "2", "namespace": "/admin", "ref": "7"}, ["x", {}])],
        ),
        (
            JsonCodec(head=re.compile(SOCKET_IO)),
            b'451-["x"]',
            [({"eio": "4", "sio": "5", "attachments": "1", "ref": ""}, ["x"])],
        ),
        (JsonCodec(head=re.compile(SOCKET_IO)), b"2", [({"eio": "2", "sio": "", "ref": ""}, MISSING)]),
        (JsonCodec(head=re.compile(SOCKET_IO)), b"3probe", [({}, MISSING)]),
        (JsonCodec(head=re.compile(SOCKET_IO)), b"b64", [({}, MISSING)]),
        (JsonCodec(head=re.compile("(?P<a>x)"), separator="|"), b"x1|x2", [({"a": "x"}, 1), ({"a": "x"}, 2)]),
        (TextCodec(re.compile(r"(?P<a>\w+): (?P<b>.*)", re.DOTALL)), b"x: hi\ny", [(None, {"a": "x", "b": "hi\ny"})]),
        (TextCodec(re.compile(r"(?P<nick>\w+)(?P<rest>!)?")), b"ann", [(None, {"nick": "ann"})]),
        (TextCodec(re.compile(r"(?P<nick>\w+)")), b"ann!", [(None, MISSING)]),
    ],
)  # fmt: skip
def test_a_message_has_its_documents(codec: Codec, data: bytes, documents: list[tuple[object, object]]) -> None:
    assert [tuple(one) for one in codec.decode(data)] == documents


@pytest.mark.parametrize(
    ("data", "head", "body"),
    [
        (b"MESSAGE\na:1\nb:2\n\n{\"text\": \"x\"}\0", {"a": "1", "b": "2"}, {"text": "x"}),
        (b"\n\r\nMESSAGE\r\na:1\r\n\r\nx\r\ny\0\n\r\n", {"a": "1"}, "x\r\ny"),
        (b"MESSAGE\n\n\0", {}, ""),
        (b"MESSAGE\n\n", {}, ""),
        (b"MESSAGE\n\nx\n\0", {}, "x\n"),
        (b"MESSAGE\n\nx\ny\n", {}, "x\ny\n"),
        (b"MESSAGE\n\na\n\nb\0", {}, "a\n\nb"),
        (b"MESSAGE\na:b:c\na:second\nempty:\n\n\0", {"a": "b:c", "empty": ""}, ""),
        (b"MESSAGE\na\\cb:x\\ny\\\\n\\rz\\t\n\n\0", {"a:b": "x\ny\\n\rz\\t"}, ""),
        (b"MESSAGE\ncommand:ERROR\n\n\0", {}, ""),
        (b"MESSAGE\n\n{x\0", {}, "{x"),
        (b"MESSAGE\n\n[1, 2]\0", {}, [1, 2]),
        (b"MESSAGE\n\n7\0", {}, "7"),
    ],
)  # fmt: skip
def test_a_stomp_frame_has_headers_and_a_body(data: bytes, head: dict[str, str], body: object) -> None:
    assert StompCodec().decode(data) == [Document({"command": "MESSAGE", **head}, body)]


def test_stomp_escapes_nothing_in_connected() -> None:
    ((head, _),) = StompCodec().decode(b"CONNECTED\nserver:a\\cb\n\n\0")
    assert head == {"command": "CONNECTED", "server": "a\\cb"}


@pytest.mark.parametrize("data", [b"\n", b"\r\n", b""])
def test_a_heartbeat_of_stomp_has_no_document(data: bytes) -> None:
    assert StompCodec().decode(data) == []


@pytest.mark.parametrize("data", [b"x\n\n\0", b"MESSAGE", b"MESSAGE\na:1\n", b'{"a": 1}', b"\0", b"MESSAGE \n\n\0"])
def test_what_is_no_stomp_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        StompCodec().decode(data)
    assert str(refused.value) == f"a frame: expected STOMP, got {data!r}"


@pytest.mark.parametrize("data", [b"", b"{", b"x", b'{"a": NaN}', b"{}{}"])
def test_what_is_no_json_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable) as refused:
        JsonCodec().decode(data)
    assert str(refused.value) == f"a frame: expected JSON, got {data!r}"


def test_what_is_nested_too_deeply_is_unreadable_here() -> None:
    with pytest.raises(UnreadableHere, match=r"^a frame: nested too deeply, got b'\[\["):
        JsonCodec().decode(b"[" * 100_000)


@pytest.mark.parametrize(
    ("codec", "text", "message"),
    [
        (JsonCodec(), '{"a": "\ud83d"}', '{"a": "\ufffd"}'),
        (JsonCodec(separator="\n"), "{}", "{}"),
        (JsonCodec(terminator="\x1e"), "{}", "{}\x1e"),
        (TextCodec(re.compile("")), "hi\ud83d", "hi\ufffd"),
        (StompCodec(), "CONNECT\nhost:/\n", "CONNECT\nhost:/\n\n\0"),
        (StompCodec(), "\nCONNECT\nhost:/", "CONNECT\nhost:/\n\n\0"),
        (StompCodec(), "SEND\na:1\n\nbody\n", "SEND\na:1\n\nbody\n\0"),
        (StompCodec(), "SEND\na:1\n\nbody\0", "SEND\na:1\n\nbody\0"),
        (StompCodec(), "\n", "\n"),
        (StompCodec(), "", "\n"),
    ],
)
def test_what_is_sent_is_encoded(codec: Codec, text: str, message: str) -> None:
    assert codec.encode(text) == message


# Rules.


def when(**values: object) -> Conditions:
    return conditions_of({f"$.{name}": value for name, value in values.items()}, None)


def rule(number: int, meaning: str, conditions: Conditions | None = None, **others: Any) -> FrameRule:
    others = {name: path_of(value) if isinstance(value, str) else value for name, value in others.items()}
    return FrameRule(number, 10 * number, meaning, conditions or Conditions(), **others)


def frames(rules: list[FrameRule], document: object) -> list[Frame]:
    found = Rules(rules, JsonCodec()).read(json.dumps(document).encode())
    return [frame._replace(source=None) for frame in found]


MESSAGE = rule(1, "message", when(type="message"), room="$.room", text="$.text", id="$.id")


def test_the_first_rule_that_fits_says_what_a_frame_means() -> None:
    rules = [
        MESSAGE,
        rule(2, "ack", when(type="ack", ok=True), ref="$.ref", id="$.id", detail="$.why"),
        rule(3, "nack", when(type="ack"), ref="$.ref", status="$.status", detail="$.why"),
        rule(4, "left", when(type="left"), room="$.room", detail="$.why"),
        rule(5, "dropped", when(type="dropped"), room="$.room"),
        rule(6, "missed", when(type="missed")),
        rule(7, "error", when(type="error")),
        rule(8, "ignore", when(type={"exists": True}), text="$.never"),
    ]
    cases: list[tuple[dict[str, object], Frame]] = [
        (
            {"type": "message", "room": "r", "text": "x", "id": 7},
            Frame(Kind.MESSAGE, "r", True, 7, "", "x"),
        ),
        ({"type": "message", "room": 5, "text": ""}, Frame(Kind.MESSAGE, "5", text="")),
        (
            {"type": "ack", "ok": True, "ref": 3, "id": "a", "why": "x"},
            Frame(Kind.ACKNOWLEDGED, message_id="a", reference="3"),
        ),
        (
            {"type": "ack", "ref": "3", "status": 429, "why": "slow"},
            Frame(Kind.REJECTED, detail="slow", reference="3", status=429),
        ),
        ({"type": "ack", "status": "429"}, Frame(Kind.REJECTED)),
        ({"type": "ack", "status": 10**6, "why": {"a": 1}}, Frame(Kind.REJECTED, detail='{"a":1}')),
        ({"type": "left", "room": "r", "why": None}, Frame(Kind.LEFT, "r", detail="null")),
        ({"type": "dropped", "room": "r"}, Frame(Kind.DROPPED, "r", detail='{"type":"dropped","room":"r"}')),
        ({"type": "missed"}, Frame(Kind.MISSED, detail='{"type":"missed"}')),
        ({"type": "error"}, Frame(Kind.ERROR, detail='{"type":"error"}')),
        ({"type": "pong"}, Frame(Kind.OTHER)),
        ({}, Frame(Kind.UNKNOWN)),
    ]  # fmt: skip
    for document, expected in cases:
        assert frames(rules, document) == [expected]


def test_in_rules_true_is_not_1_either() -> None:
    rules = [
        rule(1, "error", when(a=True)),
        rule(2, "missed", when(a={"is": [True, "x"]})),
        rule(3, "ignore", when(a={"not": True})),
    ]
    kinds = [frames(rules, {"a": value})[0].kind for value in (True, 1, False, "x")]
    assert kinds == [Kind.ERROR, Kind.OTHER, Kind.OTHER, Kind.MISSED]


def test_a_frame_says_which_rule_took_it() -> None:
    (frame,) = Rules([MESSAGE], JsonCodec()).read(b'{"type": "message", "room": "r", "text": "x"}')
    assert (str(frame.source.rule), frame.source.rule.line) == ("frame 1: message", 10)
    (frame,) = Rules([MESSAGE], JsonCodec()).read(b"7")
    assert frame.source == (None, (None, 7), None)


def test_messages_may_be_escaped_others_replayed_or_only_announced() -> None:
    rules = [
        rule(
            1, "message", when(type="m"), text="$.text", as_html=True,
            ours=when(role={"is": ["user"], "or_absent": True}), replay=when(again=True),
        ),
        rule(2, "hint", when(type="h"), room="$.room", ours=when(role="user")),
    ]  # fmt: skip
    assert frames(rules, {"type": "m", "text": "&lt;b&gt; &#39;&amp;amp;"}) == [Frame(Kind.MESSAGE, text="<b> '&amp;")]
    assert frames(rules, {"type": "m", "text": "x", "role": "agent", "again": True}) == [
        Frame(Kind.MESSAGE, from_customer=False, text="x", replayed=True)
    ]
    assert frames(rules, {"type": "h", "room": "r", "role": "user"}) == [Frame(Kind.MESSAGE, "r")]


def test_one_frame_may_have_several_messages() -> None:
    rules = [rule(1, "message", when(type="m"), each=Paths("$.all[?!@.t]"), room="$.room", text="$.text")]
    document = {"type": "m", "all": [{"room": "a", "text": "1"}, {"t": "joined"}, {"room": "b", "text": "2"}]}
    assert frames(rules, document) == [Frame(Kind.MESSAGE, "a", text="1"), Frame(Kind.MESSAGE, "b", text="2")]
    assert frames(rules, {"type": "m", "all": []}) == [Frame(Kind.OTHER)]
    assert frames(rules, {"type": "m"}) == [Frame(Kind.OTHER)]


NO_ROOM = "a frame: line 10 of the protocol file expects a room at $.room, got nothing in "


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (
            {"type": "message", "room": "r", "body": "x"},
            "a frame: line 10 of the protocol file expects a text at $.text, got ''",
        ),
        (
            {"type": "message", "room": "r", "text": ["x"]},
            "a frame: line 10 of the protocol file expects a text at $.text, got '[\"x\"]'",
        ),
        (
            {"type": "message", "text": "x"},
            NO_ROOM + '\'{"type":"message","text":"x"}\'',
        ),
        (
            {"type": "message", "room": None, "text": "x"},
            NO_ROOM + '\'{"type":"message","room":null,"text":"x"}\'',
        ),
    ],
)
def test_a_message_without_what_its_rule_expects_is_unreadable(document: object, problem: str) -> None:
    with pytest.raises(Unreadable) as refused:
        frames([MESSAGE], document)
    assert str(refused.value) == problem


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, 7), (0, 0), (2**63 - 1, 2**63 - 1), (2**63, None), (-1, None), (1.0, None), (True, None), ("a", "a"),
        ("", None), (None, None), (MISSING, None), ([7], None),
    ],
)  # fmt: skip
def test_an_id_is_one_that_a_history_can_hold(value: object, expected: object) -> None:
    assert identity(value) == expected


# The generated code.

PATHS = st.sampled_from(["$", "$.a", "$.a.b", "$[0]", "$[-1].a", "$.a -> $.b", "$head.a", "$head.b -> $[0]"])
TESTS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["x", "", "'", "\\", "\n", "MISSING", 0, 1, True, False, 1.5, [], [1]]),
    st.sampled_from([{"exists": True}, {"exists": False}, {"empty": True}, {"not": 1}, {"matches": "^x"}]),
    st.sampled_from([{"is": ["x", 1]}, {"is": [True], "or_absent": True}]),
)
VALUES = st.recursive(
    st.sampled_from(["x", "", "'", "\\", '{"b": 1}', '["x"]', 0, 1, True, False, 1.5, None]),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)),
    max_leaves=6,
)
BODIES = st.one_of(VALUES, st.just(MISSING))


@settings(deadline=None)
@given(st.lists(st.dictionaries(PATHS, TESTS, max_size=3), max_size=4), BODIES, BODIES)
def test_the_generated_matcher_finds_the_first_rule_whose_conditions_fit(
    tables: list[dict[str, Any]], body: object, head: object
) -> None:
    rules = [
        FrameRule(number, number, "ignore", conditions_of(table, None) if table else Conditions())
        for number, table in enumerate(tables, 1)
    ]
    expected = next((one for one in rules if one.when.fit(body, head)), None)
    (frame,) = Rules(rules, Said([Document(head, body)])).read(b"")
    assert frame == Frame(Kind.OTHER if expected else Kind.UNKNOWN, source=frame.source)
    assert frame.source.rule is expected
    assert frame.source.document == (head, body)


class Said:
    """Whatever comes, these documents were said."""

    def __init__(self, documents: list[Document]) -> None:
        self._documents = documents

    def decode(self, data: bytes) -> list[Document]:
        return self._documents

    def encode(self, text: str) -> str:
        return text


SEVERAL = st.sampled_from([None, Paths("$"), Paths("$.a[*]"), Paths("$[?@.a || !@.b]")])


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["room", "text", "id"]), PATHS, max_size=3),
    st.dictionaries(
        st.sampled_from(["ours", "replay"]), st.dictionaries(PATHS, TESTS, min_size=1, max_size=2), max_size=2
    ),
    SEVERAL,
    st.booleans(),
    BODIES,
    BODIES,
)
def test_the_generated_frames_are_those_that_the_rule_describes(
    paths: dict[str, str], conditions: dict[str, Any], each: Paths | None, as_html: bool, body: object, head: object
) -> None:
    found: dict[str, Any] = {name: path_of(path) for name, path in paths.items()}
    found |= {name: conditions_of(table, None) for name, table in conditions.items()}
    described = FrameRule(1, 1, "hint" if "text" not in paths else "message", each=each, as_html=as_html, **found)
    expected = [interpreted(described, one, head) for one in ([body] if each is None else each.find(body))]
    rules = Rules([described], Said([Document(head, body)]))
    if Unreadable in expected:
        with pytest.raises(Unreadable):
            rules.read(b"")
        return
    assert [frame._replace(source=None) for frame in rules.read(b"")] == (expected or [Frame(Kind.OTHER)])
    if expected:
        assert [frame.source.item for frame in rules.read(b"")] == ([body] if each is None else each.find(body))


def interpreted(described: FrameRule, item: object, head: object) -> Frame | type[Unreadable]:
    """What a rule makes of one item."""
    room, text = ("" if path is None else path.find(item, head) for path in (described.room, described.text))
    if room is None or room is MISSING or not isinstance(text, str):
        return Unreadable
    return Frame(
        Kind.MESSAGE,
        room if isinstance(room, str) else json.dumps(room, separators=(",", ":")),
        described.ours is None or described.ours.fit(item, head),
        None if described.id is None else identity(described.id.find(item, head)),
        text=None if described.text is None else html.unescape(text) if described.as_html else text,
        replayed=described.replay is not None and described.replay.fit(item, head),
    )


def deep(levels: int) -> bytes:
    return b'{"type": "message", "text": ' + b"[" * levels + b"]" * levels + b"}"


@pytest.mark.parametrize("name", sorted(shipped()))
@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=4)),
            lambda one: st.one_of(
                st.lists(one, max_size=5),
                st.dictionaries(
                    st.sampled_from(["type", "msg", "event", "data", "message", "push", "pub", "text", "body", "a"]),
                    st.one_of(one, st.sampled_from(["message", "changed", "posted", "ack", "next", 1, 3])),
                    max_size=4,
                ),
            ),
        ).map(lambda value: json.dumps(value).encode()),
        st.integers(900, 1100).map(deep),
    )
)
def test_any_bytes_are_read_or_unreadable(name: str, data: bytes) -> None:
    protocol = DESCRIPTIONS[name]
    for written in (data, b"42" + data, data + b"\x1e" + data, b"MESSAGE\nsubscription:a\n\n" + data + b"\0"):
        try:
            protocol.rules.read(written)
        except Unreadable:
            continue


DESCRIPTIONS = {name: read_description(path.read_text(encoding="utf-8"), name) for name, path in shipped().items()}


def test_bytes_that_a_filter_cannot_look_into_are_unreadable_here() -> None:
    rules = Rules([rule(1, "message", when(type="message"), each=Paths("$..text"), text="$")], JsonCodec())
    with pytest.raises(UnreadableHere):
        read(rules.read, deep(300))
