"""How many bytes the history takes on disk for each delivery: its frame, its share of refetches, lists and the rest."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from .figure import Figure
from .generated import DELIVERIES, write

BYTES = 30.0


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "run")
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.cs1"))
    yield Figure("history: on disk, for each delivery", size / DELIVERIES, BYTES, "bytes")
