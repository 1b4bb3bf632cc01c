"""Creates and claims the folders of runs, by default below `runs/`. Runs may start in parallel."""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from pathlib import Path

from .manifest import MANIFEST

SCENARIO, VERDICT, REPORT = "scenario.toml", "verdict.json", "report.html"
LOGS = ("testbed.log", "healer.log", "restart.log", "backend.log", "broker.log", "proxy.log")
"""What a testbed may write into the folder before the run begins."""
_LONGEST = 100  # bytes of a scenario's name in a folder's name


class TakenError(FileExistsError):
    """The folder belongs to another run, or contains something else."""


def new_folder(name: str, root: Path = Path("runs")) -> Path:
    """The path for a new run of the scenario `name`: `<root>/<time>-<name>`. Does not create it."""
    return untaken(root / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{folder_name(name)}")


def claim_folder(name: str, root: Path = Path("runs")) -> Path:
    """Creates and claims a folder for a new run of the scenario `name`. Raises OSError."""
    return claim(make_next(new_folder(name, root)))


def make_next(folder: Path) -> Path:
    """Creates this folder, or the first of `<folder>-2`, `<folder>-3`, … that does not exist. Atomic.

    Raises OSError if it cannot be created.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for candidate in _names(folder):
        with contextlib.suppress(FileExistsError):
            candidate.mkdir()
            return candidate
    raise AssertionError("there is always one more name")


def claim_next(folder: Path) -> Path:
    """Claims this folder, whatever else it contains, or the first of `<folder>-2`, … that no run has claimed.

    For `locust -f --out`, where one run may follow another. Raises OSError.
    """
    for candidate in _names(folder):
        with contextlib.suppress(FileExistsError):
            return claim(candidate)
    raise AssertionError("there is always one more name")


def claim(folder: Path) -> Path:
    """Claims this folder for one run, creating it if needed. Raises FileExistsError if a run has it, and OSError.

    Of several processes that try at the same moment, one succeeds: the one that creates the manifest.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    os.close(os.open(folder / MANIFEST, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return folder


def claim_empty(folder: Path) -> Path:
    """As `claim`, but raises TakenError if the folder is not empty or belongs to another run."""
    if folder.is_dir() and any(folder.iterdir()):
        raise TakenError(f"{folder} is neither new nor empty")
    try:
        return claim(folder)
    except FileExistsError:
        raise TakenError(f"{folder} was taken by another run") from None


def claim_new(folder: Path) -> Path:
    """Creates this folder for several runs. Raises OSError, and TakenError if it has anything in it."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise TakenError(f"{folder} is neither new nor empty")
    return folder


def not_there(folder: Path) -> list[Path]:
    """The paths that a run would create and that do not exist yet, innermost first, for `give_back` to remove."""
    below = [folder / name for name in (MANIFEST, SCENARIO, *LOGS, "history")]
    return [path for path in (*below, folder, *folder.parents) if not path.exists()]


def give_back(made: list[Path]) -> None:
    """Removes what a run that did not start has created, and nothing that existed before."""
    for path in made:
        with contextlib.suppress(OSError):
            if not path.is_dir() or path.is_symlink():
                path.unlink()
                continue
            if path.name == "history":
                shutil.rmtree(path)
            path.rmdir()


def take_back(folder: Path, made: list[Path]) -> None:
    """As `give_back`, for a folder that was empty: also removes logs and everything else in it."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    give_back(made)


def begun(folder: Path) -> bool:
    """Whether the run in the folder has started: its manifest is written, not only claimed."""
    try:
        return (folder / MANIFEST).stat().st_size > 0
    except FileNotFoundError:
        return False


def folder_name(name: str) -> str:
    """A scenario's name made safe for a folder's name: letters, digits, `_`, `.` and `-`, at most 100 bytes."""
    kept = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    return kept.encode("utf-8", "ignore")[:_LONGEST].decode("utf-8", "ignore").rstrip("-.") or "run"


def untaken(folder: Path) -> Path:
    """This folder, or, if it holds a run, the first of `<folder>-2`, `<folder>-3`, … that does not."""
    return next(free for free in _names(folder) if not (free / MANIFEST).exists())


def _names(folder: Path) -> Iterator[Path]:
    yield folder
    for number in count(2):
        yield folder.with_name(f"{folder.name}-{number}")
