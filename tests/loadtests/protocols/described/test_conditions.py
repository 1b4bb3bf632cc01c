"""Conditions: values at paths, all of which have to fit."""

import datetime
import tomllib
from typing import Any

import pytest

from chatswarm.loadtests.protocols.described.conditions import conditions_of
from chatswarm.loadtests.protocols.described.paths import MISSING
from chatswarm.loadtests.protocols.described.templates import Context, Templates
from chatswarm.loadtests.protocols.variables import Variables


def fits(written: str, document: object, head: object = None, **values: str) -> bool:
    """Whether a document fits conditions that are written in TOML."""
    conditions = conditions_of(tomllib.loads(f"x = {{ {written} }}")["x"], Templates({}).make)
    return conditions.fit(document, head, Context(Variables("run"), values))


@pytest.mark.parametrize(
    ("written", "value", "expected"),
    [
        ('"$.a" = "x"', "x", True),
        ('"$.a" = "x"', "y", False),
        ('"$.a" = "x"', MISSING, False),
        ('"$.a" = 3', 3, True),
        ('"$.a" = 3', 3.0, True),
        ('"$.a" = 3', "3", False),
        ('"$.a" = 1', True, False),
        ('"$.a" = true', True, True),
        ('"$.a" = true', 1, False),
        ('"$.a" = false', 0, False),
        ('"$.a" = [1, "b"]', [1, "b"], True),
        ('"$.a" = [1, "b"]', [1], False),
        ('"$.a" = { exists = true }', None, True),
        ('"$.a" = { exists = true }', MISSING, False),
        ('"$.a" = { exists = false }', MISSING, True),
        ('"$.a" = { exists = false }', None, False),
        ('"$.a" = { is = ["a", 2] }', "a", True),
        ('"$.a" = { is = ["a", 2] }', 2, True),
        ('"$.a" = { is = ["a", 1] }', True, False),
        ('"$.a" = { is = ["a", 2] }', MISSING, False),
        ('"$.a" = { is = ["a"], or_absent = true }', MISSING, True),
        ('"$.a" = { is = ["a"], or_absent = true }', None, False),
        ('"$.a" = { is = ["a"], or_absent = false }', MISSING, False),
        ('"$.a" = { not = "typing" }', "message", True),
        ('"$.a" = { not = "typing" }', "typing", False),
        ('"$.a" = { not = ["typing", "seen"] }', "seen", False),
        ('"$.a" = { not = "typing" }', MISSING, False),
        ('"$.a" = { not = true, or_absent = true }', MISSING, True),
        ('"$.a" = { empty = true }', {}, True),
        ('"$.a" = { empty = true }', [], True),
        ('"$.a" = { empty = true }', "", True),
        ('"$.a" = { empty = true }', None, True),
        ('"$.a" = { empty = true }', 0, False),
        ('"$.a" = { empty = true }', False, False),
        ('"$.a" = { empty = true }', [0], False),
        ('"$.a" = { empty = true }', MISSING, False),
        ('"$.a" = { empty = false }', [0], True),
        ('"$.a" = { matches = "^room-" }', "room-1", True),
        ('"$.a" = { matches = "^room-" }', "a room-1", False),
        ('"$.a" = { matches = "1" }', 1, False),
        ('"$.a" = { matches = "1" }', MISSING, False),
        ('"$.a" = "${b}"', "the b", True),
        ('"$.a" = "${b}"', "another", False),
        ('"$.a" = "${n}"', 7, True),
        ('"$.a" = "${t}"', True, True),
        ('"$.a" = "${e}"', MISSING, False),
        ('"$.a" = "${e}"', "", True),
        ('"$.a" = "${unknown}"', "", False),
        ('"$.a" = "${b|plus:1}"', "2", False),
    ],
)
def test_a_value_fits(written: str, value: object, expected: bool) -> None:
    document = {} if value is MISSING else {"a": value}
    assert fits(written, document, b="the b", n="7", t="true", e="") is expected


def test_all_of_them_have_to_fit() -> None:
    written = '"$.a" = 1, "$head.b" = "x"'
    assert fits(written, {"a": 1}, {"b": "x"})
    assert not fits(written, {"a": 1}, {"b": "y"})
    assert not fits(written, {"a": 2}, {"b": "x"})
    assert not fits(written, MISSING, None)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("x", """expected a table of paths, such as { "$.type" = "message" }"""),
        ({}, """expected a table of paths, such as { "$.type" = "message" }"""),
        ({"$[*]": 1}, "expected a path of names and indexes, which names one value, got '$[*]'"),
        ({"$.a": {}}, "expected one of the tests exists, is, not, empty, matches for $.a (and or_absent), got {}"),
        ({"$.a": {"is": [1], "not": 2}}, "expected one of the tests exists, is, not, empty, matches for $.a"),
        ({"$.a": {"exist": True}}, "expected one of the tests exists, is, not, empty, matches for $.a"),
        ({"$.a": {"exists": 1}}, "expected true or false for the test exists of $.a, got 1"),
        ({"$.a": {"empty": "x"}}, "expected true or false for the test empty of $.a, got 'x'"),
        ({"$.a": {"is": "x"}}, "expected a list of values for the test is of $.a, got 'x'"),
        ({"$.a": {"not": {}}}, "expected a value or a list of values for the test not of $.a, got {}"),
        ({"$.a": {"matches": 1}}, "expected a text for the test matches of $.a, got 1"),
        (
            {"$.a": {"matches": "("}},
            "expected a regular expression for $.a, got '(': missing ), unterminated subpattern",
        ),
        ({"$.a": {"matches": "a{9999999999}"}}, "expected a regular expression for $.a, got 'a{9999999999}': "),
        ({"$.a": datetime.date(2000, 1, 1)}, "expected a value or a test for $.a, got datetime.date(2000, 1, 1)"),
        ({"$.a": [{}]}, "expected a value or a test for $.a, got [{}]"),
        (
            {"$.a": {"is": [datetime.time()]}},
            "expected a list of values for the test is of $.a, got [datetime.time(0, 0)]",
        ),
    ],
)
def test_a_wrong_condition_is_named(table: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^expected ") as refused:
        conditions_of(table, None)
    assert str(refused.value).startswith(problem)


def test_where_nothing_is_known_there_are_no_holes() -> None:
    with pytest.raises(ValueError, match=r"^expected a value without holes for \$\.a, got '\$\{room\}'$"):
        conditions_of({"$.a": "${room}"}, None)


def test_conditions_are_told_to_people() -> None:
    conditions = conditions_of(
        {"$.type": "ok", "$.n": {"not": [1]}, "$.x": {"exists": False}, "$.y": {"is": [2], "or_absent": True}}, None
    )
    assert str(conditions) == "$.type = ok and $.n is not [1] and $.x is absent and $.y is one of [2] or is absent"
