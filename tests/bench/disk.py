"""Bytes of history on disk per delivery: its frame, and its share of refetches, lists and the rest."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from .figure import Figure
from .generated import DELIVERIES, GeneratedRun

BYTES = 30.0


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        GeneratedRun().write(Path(folder) / "run")
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.cs1"))
    yield Figure("history: on disk, per delivery", size / DELIVERIES, BYTES, "bytes")
