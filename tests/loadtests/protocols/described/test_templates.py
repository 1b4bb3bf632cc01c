"""Templates: holes, filters and scopes; no value breaks out of the place where it stands."""

import base64
import hashlib
import hmac
import html
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.protocols.described.frames import JsonCodec, StompCodec
from chatswarm.loadtests.protocols.described.paths import decoded
from chatswarm.loadtests.protocols.described.requests import RequestTemplate
from chatswarm.loadtests.protocols.described.templates import (
    Context,
    Template,
    TemplateError,
    Templates,
    Writing,
    written,
)
from chatswarm.loadtests.protocols.outgoing import whole
from chatswarm.loadtests.protocols.variables import OutOfScopeError, Variables
from chatswarm.loadtests.swarm.net.requests import Unsendable, check_header

ANY = st.one_of(
    st.text(),
    st.text(st.characters(exclude_categories=[])),  # also halves of surrogate pairs
    st.sampled_from(
        ['"', "\\", '\\"', "\r\n\r\n", "\n\n", "\0", "../..", "?a=b#c", "\u2028", '", "admin": true, "x": "']
    ),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)), lambda one: st.lists(one, max_size=2)
    ).map(json.dumps),
)


def context(values: Mapping[str, str] = {}) -> Context:
    variables = Variables("run")
    for name, value in values.items():
        variables[name] = value
    return Context(variables)


def filled(text: str, writing: Writing = "plain", named: Mapping[str, str] | None = None, /, **values: str) -> str:
    return Templates(named or {}).make(text, writing).fill(context(values))


# How a value is written.


@pytest.mark.parametrize(
    ("writing", "text", "value", "expected"),
    [
        ("json", '{"a": "${v}"}', 'say "hi"\\\n\t', '{"a": "say \\"hi\\"\\\\\\n\\t"}'),
        ("json", '{"a": "x${v}y"}', "7", '{"a": "x7y"}'),
        ("json", '{"a": "\\"${v}"}', '"', '{"a": "\\"\\""}'),
        ("json", '{"a": ${v}}', "7", '{"a": 7}'),
        ("json", '{"a": ${v}}', "true", '{"a": true}'),
        ("json", '{"a": ${v}}', "null", '{"a": null}'),
        ("json", '{"a": ${v}}', '["b", {"c": 1.5}]', '{"a": ["b", {"c": 1.5}]}'),
        ("json", '{"a": ${v}}', "a b", '{"a": "a b"}'),
        ("json", '{"a": ${v}}', "007", '{"a": "007"}'),
        ("json", '{"a": ${v}}', "NaN", '{"a": "NaN"}'),
        ("json", '{"a": ${v}}', '1, "b": 2', '{"a": "1, \\"b\\": 2"}'),
        ("json", '{"a": ${v}}', "[1,\n2]", '{"a": [1, 2]}'),
        ("json", '42${v}["${v}"]', "7", '427["7"]'),
        ("path", "/rooms/${v}", "a/b c?d#e%ü", "/rooms/a%2Fb%20c%3Fd%23e%25%C3%BC"),
        ("path", "/rooms/${v}", "..", "/rooms/%2E%2E"),
        ("path", "/rooms/${v|raw}", "a/b", "/rooms/a/b"),
        ("stomp", "SEND\nx:${v}\n\n", "a:b\\c\nd\re\0", "SEND\nx:a\\cb\\\\c\\nd\\re\ufffd\n\n"),
        ("stomp", "SEND\n\n${v}", "a:b\\c\nd\0", "SEND\n\na:b\\c\nd\ufffd"),
        ("stomp", "CONNECT\npasscode:${v}\n\n", "a:b\\c\r\nd", "CONNECT\npasscode:a:b\\cd\n\n"),
        ("plain", "Bearer ${v}", 'a"b\\ c', 'Bearer a"b\\ c'),
    ],
)
def test_where_a_hole_stands_decides_how_its_value_is_written(
    writing: Writing, text: str, value: str, expected: str
) -> None:
    assert filled(text, writing, v=value) == expected


@given(ANY)
def test_no_value_breaks_out_of_its_json_string(value: str) -> None:
    text = filled('{"a": "x${v}", "b": ["${v}"]}', "json", v=value)
    for data in (text, JsonCodec(terminator="\x1e").encode(text).removesuffix("\x1e")):
        assert json.loads(data) == {"a": "x" + whole(value), "b": [whole(value)]}
        assert not re.search("[\0-\x1f]", data)


