"""Where runs are kept: a folder each, below `runs/` unless told otherwise. Several may begin at the same moment."""

import contextlib
import os
import re
import shutil
from datetime import datetime
from pathlib import Path

from .history.manifest import MANIFEST

SCENARIO, VERDICT, REPORT = "scenario.toml", "verdict.json", "report.html"
_LONGEST = 100  # bytes of a scenario's name in a folder's


class TakenError(OSError):
    """The folder is another run's, or holds something else."""


def new_folder(name: str, root: Path = Path("runs")) -> Path:
    """Where a new run of a scenario of that name belongs: `<root>/<time>-<name>`. It is not made yet."""
    return untaken(root / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{folder_name(name)}")


def claim_folder(name: str, root: Path = Path("runs")) -> Path:
    """Makes a folder for a new run of a scenario of that name; no other run gets it. Raises OSError."""
    return claim_next(new_folder(name, root))


def claim_next(folder: Path) -> Path:
    """Makes this folder, or the first of `<folder>-2`, `<folder>-3`, … that is not there; no other run gets the same.

    Raises OSError if it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    free, number = folder, 1
    while True:
        try:
            free.mkdir()
        except FileExistsError:
            number += 1
            free = folder.with_name(f"{folder.name}-{number}")
        else:
            return free


def claim(folder: Path) -> Path:
    """Takes this folder for one run, and makes it if need be: of several runs that try, one gets it. Returns it.

    Raises TakenError if it holds anything, or another run has it; and OSError if it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise TakenError(f"{folder} is neither new nor empty")
    try:
        # Whoever makes this file has the folder; it is written later.
        os.close(os.open(folder / SCENARIO, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        raise TakenError(f"{folder} was taken by another run") from None
    return folder


def missing(folder: Path) -> list[Path]:
    """The folder and those above it that are not there yet, innermost first: what claiming it will make."""
    return [each for each in (folder, *folder.parents) if not each.exists()]


def give_back(folder: Path, made: list[Path]) -> None:
    """Empties a folder that was claimed, and removes those that were made for it: for a run that did not begin."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    with contextlib.suppress(OSError):
        for each in made:
            each.rmdir()


def folder_name(name: str) -> str:
    """A scenario's name as a part of a folder's name: letters, digits, `_`, `.` and `-`, no path, not too long."""
    kept = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    return kept.encode("utf-8", "ignore")[:_LONGEST].decode("utf-8", "ignore").rstrip("-.") or "run"


def untaken(folder: Path) -> Path:
    """This folder, or, if a run was left there already, the first of `<folder>-2`, `<folder>-3`, … that is free."""
    free, number = folder, 1
    while (free / MANIFEST).exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free
