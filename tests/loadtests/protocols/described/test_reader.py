"""A protocol file is read, or each of its problems is named with its line, and all of them at once."""

import copy
import datetime
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.protocols.catalogue import shipped
from chatswarm.loadtests.protocols.described import Described, Description, ProtocolFileError, read_description
from chatswarm.loadtests.protocols.promises import Promises

from .files import SMALL


def problems(text: str) -> list[str]:
    """What is wrong with a file, without the file's name."""
    with pytest.raises(ProtocolFileError) as refused:
        read_description(text, "ours.toml")
    found = refused.value.problems
    assert str(refused.value) == "\n".join(found)
    assert all(problem.startswith("ours.toml: ") and problem.isprintable() for problem in found)
    assert len(set(found)) == len(found)
    return [problem.removeprefix("ours.toml: ") for problem in found]


def changed(*changes: str, more: str = "") -> str:
    """SMALL with texts replaced, and more at its end: changes are pairs of old and new."""
    text = SMALL
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    return text + more


def test_a_small_file_is_enough() -> None:
    description = read_description("\ufeff" + SMALL.replace("\n", "\r\n"), "ours.toml")
    assert (description.name, description.location) == ("small", "ours.toml")
    assert description.promises == Promises(
        visible="frame", accepted_by="echo", sends_over=("socket",), confirms_subscriptions=False, history="none",
        has_rooms=True, has_members=False, joins_rooms=True, one_room=True, most_rooms=1, members_change=False,
    )  # fmt: skip
    assert description.place_of_rules == "lines 5 to 5 ([[frame]])"
    assert description.environment == description.columns == {}


@pytest.mark.parametrize("name", sorted(shipped()))
def test_each_shipped_file_is_read(name: str) -> None:
    text = shipped()[name].read_text(encoding="utf-8")
    description = read_description(text, f"{name}.toml")
    assert (description.name, description.text) == (name, text)


WRONG: Sequence[dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("wrong_files.toml").read_text(encoding="utf-8")
)["case"]
FRAME = 'frame = \'{"text": "${text}"}\''
HISTORY = '[history]\nrequest = "GET /x"\nmessages = "$[*]"\ntext = "$.text"\n'


@pytest.mark.parametrize("case", WRONG, ids=[case["problems"][0][:50] for case in WRONG])
def test_each_problem_is_named_with_its_line(case: dict[str, Any]) -> None:
    changes = [text for change in case.get("changes", []) for text in change]
    text = case["whole"] if "whole" in case else changed(*changes, more=case.get("more", ""))
    assert problems(text) == case["problems"]


def test_brackets_that_are_nested_too_deeply_are_named() -> None:
    assert problems("a = " + "[" * 5000) == ["expected a readable TOML file, got: brackets nested too deeply"]


def test_a_byte_order_mark_moves_no_line() -> None:
    assert any(one.startswith("line 1: sokcet: ") for one in problems("\ufeff[sokcet]\n"))
    assert problems("\ufeff[frame]\n[sokcet]\n")[-1].startswith("line 2: sokcet: ")


# What a file needs from outside.

SECRETS = changed(
    "[send]",
    """\
[let]
signed = "${claims|jwt_hs256:env.OURS_KEY}"
claims = "{}"
[[login]]
request = "POST /login"
json = '{"name": "${user.name}", "password": "${user.password}", "tenant": "${user.tenant|or:}"}'
headers = { X-Key = "${signed}", X-Other = "${env.OURS_OTHER|or:}" }
[send]""",
    "${text}",
    "${text} ${env.OURS_SECOND}",
)


def test_an_environment_variable_that_is_not_set_is_named_with_its_line() -> None:
    description = read_description(SECRETS, "ours.toml")
    assert description.environment == {"OURS_KEY": 16, "OURS_SECOND": 18}
    assert description.all_environment == {"OURS_KEY", "OURS_OTHER", "OURS_SECOND"}
    with pytest.raises(ProtocolFileError) as refused:
        Described(description, {"OURS_KEY": " \n", "OURS_OTHER": "x"})
    assert refused.value.problems == [
        "ours.toml: line 16: expected the environment variable OURS_KEY to be set, got none",
        "ours.toml: line 18: expected the environment variable OURS_SECOND to be set, got none",
    ]
    Described(description, {"OURS_KEY": "a", "OURS_SECOND": "b"})


def test_a_column_that_the_users_need_is_named_with_its_line() -> None:
    protocol = Described(read_description(SECRETS, "ours.toml"), {"OURS_KEY": "a", "OURS_SECOND": "b"})
    assert protocol.description.columns == {"password": 15}
    with pytest.raises(
        ValueError, match=r"^expected a users' file \(--users-file\) with the column password, "
    ) as refused:
        protocol.user("widget", 0, "run", {"name": "ann", "tenant": "x"})
    assert str(refused.value).endswith("which line 15 of the protocol file needs, got none")
    protocol.user("widget", 0, "run", {"password": "x"})


def test_no_message_has_a_secret() -> None:
    secret = "sesame-open-0123"
    protocol = Described(read_description(SECRETS, "ours.toml"), {"OURS_KEY": secret, "OURS_SECOND": secret})
    with pytest.raises(ValueError, match="the column password") as refused:
        protocol.user("widget", 0, "run", {"name": secret})
    assert secret not in str(refused.value) + repr(protocol)
    user = protocol.user("widget", 0, "run", {"name": "ann", "password": secret})
    assert secret not in repr(user)
    assert user.variables.blanked(f"x {secret}") == "x ***"


