"""A run's folder is one run's alone, and a run that does not begin leaves none."""

import threading
from pathlib import Path

import pytest

from chatswarm.loadtests.history.folders import SCENARIO, claim, claim_folder, claim_next, give_back, not_there
from chatswarm.loadtests.history.manifest import MANIFEST


def test_a_folder_is_taken_once(tmp_path: Path) -> None:
    assert claim(tmp_path / "a") == tmp_path / "a"
    with pytest.raises(FileExistsError):
        claim(tmp_path / "a")


def test_an_empty_folder_that_is_there_already_is_fine(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    assert claim_next(tmp_path / "volume") == tmp_path / "volume"


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    assert [claim_next(tmp_path / "out").name for _ in range(3)] == ["out", "out-2", "out-3"]


def test_runs_of_the_same_second_have_a_folder_each(tmp_path: Path) -> None:
    claimed: list[Path] = []
    barrier = threading.Barrier(8)

    def begin() -> None:
        barrier.wait()
        claimed.append(claim_folder("smoke", tmp_path / "runs"))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(claimed)) == 8
    assert all((folder / MANIFEST).exists() for folder in claimed)


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_what_cannot_be_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        claim_next(tmp_path / name)


def test_a_folder_that_is_given_back_is_gone_with_all_that_was_made_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    made = not_there(folder)
    (claim(folder) / "history").mkdir()
    (folder / SCENARIO).write_text("")
    (folder / "history" / "swarm-0.cs1").write_bytes(b"")
    give_back(made)
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_before_stays(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "swarm-0.cs1").write_bytes(b"old")
    (tmp_path / SCENARIO).write_text("given")
    made = not_there(tmp_path)
    claim(tmp_path)
    give_back(made)
    assert {path.name for path in tmp_path.rglob("*")} == {"history", "swarm-0.cs1", SCENARIO}