@given(ANY)
def test_no_value_breaks_out_of_its_place_in_json(value: str) -> None:
    text = filled('{"a": ${v}, "b": 1}', "json", v=value)
    try:
        expected: Any = decoded(value)
    except (ValueError, RecursionError):
        expected = whole(value)
    assert json.loads(text) == {"a": expected, "b": 1}
    assert not re.search("[\0-\x1f]", text)


@given(ANY)
def test_no_value_breaks_out_of_json_in_json(value: str) -> None:
    text = filled('{"a": "${inner}"}', "json", {"inner": '{"b": "${v}"}'}, v=value)
    assert json.loads(json.loads(text)["a"]) == {"b": whole(value)}


@given(ANY)
def test_no_value_breaks_out_of_its_segment_of_a_path(value: str) -> None:
    path = filled("/rooms/${v}/x", "path", v=value)
    assert re.fullmatch("[!-~]+", path)
    parts = urlsplit(path)
    assert (parts.path, parts.query, parts.fragment) == (path, "", "")
    start, room, end = path.removeprefix("/").split("/")
    assert (start, unquote(room), end) == ("rooms", whole(value), "x")
    assert room not in (".", "..")


@given(ANY, ANY)
def test_no_value_breaks_out_of_a_query_or_form(one: str, other: str) -> None:
    make = Templates({}).make
    pairs = {"a": make("${one}"), "b&=": make("${other}")}
    made = RequestTemplate("POST", make("/x", "path"), pairs, kind="form", form=pairs).make(
        context({"one": one, "other": other})
    )
    expected = [("a", whole(one)), ("b&=", whole(other))]
    assert parse_qsl(urlsplit(made.path).query, keep_blank_values=True) == expected
    assert parse_qsl((made.body or b"").decode(), keep_blank_values=True) == expected


@given(ANY)
def test_no_value_breaks_out_of_a_header(value: str) -> None:
    make = Templates({}).make
    made = RequestTemplate("GET", make("/x", "path"), headers={"X-Key": make("${v}")}).make(context({"v": value}))
    if not value:
        assert "X-Key" not in made.headers
        return
    try:
        check_header("X-Key", made.headers["X-Key"])
    except Unsendable:
        return  # refused as a whole
    assert "\n" not in made.headers["X-Key"]
    assert made.headers["X-Key"] == value


@given(ANY, ANY)
def test_no_value_breaks_out_of_a_stomp_header_or_ends_the_frame(one: str, other: str) -> None:
    frame = StompCodec().encode(filled("SEND\na:${one}\nb:2\n\n${other}", "stomp", one=one, other=other))
    assert frame.count("\0") == 1
    ((head, body),) = StompCodec().decode(frame.encode())
    assert head == {"command": "SEND", "a": whole(one).replace("\0", "\ufffd"), "b": "2"}
    expected = whole(other).replace("\0", "\ufffd")
    assert body == expected or expected[:1] in ("{", "[")


@given(ANY)
def test_no_value_breaks_out_of_a_header_of_connect(value: str) -> None:
    frame = StompCodec().encode(filled("CONNECT\na:${v}\nb:2\n", "stomp", v=value))
    command, *headers = frame.removesuffix("\n\n\0").split("\n")
    assert (command, len(headers), headers[1]) == ("CONNECT", 2, "b:2")
    assert not re.search("[\0\r]", frame[:-1])


# Filters.

SECRET = "the-secret"
FILTERS: Mapping[str, Any] = {
    "url": lambda value: quote(value, safe=""),
    "json": lambda value: json.dumps(value, ensure_ascii=False),
    "html": html.escape,
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64url": lambda value: base64.b64encode(value.encode(), b"-_").decode().replace("=", ""),
    "md5": lambda value: hashlib.new("md5", value.encode()).hexdigest(),
    "sha256": lambda value: hashlib.new("sha256", value.encode()).hexdigest(),
    "hmac_sha256:key": lambda value: hmac.digest(SECRET.encode(), value.encode(), "sha256").hex(),
    "raw": lambda value: value,
    "or:x": lambda value: value,
}


