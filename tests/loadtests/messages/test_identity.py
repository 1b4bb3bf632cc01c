"""The identity in a text: recognised whole and damaged, and never where it is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatswarm.loadtests.messages.identity import (
    FOREIGN,
    IGNORED,
    Condition,
    ParsedText,
    new_run,
    parse_text,
    recognise,
    text_of,
)

RUN = "abcdefgh23"


@given(st.integers(0, 99_999), st.integers(0, 999_999), st.integers(1, 400))
def test_a_text_is_recognised(widget: int, n: int, size: int) -> None:
    text = text_of(RUN, widget, n, size)
    assert recognise(text, RUN) == ParsedText(widget, n, Condition.INTACT)
    assert len(text) >= size or len(text) == len(text_of(RUN, widget, n, 1))


def test_a_text_has_the_size_asked_for() -> None:
    assert [len(text_of(RUN, 1, 2, size)) for size in (60, 100, 4000)] == [60, 100, 4000]


def test_runs_differ() -> None:
    assert len({new_run() for _ in range(100)}) == 100
    assert all(len(new_run()) == 10 and new_run().isalnum() for _ in range(10))


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", "Thanks, an agent will be with you", "cs1", "cs1 a b c d e", f"cs1 {RUN}", "   ",
        f"{RUN}.1.2.3", f"{RUN}.x.2", f"cs1 {RUN} 1 x 00000000 - other.1.2",
    ],
)  # fmt: skip
def test_other_texts_are_foreign(text: str) -> None:
    assert recognise(text, RUN) == FOREIGN


def test_a_text_of_another_run_is_foreign() -> None:
    assert recognise(text_of("otherrun22", 1, 2, 100), RUN) == FOREIGN


TEXT = text_of(RUN, 12, 34, 100)
HEAD, TAIL = f"cs1 {RUN} 12 34 ", f" {RUN}.12.34"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (TEXT[:-20], "the end is gone"),
        (TEXT[20:], "the beginning is gone"),
        (TEXT.replace("quick", "quack"), "a letter in the middle is another"),
        (TEXT + " ", "something was added"),
        (" " + TEXT, "something was put before it"),
        (TEXT.upper().replace(RUN.upper(), RUN), "all but the run became capitals"),
        (TEXT.replace("  ", " ").replace(" quick", "quick"), "a space is gone"),
        (TEXT.replace(TAIL, f" {RUN}.12.35"), "the two ends name different messages"),
        (HEAD + TEXT, "the head is there twice"),
        (TEXT[:60] + TEXT[40:], "a part is there twice"),
    ],
)
def test_a_damaged_text_keeps_its_identity(text: str, sentence: str) -> None:
    sight = recognise(text, RUN)
    assert sight.condition is Condition.DAMAGED, sentence
    assert sight.widget == 12, sentence


@given(st.integers(0, 99), st.text(min_size=1, max_size=1))
def test_a_text_with_one_changed_character_is_not_intact(at: int, character: str) -> None:
    damaged = TEXT[:at] + character + TEXT[at + 1 :]
    sight = recognise(damaged, RUN)
    assert (sight.condition is Condition.INTACT) == (damaged == TEXT)
    # One end is always left, so it is never taken for a stranger's.
    assert sight.condition is not Condition.FOREIGN


@given(st.text(max_size=200))
def test_no_text_makes_it_fail(text: str) -> None:
    assert recognise(text, RUN).condition in Condition


def test_parse_text_ignores_what_agents_write_unless_it_is_a_whole_message() -> None:
    text = text_of(RUN, 1, 2, 80)
    assert parse_text(text, RUN) == parse_text(text, RUN, from_customer=False) == (1, 2, Condition.INTACT)
    assert parse_text(f"> {text}", RUN) == (1, 2, Condition.DAMAGED)
    assert parse_text(f"> {text}", RUN, from_customer=False) == IGNORED
    assert parse_text("hello", RUN) == FOREIGN
    assert parse_text("hello", RUN, from_customer=False) == IGNORED


def test_parse_text_takes_lone_surrogates() -> None:
    assert parse_text("\ud800", RUN) == FOREIGN
    assert parse_text(text_of(RUN, 1, 2, 80) + "\ud800", RUN) == (1, 2, Condition.DAMAGED)