# Promises.


@pytest.mark.parametrize(
    ("text", "promises"),
    [
        (SMALL, {"one_room": True, "most_rooms": 1}),
        (changed(more="[rooms]\nid = 'room-${index}'\n"), {"most_rooms": None}),
        (changed(more="[rooms]\nids = ['a', 'b']\n"), {"most_rooms": 2}),
        (changed(more="[rooms]\nfile = 'rooms.csv'\n"), {"most_rooms": None}),
        (
            changed('"/ws"', '"/ws/${room}"', more="[rooms]\nid = 'r'\nprivate = true\n"),
            {"one_room": True, "has_members": True, "members_change": False},
        ),
        (changed('id = "$.id"', 'room = "$.room"'), {"one_room": False, "joins_rooms": False}),
        (
            changed('id = "$.id"', 'room = "$.room"', more="[[socket.join]]\nsend = '{}'\nexpect = { '$' = 1 }\n"),
            {"one_room": False, "joins_rooms": True, "confirms_subscriptions": True},
        ),
        (changed(more="[rooms]\n[rooms.add]\nrequest = 'PUT /${room}'\n"), {"members_change": False}),
        (
            changed(more="[rooms.add]\nrequest = 'PUT /${room}'\n[rooms.remove]\nrequest = 'DELETE /${user.name}'\n"),
            {"members_change": True},
        ),
        (
            changed(more="within = '3s'\necho = false\naccepted_by = 'written'\n"),
            {"accepted_within": 3.0, "echoes": False},
        ),
        (changed(more=HISTORY), {"history": "pages"}),
        (changed(more="[history]\nby = 'replay'\n"), {"history": "replay"}),
        (changed(more="[heartbeat]\ndead_after = '1m'\n"), {"dead_after": 60.0}),
        (changed(more="[heartbeat]\ndead_after = '${user.patience|or:5}s'\n"), {"dead_after": None}),
        (changed(more="[limits]\nsends_per_user = 2.5\n"), {"sends_per_user": 2.5}),
        (changed(FRAME, f"{FRAME}\nrequest = 'POST /x'"), {"sends_over": ("http", "socket"), "accepted_by": "echo"}),
        (changed(FRAME, "request = 'POST /x'"), {"sends_over": ("http",), "accepted_by": "status"}),
    ],
)
def test_a_file_promises(text: str, promises: Mapping[str, object]) -> None:
    found = read_description(text, "ours.toml").promises
    assert {name: getattr(found, name) for name in promises} == promises


# Any table.


def keys_in(value: object) -> set[str]:
    """All keys in a table, at any depth."""
    if isinstance(value, list):
        return set[str]().union(*map(keys_in, value))
    return set(value).union(*map(keys_in, value.values())) if isinstance(value, dict) else set()


TABLES: dict[str, Any] = {name: tomllib.loads(path.read_text(encoding="utf-8")) for name, path in shipped().items()}
KEYS = sorted(
    {*keys_in([*TABLES.values()]), "by", "codec", "pattern", "text_as", "form", "idle", "total", "exists", "is"}
)
NUMBERS = st.one_of(st.booleans(), st.integers(-2, 9), st.floats(), st.just(10**12))
DATES = st.sampled_from(
    [datetime.date(2000, 1, 1), datetime.time(), datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)]
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            "$", "$.a", "$[*]", "$.a -> $.b", "@.a", "$head.a", "${room}", "${text}", "${a|or:}", "${", "GET /", "x:Y",
            "POST /${room}", "message", "hint", "ack", "ping", "frame", "refetch", "text", "stomp", "json", "sender",
            "replay", "gap", "reconnect", "html", "30s", "0s", "(?P<a>.)", "(", "[[a]", "a{1,99999999999}", "header:x",
            "body:(", "{}", '{"a": ${ref}}', "newest first", "rejected", "SEND\n\n", "\n", "",
        ]
    ),
    st.text(max_size=5),
)  # fmt: skip
CONDITIONS = st.dictionaries(
    TEXTS, st.one_of(TEXTS, NUMBERS, st.dictionaries(st.sampled_from(["is", "not", "exists"]), TEXTS))
)


def tables(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    table = st.one_of(st.dictionaries(st.sampled_from(KEYS), values, max_size=6), CONDITIONS)
    return st.one_of(table, st.lists(st.one_of(table, values), max_size=3))


VALUES = st.recursive(st.one_of(TEXTS, NUMBERS, DATES), tables, max_leaves=12)
PARTS = ["let", "users", "login", "rooms", "socket", "frame", "heartbeat", "send", "history", "refetch", "limits", "x"]


def read(table: Mapping[str, Any]) -> Description | None:
    problems: Sequence[str] = []
    try:
        return read_description(tomli_w.dumps(table), "ours.toml")
    except ProtocolFileError as error:
        problems = error.problems
    assert problems
    assert all(re.match(r"ours\.toml: line [0-9]+: ", problem) for problem in problems)
    return None


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(PARTS), VALUES, max_size=5), st.booleans())
def test_any_table_is_a_description_or_has_problems(table: dict[str, Any], near: bool) -> None:
    read({**tomllib.loads(SMALL), **table} if near else table)


@settings(deadline=None)
@given(st.data())
def test_any_change_to_a_shipped_file_leaves_a_description_or_problems(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(shipped())))
    at = table = copy.deepcopy(TABLES[name])
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], (dict, list)) or not at[key] or not data.draw(st.booleans()):
            break
        at = at[key]
    at[key] = data.draw(VALUES)
    read(table)
