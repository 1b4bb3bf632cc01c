"""Where runs are kept: a folder each, below `runs/` unless told otherwise."""

from datetime import datetime
from pathlib import Path

HISTORY, SCENARIO, VERDICT = "history", "scenario.toml", "verdict.json"


def new_folder(scenario: str, root: Path = Path("runs")) -> Path:
    """A folder's name that is not taken: `runs/<time>-<scenario>`. It is not made yet."""
    name = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{scenario}"
    folder, number = root / name, 1
    while folder.exists():
        number += 1
        folder = root / f"{name}-{number}"
    return folder
