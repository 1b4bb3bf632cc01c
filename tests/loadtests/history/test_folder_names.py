"""Where runs are kept: a scenario's name makes a folder's name, and never a path."""

from pathlib import Path

import pytest

from chatswarm.loadtests.history.folders import new_folder
from tests.loadtests.nasty import NASTY


@pytest.mark.parametrize("name", [*NASTY.values(), "../../up", "a/b", "..", "", "-", "x" * 500], ids=ascii)
def test_a_run_gets_a_folder_below_runs_whatever_its_scenario_is_called(tmp_path: Path, name: str) -> None:
    folder = new_folder(name, tmp_path)
    assert folder.parent == tmp_path
    assert folder.name.isprintable()
    folder.mkdir()


def test_an_ordinary_name_stays(tmp_path: Path) -> None:
    assert new_folder("slow-net", tmp_path).name.endswith("-slow-net")
