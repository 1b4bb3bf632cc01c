"""Well-known changes to a text are recognised by name; anything else is unexplained damage."""

import html
import json
import re
import unicodedata
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatswarm.loadtests.messages.damage import WORDS, Condition, damage
from chatswarm.loadtests.messages.identity import FOREIGN, ParsedText, recognise, text_of

RUN = "abcdefgh23"
C = Condition
LITERAL = [
    ("e\u0301 \u00e9 \ufb01", "\u00e9 \u00e9 \ufb01", C.NFC),
    ("e\u0301 \u00e9 \ufb01", "e\u0301 e\u0301 \ufb01", C.NFD),
    ("e\u0301 \u00e9 \ufb01", "\u00e9 \u00e9 fi", C.NFKC),
    ("e\u0301 \u00e9 \ufb01", "e\u0301 e\u0301 fi", C.NFKD),
    ("<b>&amp;</b> 'x'", "&lt;b&gt;&amp;amp;&lt;/b&gt; &#x27;x&#x27;", C.HTML_ESCAPED),
    ("<b>&amp;</b>", "&lt;b&gt;&amp;&lt;/b&gt;", C.HTML_ESCAPED),
    ("<b>&amp;</b> \U0001f600", "<b>&amp;</b> &#128512;", C.HTML_ESCAPED),
    ("<b>&amp;</b>", "<b>&</b>", C.HTML_UNESCAPED),
    ("<b>&amp;</b> x", "&amp; x", C.TAGS_REMOVED),
    ("a \u00e9 \n", '"a \\u00e9 \\n"', C.JSON_TWICE),
    ("a \u00e9 \n", "a \u00e9 \\n", C.JSON_TWICE),
    ("C:\\new", "C:\\\\new", C.BACKSLASHES),
    ("C:\\new 'x'", "C:\\\\new \\'x\\'", C.BACKSLASHES),
    ("C:\\new", "C:new", C.BACKSLASHES),
    ("C:\\new \\u0041", "C:\new A", C.BACKSLASHES),
    ("100 %20 %s", "100   %s", C.PERCENT_DECODED),
    ("\u00e9 \u20ac", "\u00c3\u00a9 \u00e2\u201a\u00ac", C.MOJIBAKE),
    ("\u00e9 \u20ac", "\u00c3\u00a9 \u00e2\u0082\u00ac", C.MOJIBAKE),
    ("a \U0001f600 b", "a ", C.CUT_AT_FOUR_BYTES),
    ("a \U0001f600 b", "a", C.CUT_AT_FOUR_BYTES),
    ("a \U0001f600 b", "a \ufffd", C.CUT),
    ("a \U0001f600 b", "a \U0001f600", C.CUT),
    ("a b c", "a b", C.CUT),
    ("a\nb\n\nc\td", "ab c\td", C.NEWLINES),
    ("a\nb", "a\r\nb", C.NEWLINES),
    ("a\nb", "a<br/>b", C.NEWLINES),
    ("a\nb\tc", "a b c", C.WHITESPACE),
    ("a  b\u00a0c", "a b c", C.WHITESPACE),
    ("a  b", " a  b ", C.WHITESPACE),
    ("\U0001f468\u200d\U0001f469", "\U0001f468\U0001f469", C.INVISIBLE),
    ("\u2764\ufe0f!", "\u2764!", C.INVISIBLE),
    ("a\u200f", "\u2068a\u200f\u2069", C.INVISIBLE),
    ("\u00e9 \U0001f600", "\u00e9 ?", C.REPLACED),
    ("\u00e9 \U0001f600", "\u00e9 ????", C.REPLACED),
    ("\u00e9 \U0001f600", "\ufffd \ufffd\ufffd", C.REPLACED),
    ("\u00e9 \U0001f600.", "\u00e9 .", C.DROPPED),
    ("abc", "abd", C.DAMAGED),
    ("abc", "xyz", C.DAMAGED),
    ("e\u0301\n", "\u00e9", C.DAMAGED),  # two things at once
    ("\u00e9 \U0001f600", "\u00e9 \u2603", C.DAMAGED),
    ("abc", "abc" * 100, C.DAMAGED),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "shown", "condition"), LITERAL)
def test_each_change_is_recognised_by_name(sent: str, shown: str, condition: Condition) -> None:
    assert damage(sent, shown) is condition


def test_every_condition_with_words_has_an_example() -> None:
    assert set(WORDS) == {condition for _, _, condition in LITERAL} - {C.DAMAGED}
    assert set(WORDS) == set(Condition) - {C.INTACT, C.DAMAGED, C.FOREIGN, C.IGNORED}


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_text_makes_it_fail(sent: str, shown: str) -> None:
    assert damage(sent, shown) in Condition


