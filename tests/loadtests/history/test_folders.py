"""A run's folder: one run gets it, whoever else tries at the same moment, and nobody else's is touched."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from chatswarm.loadtests.history.folders import (
    TakenError,
    claim_empty,
    claim_folder,
    claim_next,
    folder_name,
    make_next,
    not_there,
    take_back,
)
from chatswarm.loadtests.history.manifest import MANIFEST


def at_once(work: Callable[[], object], times: int = 8) -> list[object]:
    """What so many threads get that do it at the same moment; an exception is what one gets, too."""
    got: list[object] = []
    barrier = threading.Barrier(times)

    def attempt() -> None:
        barrier.wait()
        try:
            got.append(work())
        except OSError as error:
            got.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return got


@pytest.mark.parametrize("there", [False, True])
def test_of_many_that_claim_a_folder_one_gets_it(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "a" / "b"
    if there:
        folder.mkdir(parents=True)
    got = at_once(lambda: claim_empty(folder))
    assert got.count(folder) == 1
    assert sum(isinstance(one, TakenError) for one in got) == len(got) - 1


def test_of_two_that_have_both_seen_it_empty_one_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as blind:
        blind.setattr(Path, "iterdir", lambda _: iter(()))
        assert claim_empty(tmp_path) == tmp_path
        with pytest.raises(TakenError, match="taken by another run"):
            claim_empty(tmp_path)


def test_a_folder_with_something_in_it_is_not_claimed_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine", encoding="utf-8")
    with pytest.raises(TakenError, match="neither new nor empty"):
        claim_empty(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_where_no_folder_can_be_it_says_so_and_not_that_it_is_taken(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    for attempt in (claim_empty, make_next):
        if attempt is make_next and place == "file":
            continue
        with pytest.raises(OSError, match=r"\[Errno") as refused:
            attempt(tmp_path / place)
        assert not isinstance(refused.value, TakenError)


def test_many_runs_of_the_same_second_get_a_folder_each(tmp_path: Path) -> None:
    got = at_once(lambda: claim_folder("smoke", tmp_path / "runs"))
    assert len(set(map(str, got))) == 8
    assert sorted(map(str, got)) == sorted(map(str, (tmp_path / "runs").iterdir()))


def test_a_folder_that_is_there_gives_the_next_number(tmp_path: Path) -> None:
    names = [make_next(tmp_path / "run").name for _ in range(3)]
    assert names == ["run", "run-2", "run-3"]


def test_runs_of_locusts_own_command_take_a_folder_that_is_there_and_then_the_next(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes").touch()
    got = at_once(lambda: claim_next(tmp_path / "out"), 3)
    assert sorted(map(str, got)) == [str(tmp_path / name) for name in ("out", "out-2", "out-3")]
    assert (tmp_path / "out" / "notes").exists()


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("steady", "steady"),
        ("slow-net_2.1", "slow-net_2.1"),
        ("../../x", "x"),
        ("a/b", "a-b"),
        ("", "run"),
        (".", "run"),
        ("..", "run"),
        ("-rf", "rf"),
        ("a\nb\0c", "a-b-c"),
        ("[/]", "run"),
        ("\x1b[31m", "31m"),
        ("a\u202eb", "a-b"),
        ("r\udce9sultats", "r-sultats"),
        ("grün 界", "grün-界"),
        ("🎉", "run"),
        ("x" * 300, "x" * 100),
        ("界" * 300, "界" * 33),
    ],
)
def test_a_folders_name_is_neither_a_path_nor_too_long(name: str, folder: str, tmp_path: Path) -> None:
    assert folder_name(name) == folder
    made = claim_folder(name, tmp_path)
    assert made.parent == tmp_path
    assert made.is_dir()


def test_what_is_given_back_leaves_what_was_there_before(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    (tmp_path / "else").mkdir()
    made = not_there(folder)
    claim_empty(folder)
    (folder / "history").mkdir()
    (folder / "history" / "x").touch()
    (folder / "link").symlink_to(tmp_path / "else")
    (tmp_path / "else" / "kept").touch()
    take_back(folder, made)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["else", "kept"]
    empty = tmp_path / "empty"
    empty.mkdir()
    made = not_there(empty)
    assert claim_empty(empty) == empty
    assert (empty / MANIFEST).exists()
    take_back(empty, made)
    assert list(empty.iterdir()) == []
