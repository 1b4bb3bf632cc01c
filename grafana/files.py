"""Maps each JSON file to its dashboard. Grafana reads the files; a test fails if one is stale."""

from pathlib import Path
from typing import Final

from . import holding, stages
from .board import Board

FOLDER: Final = Path(__file__).parent
FILES: Final[dict[Path, Board]] = {
    FOLDER / "dashboards" / "is-it-holding.json": holding.BOARD,
    FOLDER / "dashboards" / "where-does-the-time-go.json": stages.BOARD,
}
