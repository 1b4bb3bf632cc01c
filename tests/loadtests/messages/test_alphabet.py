"""Texts with characters that chats change: all kinds come, nothing is cut, and every text knows itself again."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatswarm.loadtests.messages.alphabet import GROUPS, sample
from chatswarm.loadtests.messages.identity import Condition, ParsedText, recognise, text_of

RUN = "abcdefgh23"


@given(st.integers(0, 99_999), st.integers(0, 999_999), st.integers(1, 2000))
def test_a_text_is_recognised_and_has_the_size_asked_for(widget: int, n: int, size: int) -> None:
    text = text_of(RUN, widget, n, size, "unicode")
    assert recognise(text, RUN) == ParsedText(widget, n, Condition.INTACT)
    shortest = text_of(RUN, widget, n, 1, "unicode")
    # The size itself stands in the text.
    assert len(text) == size or (len(text) > size and len(text) <= len(shortest) + len(str(size)) - 1)
    assert GROUPS[(widget + n) % len(GROUPS)] in text
    text.encode()


@pytest.mark.parametrize("size", [1, 60, 100])
def test_ten_texts_in_a_row_hold_all_groups(size: int) -> None:
    assert len(GROUPS) == 10
    for texts in (
        [text_of(RUN, 3, n, size, "unicode") for n in range(40, 50)],
        [text_of(RUN, widget, 0, size, "unicode") for widget in range(10)],
    ):
        assert [group for group in GROUPS if not any(group in text for text in texts)] == []


def test_a_long_text_holds_all_groups() -> None:
    assert all(group in text_of(RUN, 0, 0, 400, "unicode") for group in GROUPS)


def test_groups_are_added_whole() -> None:
    for room in range(300):
        rest = sample(7, room)
        for turn in range(7, 27):
            assert rest.startswith(GROUPS[turn % 10]), room
            rest = rest[len(GROUPS[turn % 10]) :].removeprefix(" ")
            if not rest:
                break
        assert not rest, room


def test_the_groups_have_what_chats_are_known_to_change() -> None:
    every = " ".join(GROUPS)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert unicodedata.normalize(form, every) != every, form
    for (
        letter
    ) in "\u200d\ufe0f\ufe0e\u200f\u200e\u0301\u00e9\ufb01'\"`\\\n\t<>&%\U0001f600\U00020000\u200b\ufeff\u00a0":
        assert letter in every, ascii(letter)
    assert all(group == group.strip() and "?" not in group for group in GROUPS)


def test_ascii_is_what_it_was() -> None:
    assert text_of(RUN, 12, 34, 100) == (
        "cs1 abcdefgh23 12 34 ee437a76 the quick brown fox jumps over the lazy dog the quick abcdefgh23.12.34"
    )
