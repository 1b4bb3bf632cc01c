"""Classes that people bring along: from a file in the current folder, or from an installed module."""

import sys
from pathlib import Path

import pytest

from chatswarm.loadtests.protocols.code import CodeError, load_class

NO_MODULE = "expected a module that can be imported, got"


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


@pytest.mark.parametrize("name", ["ours:Chat", "ours.py:Chat", "./ours.py:Chat"])
def test_a_class_is_found_in_a_file_of_the_current_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "ours.py").write_text("class Chat:\n    here = __file__\n")
    assert Path(load_class(name).here) == tmp_path / "ours.py"


def test_a_class_is_found_in_a_folder_and_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "chats").mkdir()
    (tmp_path / "chats" / "ours.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Chat:\n    a: int = 7\n"
    )
    for name in ("chats.ours:Chat", "chats/ours.py:Chat", f"{tmp_path}/chats/ours.py:Chat"):
        assert load_class(name)().a == 7


def test_a_class_is_found_in_an_installed_module() -> None:
    assert load_class("json.decoder:JSONDecoder") is __import__("json").decoder.JSONDecoder


def test_a_file_comes_before_an_installed_module(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("class JSONDecoder:\n    ours = True\n")
    assert load_class("json:JSONDecoder").ours
    assert not hasattr(load_class("json.decoder:JSONDecoder"), "ours")
    assert not hasattr(__import__("json"), "ours")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "expected module:Class, got ''"),
        ("ours", "expected module:Class, got 'ours'"),
        (":Chat", "expected module:Class, got ':Chat'"),
        ("ours:", "expected module:Class, got 'ours:'"),
        ("ours:a b", "expected module:Class, got 'ours:a b'"),
        ("no_such:Chat", f"{NO_MODULE} 'no_such': ModuleNotFoundError: No module named 'no_such'"),
        ("no_such.py:Chat", f"{NO_MODULE} 'no_such.py': ModuleNotFoundError: No module named 'no_such'"),
        ("broken:Chat", f"{NO_MODULE} 'broken': ZeroDivisionError: division by zero"),
        ("leaving:Chat", f"{NO_MODULE} 'leaving': SystemExit: 3"),
        ("ours:Cat", "expected a class Cat in ours, got none"),
        ("ours:chat", "expected a class chat in ours, got none"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(name: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "ours.py").write_text("class Chat: ...\nchat = Chat()\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(CodeError) as refused:
        load_class(name)
    assert str(refused.value) == problem
