"""Prints every panel and rule with its query, Prometheus' result and the verdict: `make panels`."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .agreement import Compared, panels, rules
from .prometheus import MISSING, program
from .watched import watch

_WIDTH = 200


def main() -> int:
    """Run both swarms and print the tables. Returns 0 if everything agrees."""
    if program("prometheus") is None:
        print(MISSING, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="panels-") as folder:
        evidence = watch(Path(folder))
    console = Console(width=_WIDTH, highlight=False)
    tables = {"panel": panels(evidence), "rule": rules(evidence)}
    for what, rows in tables.items():
        console.print(_table(what, rows))
    every = [row for rows in tables.values() for row in rows]
    wrong = [row.name for row in every if not row.agreement.holds]
    console.print(
        f"{len(every)} figures: " + (f"not as the verdict says: {', '.join(wrong)}" if wrong else "all agree")
    )
    return 1 if wrong else 0


def _table(what: str, rows: Sequence[Compared]) -> Table:
    table = Table(show_lines=True, expand=True)
    table.add_column(what, ratio=3)
    table.add_column("run", width=6)
    table.add_column("query; its window is the whole run", ratio=9, overflow="fold")
    table.add_column("Prometheus", ratio=2, justify="right")
    table.add_column("", width=10, justify="center")
    table.add_column("verdict", ratio=2)
    for row in rows:
        held = row.agreement
        style = "" if held.holds else "bold red"
        said, verdict = Text(held.said, style), Text(held.verdict, style)
        table.add_row(Text(row.name), row.run, Text(row.query, "dim"), said, held.relation, verdict)
    return table


if __name__ == "__main__":
    sys.exit(main())
