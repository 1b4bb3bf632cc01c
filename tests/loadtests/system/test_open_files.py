"""The limit of open files: how many are needed, and the message if there are too few."""

import subprocess
import sys

import pytest

from chatswarm.loadtests.system.open_files import needed_files, open_files, too_few_files


@pytest.mark.parametrize(
    ("dashboards", "widgets", "processes", "needed"),
    [(1, 1, 1, 43), (100, 50, 1, 290), (100, 50, 2, 165), (101, 51, 2, 168), (3, 3, 8, 43)],
)
def test_the_largest_process_decides(dashboards: int, widgets: int, processes: int, needed: int) -> None:
    assert needed_files(dashboards, widgets, processes) == needed


def limited(soft: int, hard: int, needed: int) -> list[str]:
    """The message of a process with these limits that needs `needed` files, and its limits afterwards."""
    code = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from chatswarm.loadtests.system.open_files import raise_open_files, open_files\n"
        f"print(raise_open_files({needed}))\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], open_files())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_limit_that_is_high_enough_stays() -> None:
    assert limited(100, 200, 90) == ["None", "100 200"]


def test_the_soft_limit_is_raised_to_what_is_needed() -> None:
    assert limited(100, 200, 150) == ["None", "150 200"]


def test_beyond_the_hard_limit_the_message_has_both_numbers() -> None:
    said, limits = limited(100, 200, 250)
    assert said == too_few_files(250, 200)
    assert "at least 250" in said
    assert "got 200" in said
    assert limits == "200 200"


def test_open_files_is_at_least_what_this_process_uses() -> None:
    assert open_files() > 3