def test_halves_of_characters_do_not_make_it_fail() -> None:
    assert damage("a \U0001f600 b", "a \ud83d") is C.DAMAGED
    assert recognise(f"cs1 {RUN} 1 2 00000000 \ud83d {RUN}.1.2", RUN) == ParsedText(1, 2, C.DAMAGED)


def _utf8mb3(text: str) -> str:
    return re.split("[\U00010000-\U0010ffff]", text)[0]


CHATS: dict[Condition, Callable[[str], str]] = {
    C.NFC: lambda text: unicodedata.normalize("NFC", text),
    C.NFD: lambda text: unicodedata.normalize("NFD", text),
    C.NFKC: lambda text: unicodedata.normalize("NFKC", text),
    C.NFKD: lambda text: unicodedata.normalize("NFKD", text),
    C.HTML_ESCAPED: html.escape,
    C.HTML_UNESCAPED: html.unescape,
    C.TAGS_REMOVED: lambda text: re.sub("<[^>]*>", "", text),
    C.JSON_TWICE: json.dumps,
    C.BACKSLASHES: lambda text: re.sub(r"(['\"\\])", r"\\\1", text),
    C.PERCENT_DECODED: urllib.parse.unquote,
    C.MOJIBAKE: lambda text: text.encode().decode("latin-1"),
    C.CUT_AT_FOUR_BYTES: _utf8mb3,
    C.CUT: lambda text: text[:60],
    C.NEWLINES: lambda text: text.replace("\n", "\r\n"),
    C.WHITESPACE: lambda text: " ".join(text.split()),
    C.INVISIBLE: lambda text: text.replace("\u200d", ""),
    C.REPLACED: lambda text: text.encode("latin-1", "replace").decode("latin-1"),
    C.DROPPED: lambda text: re.sub("[\U00010000-\U0010ffff]", "", text),
}


@pytest.mark.parametrize("condition", CHATS, ids=lambda condition: condition.name)
@pytest.mark.parametrize("size", [60, 100, 300])
def test_a_chats_change_to_all_texts_is_recognised_and_keeps_their_identity(condition: Condition, size: int) -> None:
    """Each changed text has this condition and no other, and at least one of ten texts is changed."""
    seen = set()
    for n in range(10):
        text = text_of(RUN, 7, n, size, "unicode")
        shown = CHATS[condition](text)
        assert recognise(shown, RUN) == ParsedText(7, n, condition if shown != text else C.INTACT), text
        seen.add(shown != text)
    assert True in seen


@pytest.mark.parametrize(
    ("around", "sentence"),
    [
        ("<p>{}</p>", "a page's tags"),
        ('"{}"', "quotes"),
        ("\u2068{}\u2069", "isolates, as messengers put them around names"),
        ("Customer wrote: {}.", "words"),
        ("{}", "nothing, but it is all capitals"),
        ("\ufeff{}\n", "a byte order mark and a line end"),
    ],
)
@pytest.mark.parametrize("alphabet", ["ascii", "unicode"])
def test_what_is_put_around_a_text_hides_no_identity(around: str, sentence: str, alphabet: str) -> None:
    text = text_of(RUN, 12, 34, 100, "unicode" if alphabet == "unicode" else "ascii")
    shown = around.format(text if around != "{}" else text.upper())
    sight = recognise(shown, RUN)
    assert (sight.widget, sight.n) == (12, 34), sentence
    assert sight.condition not in (C.INTACT, C.FOREIGN), sentence


@pytest.mark.parametrize("space", ["\u00a0", "\t", "+", "%20", "&nbsp;", "  "])
def test_other_spaces_hide_no_identity(space: str) -> None:
    for alphabet in ("ascii", "unicode"):
        text = text_of(RUN, 12, 34, 100, alphabet)
        sight = recognise(text.replace(" ", space), RUN)
        assert (sight.widget, sight.n) == (12, 34)
        assert sight.condition not in (C.INTACT, C.FOREIGN)


def test_a_text_with_an_impossible_size_is_damaged() -> None:
    assert recognise(f"cs1 {RUN} 1 2 00000000 u999999 x {RUN}.1.2", RUN) == ParsedText(1, 2, C.DAMAGED)
    assert recognise(f"cs1 {RUN} 1 2 00000000 u0 x {RUN}.1.2", RUN) == ParsedText(1, 2, C.DAMAGED)


def test_a_run_alone_is_no_identity() -> None:
    for text in (RUN, f"{RUN}.1", f"{RUN}.1.2.3", f"{RUN}.1.23456789012", f"cs1 {RUN} 1", f"{RUN.upper()} 1 2"):
        assert recognise(text, RUN) == FOREIGN, text