@pytest.mark.parametrize("name", FILTERS)
@given(value=st.text())
def test_a_filter_does_what_it_says(name: str, value: str) -> None:
    assert filled(f"${{v|{name}}}", v=value, key=SECRET) == FILTERS[name](value)


@pytest.mark.parametrize(
    "name", ["url", "json", "base64", "base64url", "md5", "sha256", "hmac_sha256:key", "jwt_hs256:key"]
)
def test_half_of_a_surrogate_pair_stops_no_filter(name: str) -> None:
    assert filled(f"${{v|{name}}}", v="a\ud83d", key="k\ud83d") == filled(f"${{v|{name}}}", v="a\ufffd", key="k\ufffd")


def test_known_values_of_filters() -> None:
    assert filled("${v|md5}", v="") == "d41d8cd98f00b204e9800998ecf8427e"
    assert filled("${v|hmac_sha256:key}", v="what do ya want for nothing?", key="Jefe") == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"  # RFC 4231, test case 2
    )
    assert filled("${v|base64url}", v="\u00fb\u00ff?>") == "w7vDvz8-"
    assert filled("${v|base64|url}", v="?>") == "Pz4%3D"


def test_a_jwt_is_signed() -> None:
    # The example of jwt.io, with its claims as they stand there.
    claims = '{"sub":"1234567890","name":"John Doe","iat":1516239022}'
    assert filled("${claims|jwt_hs256:key}", claims=claims, key="your-256-bit-secret") == (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ"
        ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
    )


@pytest.mark.parametrize(
    ("value", "argument", "expected"),
    [
        ("1", "1", "2"),
        ("-3", "1", "-2"),
        ("1.5", "30", "31.5"),
        ("0.1", "0.2", "0.3"),
        ("1700000000.123", "1", "1700000001.123"),
        ("99999999999999999999", "1", "100000000000000000000"),
        ("25000", "other", "45000"),
    ],
)
def test_plus_adds(value: str, argument: str, expected: str) -> None:
    assert filled(f"${{v|plus:{argument}}}", v=value, other="20000") == expected


@pytest.mark.parametrize("value", ["", "x", "1e3", "١", " 1", "1 ", "nan", "9" * 5000])
def test_plus_refuses_what_is_no_number_without_showing_it(value: str) -> None:
    for text in ("${v|plus:1}", "${one|plus:v}"):
        with pytest.raises(ValueError, match=r"^expected two numbers for the filter plus:[1v], got something else$"):
            filled(text, v=value, one="1")


# Scopes.


def test_a_variable_that_is_not_known_is_an_error_unless_or_follows() -> None:
    with pytest.raises(OutOfScopeError):
        filled("${v}")
    assert filled("${v|or:}") == ""
    assert filled("${v|or:0}") == "0"
    assert filled("${v|or:a:b c}") == "a:b c"


@pytest.mark.parametrize(
    ("text", "unknown", "known"),
    [
        ("${v|plus:1|or:0}", "0", "8"),  # what stands before `or` is for a value that is known
        ("${v|or:0|plus:1}", "1", "8"),
        ("${v|md5|or:none|html}", "none", "8f14e45fceea167a5a36dedd4bea2543"),
        ("${seven|plus:v|or:0}", "0", "14"),
        ("${seven|or:0|plus:v|or:1}", "1", "14"),
        ("${v|or:a|or:b}", "a", "7"),
        ("${word|plus:1|or:0}", "0", "0"),  # nor can `plus` add to a word
    ],
)
def test_or_stands_for_all_before_it(text: str, unknown: str, known: str) -> None:
    assert filled(text, seven="7", word="null") == unknown
    assert filled(text, seven="7", word="null", v="7") == known
    assert Templates({}).make(text).needed <= {"seven"}


def test_a_template_says_what_it_uses_and_what_it_needs() -> None:
    template = Templates({"inner": "${a}-${b|or:}"}).make("${inner} ${c|hmac_sha256:key} ${d|or:0|plus:e} ${f|plus:1}")
    assert template.names == {"a", "b", "c", "key", "d", "e", "f"}
    assert template.needed == {"a", "c", "key", "e", "f"}
    assert Templates({"inner": "${a}"}).make("${inner|or:}").needed == set()


