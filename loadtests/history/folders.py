"""Where runs are kept: a folder each, below `runs/` unless told otherwise. Several may begin at the same moment."""

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
_LONGEST = 100  # bytes of a scenario's name in a folder's


class TakenError(FileExistsError):
    """The folder is another run's, or holds something else."""


def new_folder(name: str, root: Path = Path("runs")) -> Path:
    """Where a new run of a scenario of that name belongs: `<root>/<time>-<name>`. It is not made yet."""
    return untaken(root / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{folder_name(name)}")


def claim_folder(name: str, root: Path = Path("runs")) -> Path:
    """Makes and takes a folder for a new run of a scenario of that name; no other run gets it. Raises OSError."""
    return claim(make_next(new_folder(name, root)))


def make_next(folder: Path) -> Path:
    """Makes this folder, or the first of `<folder>-2`, `<folder>-3`, … that is not there; nobody else gets the same.

    Raises OSError if it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for candidate in _names(folder):
        with contextlib.suppress(FileExistsError):
            candidate.mkdir()
            return candidate
    raise AssertionError("there is always one more name")


def claim_next(folder: Path) -> Path:
    """Takes this folder, whatever else is in it, or, if a run has it, the first of `<folder>-2`, … that none has.

    For `locust -f --out`, where one run may follow another. Raises OSError.
    """
    for candidate in _names(folder):
        with contextlib.suppress(FileExistsError):
            return claim(candidate)
    raise AssertionError("there is always one more name")


def claim(folder: Path) -> Path:
    """Takes this folder for one run, and makes it if need be. Raises FileExistsError if a run has it, and OSError.

    Of several processes that do so at the same moment one gets it: the one whose manifest it is.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    os.close(os.open(folder / MANIFEST, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return folder


def claim_empty(folder: Path) -> Path:
    """As `claim`, for a run that wants a folder to itself. Raises TakenError if it holds anything, or a run has it."""
    if folder.is_dir() and any(folder.iterdir()):
        raise TakenError(f"{folder} is neither new nor empty")
    try:
        return claim(folder)
    except FileExistsError:
        raise TakenError(f"{folder} was taken by another run") from None


def not_there(folder: Path) -> list[Path]:
    """What a run would make and is not there yet, innermost first: what `give_back` may remove."""
    below = [folder / name for name in (MANIFEST, SCENARIO, "history")]
    return [path for path in (*below, folder, *folder.parents) if not path.exists()]


def give_back(made: list[Path]) -> None:
    """Leaves nothing of a run that did not begin, and everything that was there before."""
    for path in made:
        with contextlib.suppress(OSError):
            if not path.is_dir() or path.is_symlink():
                path.unlink()
                continue
            if path.name == "history":
                shutil.rmtree(path)
            path.rmdir()


def take_back(folder: Path, made: list[Path]) -> None:
    """As `give_back`, where the folder was empty: its logs, and all else in it, are the run's."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    give_back(made)


def begun(folder: Path) -> bool:
    """Whether the run in it has begun: its manifest is there, and not only claimed."""
    try:
        return (folder / MANIFEST).stat().st_size > 0
    except FileNotFoundError:
        return False


def folder_name(name: str) -> str:
    """A scenario's name as a part of a folder's name: letters, digits, `_`, `.` and `-`, no path, not too long."""
    kept = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    return kept.encode("utf-8", "ignore")[:_LONGEST].decode("utf-8", "ignore").rstrip("-.") or "run"


def untaken(folder: Path) -> Path:
    """This folder, or, if a run was left there already, the first of `<folder>-2`, `<folder>-3`, … that is free."""
    return next(free for free in _names(folder) if not (free / MANIFEST).exists())


def _names(folder: Path) -> Iterator[Path]:
    yield folder
    for number in count(2):
        yield folder.with_name(f"{folder.name}-{number}")
