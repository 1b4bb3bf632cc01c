"""The rows of docs/benchmarks.md. Each module measures one part of chatswarm, and lists its rows as ROWS."""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from tests.bench.row import Row


def all_rows() -> dict[str, Row]:
    """All rows, by name."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules([str(Path(__file__).parent)])]
    return {row.name: row for module in modules for row in module.ROWS}
