"""Where runs are kept: a folder each, below `runs/` unless told otherwise."""

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from .history.manifest import MANIFEST

SCENARIO, VERDICT, REPORT = "scenario.toml", "verdict.json", "report.html"


def claim_folder(name: str, root: Path = Path("runs")) -> Path:
    """Makes a folder for a new run of this scenario, `runs/<time>-<name>`, that is this run's alone. Raises OSError."""
    return claim_next(root / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{name}")


def claim_next(folder: Path) -> Path:
    """Makes and takes this folder, or, if a run has it, the first of `<folder>-2`, `<folder>-3`, … that none has.

    Raises OSError.
    """
    for candidate in _names(folder):
        with contextlib.suppress(FileExistsError):
            return claim(candidate)
    raise AssertionError("there is always one more name")


def claim(folder: Path) -> Path:
    """Makes this folder and takes it for one run. Raises FileExistsError if a run has it already, and OSError.

    Of several processes that do so at the same moment exactly one has it: whose manifest it is.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"expected a folder, or a name for one, got {str(folder)!r}")
    folder.mkdir(parents=True, exist_ok=True)
    os.close(os.open(folder / MANIFEST, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return folder


def not_there(folder: Path) -> list[Path]:
    """What a run would make and is not there yet, innermost first: what `give_back` may remove."""
    below = [folder / name for name in (MANIFEST, SCENARIO, "history")]
    return [path for path in (*below, folder, *folder.parents) if not path.exists()]


def give_back(made: list[Path]) -> None:
    """Leaves nothing of a run that did not begin, and everything that was there before."""
    for path in made:
        with contextlib.suppress(OSError):
            if not path.is_dir():
                path.unlink()
                continue
            if path.name == "history":
                for file in path.iterdir():
                    file.unlink()
            path.rmdir()


def _names(folder: Path) -> Iterator[Path]:
    yield folder
    number = 2
    while True:
        yield folder.with_name(f"{folder.name}-{number}")
        number += 1


def new_folder(scenario: str, root: Path = Path("runs")) -> Path:
    """A folder for a new run: `runs/<time>-<scenario>`. It is not made yet."""
    name = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{scenario}"
    return untaken(root / name)


def untaken(folder: Path) -> Path:
    """This folder, or, if a run was left there already, the first of `<folder>-2`, `<folder>-3`, … that is free."""
    free, number = folder, 1
    while (free / MANIFEST).exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free
