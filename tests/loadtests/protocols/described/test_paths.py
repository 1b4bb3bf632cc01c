"""Paths find what RFC 9535 says, compared with the library's own evaluation."""

import json
from typing import Any

import jsonpath_rfc9535 as jsonpath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.protocols.described.paths import (
    MISSING,
    Path,
    PathError,
    Paths,
    compiled,
    decoded,
    inside,
    path_of,
)
from chatswarm.loadtests.protocols.protocol import UnreadableHere

NAMES = st.one_of(st.sampled_from(["a", "b", "type", "c-d", "ü", "0", "'", '"', "\\", "$", "->"]), st.text(max_size=3))
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(-1, 1), st.sampled_from(["", "a", "x"]))
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=9,
)


def where(document: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The places of all values in a document."""
    if not isinstance(document, (dict, list)):
        return [place]
    items: Any = document.items() if isinstance(document, dict) else enumerate(document)
    return [place, *(one for key, value in items for one in where(value, (*place, key)))]


@st.composite
def documents_with_keys(draw: st.DrawFn) -> tuple[Any, list[str | int]]:
    """A document, and keys that lead to one of its values, or nearly."""
    document = draw(DOCUMENTS)
    keys = list(draw(st.sampled_from(where(document))))
    keys += draw(st.lists(st.one_of(NAMES, st.integers(-3, 3)), max_size=2))
    return document, [draw(st.integers(-4, 4)) if isinstance(key, int) and draw(st.booleans()) else key for key in keys]


def text_of(keys: list[str | int]) -> str:
    return "$" + "".join(f"[{json.dumps(key)}]" for key in keys)


@settings(deadline=None)
@given(documents_with_keys())
def test_a_compiled_path_finds_what_the_library_finds(case: tuple[Any, list[str | int]]) -> None:
    document, keys = case
    path = Path("", "document", [keys])
    expected = [node.value for node in jsonpath.find(text_of(keys), document)]
    found = path.find(document)
    assert ([] if found is MISSING else [found]) == expected
    if "->" not in text_of(keys):  # which steps into a text, wherever it stands
        assert path_of(text_of(keys)).stages == path.stages


@settings(deadline=None)
@given(
    DOCUMENTS,
    st.lists(
        st.sampled_from(
            [
                "[*]",
                ".*",
                ".a",
                "['b']",
                "[0]",
                "[-1]",
                "..a",
                "[0:2]",
                "[?@.a]",
                "[?!@.a && @.b]",
                "[?(@[0] || @.a.b) && !@.b]",
                "[?@]",
                "[?$.a]",
                "[?@.a == 1]",
            ]
        ),
        max_size=4,
    ),
)
def test_a_path_to_several_values_finds_what_the_library_finds(document: Any, segments: list[str]) -> None:
    text = "$" + "".join(segments)
    assert Paths(text).find(document) == [node.value for node in jsonpath.find(text, document)]


DOCUMENT = {
    "type": "message",
    "data": {
        "chat-id": 7,
        "post": '{"message": "hi", "tags": ["a", "b"], "more": "[1, 2]"}',
        "broken": "{",
        "no": None,
    },
    "list": [1, {"text": "x"}, "y"],
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", DOCUMENT),
        (" $.type ", "message"),
        ("$.data['chat-id']", 7),
        ("$.data.no", None),
        ("$.list[1].text", "x"),
        ("$.list[-1]", "y"),
        ("$.list[-3]", 1),
        ("$.list[3]", MISSING),
        ("$.list[-4]", MISSING),
        ("$.list.text", MISSING),
        ("$.type[0]", MISSING),
        ("$.data.post -> $.message", "hi"),
        ("$.data.post->$.tags[1]", "b"),
        ("$.data.post -> $.more -> $[0]", 1),
        ("$.data.broken -> $", MISSING),
        ("$.data -> $['chat-id']", 7),  # what is no text stands for itself
        ("$.nothing -> $.a", MISSING),
        ("$head.command", "MESSAGE"),
        ("$head['receipt-id']", "r7"),
        ("$head.part -> $.a", True),
        ("$head.none", MISSING),
    ],
)
def test_a_path_names_one_value(path: str, expected: object) -> None:
    head = {"command": "MESSAGE", "receipt-id": "r7", "part": '{"a": true}'}
    found = path_of(path).find(DOCUMENT, head)
    assert (found, type(found)) == (expected, type(expected))
    assert path_of(path).find(MISSING, None) is MISSING


def test_a_path_may_begin_at_the_last_message() -> None:
    assert path_of("@.id", current=True).find({"id": 4}) == 4
    assert path_of("@", current=True).find(4) == 4
    with pytest.raises(PathError, match=r"^expected a path that begins with @, got '\$\.id'$"):
        path_of("$.id", current=True)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.list[*]", [1, {"text": "x"}, "y"]),
        ("$.data.post -> $.tags[*]", ["a", "b"]),
        ("$.list[?@.text]", [{"text": "x"}]),
        ("$.list[?@.text || @.none]", [{"text": "x"}]),
        ("$.list[?@.text && @.none]", []),
        ("$.list[?!(@.text && !@.none)]", [1, "y"]),
        ("$.data.broken -> $[*]", []),
        ("$.nothing", []),
    ],
)
def test_a_path_may_name_several_values(path: str, found: list[object]) -> None:
    assert Paths(path).find(DOCUMENT) == found
    assert Paths(path).find(MISSING) == []


@pytest.mark.parametrize("path", ["$[*]", "$..a", "$.*", "$[0:1]", "$[?@.a]", "$['a', 'b']", "$.a -> $.*"])
def test_what_may_name_several_values_is_no_path_to_one(path: str) -> None:
    with pytest.raises(PathError) as refused:
        path_of(path)
    assert str(refused.value) == f"expected a path of names and indexes, which names one value, got {path!r}"
    Paths(path)


@pytest.mark.parametrize(
    "path", ["", "type", "$.", "$.a b", "$[", "$[99999999999999999999]", "$ -> a", "$.data -> ", "@.a"]
)
def test_a_path_that_is_none_is_named(path: str) -> None:
    for read in (path_of, Paths):
        with pytest.raises(PathError) as refused:
            read(path)
        assert str(refused.value).startswith(f"expected a path such as $.data.text, got {path!r}: ")


@settings(deadline=None)
@given(st.one_of(st.text(), st.text("$@[]'\"\\.*?()!&|<=>0a:,- ud8", max_size=12).map(lambda text: f"$[{text}]")))
def test_any_text_is_a_path_or_none(text: str) -> None:
    for read in (path_of, Paths):
        try:
            found: Any = read(text).find({"a": [1, {"b": None}]})
        except (PathError, UnreadableHere):
            continue
        assert found is not None or read is path_of


def test_what_is_nested_too_deeply_for_a_path_is_unreadable_here() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(UnreadableHere, match=r"^expected something that \$\.\.a can be looked up in, got: "):
        Paths("$..a").find(deep)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'"a\xff"', "a\ufffd"),
        (b'"a\\ud83d"', "a\ud83d"),
        ('"a\ud83d"', "a\ud83d"),
        (b"1e999", float("inf")),
    ],
)
def test_json_is_read_as_a_browser_reads_it(data: bytes | str, expected: object) -> None:
    assert decoded(data) == expected


@pytest.mark.parametrize("data", [b"", b"NaN", b"Infinity", b"{'a': 1}", b"[1", b"\xff", b"1" * 5000])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the library's
        decoded(data)
    assert inside(data.decode("latin-1")) is MISSING


def test_a_key_cannot_be_code() -> None:
    key = "'] or __import__('os').abort() or ['"
    assert compiled(Path("", "document", [[key]]))({key: 1}, None) == 1
