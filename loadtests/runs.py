"""Where runs are kept: a folder each, below `runs/` unless told otherwise."""

import re
from datetime import datetime
from pathlib import Path

from .history.manifest import MANIFEST

SCENARIO, VERDICT, REPORT = "scenario.toml", "verdict.json", "report.html"


def new_folder(scenario: str, root: Path = Path("runs")) -> Path:
    """A folder for a new run: `runs/<time>-<scenario>`. It is not made yet."""
    # A scenario's name is anything; a folder's is no path, and nothing that a shell or a terminal would take for more.
    named = re.sub(r"[^\w.-]+", "-", scenario).strip("-.")[:80] or "run"
    name = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{named}"
    return untaken(root / name)


def untaken(folder: Path) -> Path:
    """This folder, or, if a run was left there already, the first of `<folder>-2`, `<folder>-3`, … that is free."""
    free, number = folder, 1
    while (free / MANIFEST).exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free