@given(st.sets(st.sampled_from(["a", "b", "c", "d"])), st.data())
def test_a_template_can_be_filled_once_what_it_needs_is_known(known: set[str], data: st.DataObject) -> None:
    filters = st.sampled_from(["", "|or:1", "|plus:2", "|plus:b", "|plus:c|or:3", "|or:4|plus:d", "|sha256|or:5"])
    holes = data.draw(st.lists(st.tuples(st.sampled_from("abcd"), filters), max_size=3))
    template = Templates({}).make(" ".join(f"${{{name}{chain}}}" for name, chain in holes))
    assert template.needed <= template.names
    try:
        template.fill(context(dict.fromkeys(known, "7")))
    except OutOfScopeError:
        assert not template.needed <= known
    else:
        assert template.needed <= known


def test_values_of_the_moment_come_before_variables() -> None:
    here = Context(Variables("run"), {"room": "here", "computed": lambda: "once"})
    here.variables["room"], here.variables["token"] = "elsewhere", "t"
    make = Templates({}).make
    assert make("${room} ${token} ${computed}").fill(here) == "here t once"
    assert make("${room}").fill(here.and_(room="there")) == "there"


def test_what_is_computed_is_the_same_wherever_it_stands_in_one_request() -> None:
    make = Templates({}).make
    one = context()
    first = make("${uuid} ${uuid}").fill(one).split(" ")
    assert first[0] == first[1] == make("${uuid}").fill(one.and_(body="x"))
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first[0])
    assert make("${uuid}").fill(context()) != first[0]
    now, now_ms = make("${now} ${now_ms}").fill(one).split(" ")
    assert 0 <= int(now_ms) - int(now) * 1000 < 10_000
    assert make("${now}").fill(context({"now": "5"})) == "5"


# Templates that cannot be.


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("${}", "expected a name in ${}, got '' in '${}'"),
        ("${a b}", "expected a name in ${a b}, got 'a b' in '${a b}'"),
        ("${a.}", "expected a name in ${a.}, got 'a.' in '${a.}'"),
        ("x ${a", "expected a hole such as ${name}, got '${a' in 'x ${a'"),
        ("${a${b}}", "expected a hole such as ${name}, got '${a' in '${a${b}}'"),
        (
            "${a|upper}",
            "expected one of the filters or, plus, url, json, html, base64, base64url, md5, sha256, hmac_sha256, ",
        ),
        ("${a|md5:x}", "expected no argument for the filter md5, got 'x' in ${a|md5:x}"),
        ("${a|plus}", "expected a number or a variable after plus:, got '' in ${a|plus}"),
        ("${a|plus:1-}", "expected a number or a variable after plus:, got '1-' in ${a|plus:1-}"),
        ("${a|hmac_sha256:}", "expected a variable after hmac_sha256:, got '' in ${a|hmac_sha256:}"),
        ("${one}", "expected templates in [let] that do not contain themselves, got the loop one → two → one"),
        ("${self}", "expected templates in [let] that do not contain themselves, got the loop self → self"),
    ],
)
def test_a_template_that_cannot_be_is_named(text: str, problem: str) -> None:
    with pytest.raises(TemplateError) as refused:
        Templates({"one": "${two}", "two": "x${one}", "self": "${self}"}).make(text)
    assert str(refused.value).startswith(problem)


def test_a_template_may_be_used_twice_in_another() -> None:
    assert filled("${pair}", "plain", {"one": "${v}", "pair": "${one}${one}"}, v="x") == "xx"


@settings(deadline=None)
@given(st.text('${}|:ab.0 "\\\n', max_size=20), st.sampled_from(["json", "path", "stomp", "plain"]))
def test_any_text_is_a_template_or_none(text: str, writing: Writing) -> None:
    try:
        template: Template = Templates({"b": "x"}).make(text, writing)
    except TemplateError:
        return
    assert isinstance(template.sample(), str)
    try:
        template.fill(context({"a": "1"}))
    except OutOfScopeError:
        assert template.needed - {"a"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("x", "x"), (7, "7"), (1.5, "1.5"), (True, "true"), (None, "null"), ({"a": ["ü", 1]}, '{"a":["ü",1]}')],
)
def test_a_value_from_json_is_written_as_json_unless_it_is_a_text(value: object, expected: str) -> None:
    assert written(value) == expected
