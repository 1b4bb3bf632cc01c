"""What `--protocol` names: a shipped protocol, a file, or a class."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from chatswarm.loadtests.protocols.catalogue import (
    BUILT_IN,
    FoundProtocol,
    ProtocolError,
    find_protocol,
    is_shipped,
    shipped,
)
from chatswarm.loadtests.protocols.described import Described
from chatswarm.loadtests.protocols.push import KEY, Push
from chatswarm.loadtests.protocols.reference import Reference

from .described.files import SMALL

CHAT = """\
from chatswarm.loadtests.protocols.push import Push

class Chat(Push):
    name = "ours"
    def __init__(self, environment):
        super().__init__(environment["OURS_KEY"])

class Half:
    name = "half"
    promises = Push.promises
"""


def refused(named: str, text: str = "") -> list[str]:
    with pytest.raises(ProtocolError) as error:
        find_protocol(named, text)
    assert str(error.value) == "\n".join(error.value.problems)
    return error.value.problems


def test_what_comes_with_chatswarm_is_found_by_its_name() -> None:
    assert {*BUILT_IN} <= {*shipped()}
    for name in shipped():
        assert is_shipped(name)
        found = find_protocol(name)
        assert (found.named, found.name) == (name, name)
        assert (found.users_file is not None) == (name == "mattermost")
    assert not is_shipped("ours.toml")
    assert isinstance(find_protocol("reference").make({}), Reference)
    assert isinstance(find_protocol("push").make({}), Push)
    assert isinstance(find_protocol("phoenix").make({}, "https://chat.example.com"), Described)


def test_a_file_is_found_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = SMALL + "[users]\nfile = 'u.csv'\n[rooms]\nfile = '../r.csv'\n"
    for name in ("ours.toml", "ours", "folder/ours.toml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8-sig")
        found = find_protocol(name)
        assert (found.named, found.name, found.text) == (name, "small", text)
        assert found.users_file == str(path.parent / "u.csv")
        assert found.members_file == path.parent / "../r.csv"
    small = find_protocol("elsewhere.toml", SMALL)
    assert (small.text, small.users_file, small.members_file) == (SMALL, None, None)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "utf16.toml").write_text(SMALL, encoding="utf-16")
    (tmp_path / "folder.toml").mkdir()
    assert refused("none.toml") == ["none.toml: expected a readable TOML file, got: No such file or directory"]
    assert refused("folder.toml") == ["folder.toml: expected a readable TOML file, got: Is a directory"]
    assert refused("utf16.toml") == ["utf16.toml: expected TOML in UTF-8, got a file in another encoding (UTF-16?)"]


def test_all_problems_of_a_file_are_named() -> None:
    problems = refused("ours.toml", SMALL.replace("format = 1", "format = 2").replace("${text}", "${txet}"))
    assert problems == [
        "ours.toml: line 1: format: expected one of 1, got 2",
        "ours.toml: line 11: send.frame: expected variables that are known here, got ${txet} (did you mean text?)",
    ]


def test_a_name_that_is_none_is_answered_with_the_nearest() -> None:
    (problem,) = refused("socketio")
    assert problem.startswith("expected one of action-cable, centrifugo, ")
    assert problem.endswith(", the path of a TOML file, or module:Class, got 'socketio' (did you mean socket.io?)")
    assert refused("x\n")[0].endswith("or module:Class, got 'x\\\\n'")


def test_a_class_is_found_and_made_with_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ours_chat.py").write_text(CHAT)
    found = find_protocol("ours_chat:Chat")
    assert (found.named, found.name, found.promises, found.text) == ("ours_chat:Chat", "ours", Push.promises, "")
    assert found.make({"OURS_KEY": "x"}).name == "ours"
    with pytest.raises(ProtocolError) as error:
        found.make({})
    assert error.value.problems == [
        "ours_chat:Chat: expected a class that can be made with the environment, got KeyError: 'OURS_KEY'"
    ]


def test_a_class_that_lacks_something_is_answered_with_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ours_chat.py").write_text(CHAT)
    (problem,) = refused("ours_chat:Half")
    assert problem.startswith("ours_chat:Half: expected a class with all that ChatProtocol has, got no add_member, ")
    assert problem.endswith(", send, session, user, whole_chat")
    assert "promises" not in problem
    assert refused("ours_chat:None_") == ["expected a class None_ in ours_chat, got none"]


@pytest.mark.parametrize(
    ("found", "environment", "problem"),
    [
        ("push", {KEY: "a b"}, f"{KEY}: expected printable ASCII without spaces, got a space as character 2"),
        (
            "centrifugo",
            {"CENTRIFUGO_API_KEY": "k"},
            "centrifugo.toml: line 19: expected the environment variable CENTRIFUGO_HMAC_KEY to be set, got none",
        ),
    ],
)
def test_a_secret_that_is_missing_or_wrong_is_named(found: str, environment: Mapping[str, str], problem: str) -> None:
    protocol: FoundProtocol = find_protocol(found)
    with pytest.raises(ProtocolError) as error:
        protocol.make(environment)
    assert error.value.problems[0].startswith(problem.partition("line")[0])
    assert problem.rpartition(": ")[2] in error.value.problems[0]


def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CENTRIFUGO_API_KEY", "k")
    monkeypatch.setenv("CENTRIFUGO_HMAC_KEY", "h")
    assert find_protocol("centrifugo").make().name == "centrifugo"
