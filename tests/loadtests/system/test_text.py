"""Any text, shown on one line, in JSON and in a shell."""

import json
import subprocess

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chatswarm.loadtests.system.text import command_line, encodable, one_line, to_json
from tests.loadtests.nasty import NASTY, wrong_in

ANY = st.text(st.characters())


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_one_line_escapes_everything_and_loses_nothing(text: str) -> None:
    shown = one_line(text)
    assert wrong_in(shown, ours="") == []
    assert one_line(shown) == shown
    shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("one\ntwo\r\t", "one\\ntwo\\r\\t"),
        ("a\u202eb\u2028", "a\\u202eb\\u2028"),
        ("a\udcffb", "a\\xffb"),
        ("a\ud83d", "a\\ud83d"),
        ("e\u0301 \U0001f468\u200d\U0001f469 \u2764\ufe0f", "e\u0301 \U0001f468\u200d\U0001f469 \u2764\ufe0f"),
    ],
)
def test_what_one_line_escapes(text: str, shown: str) -> None:
    assert one_line(text) == shown


@given(ANY)
def test_json_accepts_any_text_and_keeps_it_where_possible(text: str) -> None:
    assume(text not in ("a", "b"))
    found = json.loads(to_json({"a": [text], text: 1.5, "b": None}))
    assert found["a"] == [encodable(text)]
    assert found["b"] is None
    if text.isascii():
        assert found["a"] == [text]
    encodable(text).encode()


class _Part(msgspec.Struct):
    text: str
    parts: dict[str, list[str]]


def test_a_nested_struct_with_a_lone_surrogate() -> None:
    found = msgspec.json.decode(to_json(_Part("a", {"b\udcff": ["c\ud83d"]})), type=_Part)
    assert found == _Part("a", {"b\\xff": ["c\\ud83d"]})


@pytest.mark.parametrize(
    "word",
    [*(text for text in NASTY.values() if "\x00" not in text and "\ud83d" not in text), "", "it's $HOME \\ `x`\n'"],
)
def test_a_shell_reads_a_command_line_back(word: str) -> None:
    line = command_line(["printf", "%s.", "plain", word])
    assert wrong_in(line, ours="") == []
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout == b"plain." + word.encode("utf-8", "surrogateescape") + b"."


def test_a_plain_command_line_is_plain() -> None:
    assert command_line(["chatswarm", "run", "smoke", "a b", "é"]) == "chatswarm run smoke 'a b' 'é'"
