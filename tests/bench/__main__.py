"""`make bench`: measures the rows of docs/benchmarks.md and what single parts cost, and prints each with its limit.

`python -m tests.bench P1 judge` measures only these two. Rows are written into docs/benchmarks.md.
"""

import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import (
    backend_metrics,
    chats,
    curves,
    described,
    disk,
    frames,
    growth,
    intake,
    judge,
    live,
    page,
    page_of_rows,
    pause,
    policies,
    proxy,
    recorder,
)
from .figure import Figure
from .row import NotMeasuredError, RowResult, measure
from .rows import all_rows

BENCHES: dict[str, Callable[[], Iterator[Figure]]] = {
    "judge": judge.figures,
    "recorder": recorder.figures,
    "frames": frames.figures,
    "intake": intake.figures,
    "described": described.figures,
    "live": live.figures,
    "pause": pause.figures,
    "disk": disk.figures,
    "proxy": proxy.figures,
    "backend-metrics": backend_metrics.figures,
    "page": page.figures,
    "growth": growth.figures,
    "refetch": policies.figures,
    "chats": chats.figures,
    "curves": curves.figures,
}


def main() -> None:
    """Exits with 1 if a figure or a row misses its limit or was not measured, with 2 for an unknown name."""
    console, rows = Console(), all_rows()
    wanted = sys.argv[1:] or [*rows, *BENCHES]
    if unknown := [name for name in wanted if name not in BENCHES and name not in rows]:
        console.print(f"expected some of {', '.join([*rows, *BENCHES])}, got {', '.join(unknown)}")
        sys.exit(2)
    table = Table("figure", box=None, pad_edge=False)
    for title in ("measured", "limit"):
        table.add_column(title, justify="right", no_wrap=True)
    missed = 0
    for name in wanted:
        with console.status(f"measuring {name}"):
            if name in rows:
                result = measure(rows[name])
                page_of_rows.save(result)
                page_of_rows.rewrite()
                missed += not result.reached
                _add_row(table, result)
                continue
            try:
                figures = list(BENCHES[name]())
            except NotMeasuredError as error:
                missed += 1
                table.add_row(f"{name}: {error}", Text("not measured", "red"), "")
                continue
            for figure in figures:
                missed += not figure.within_limit
                measured = Text(f"{figure.measured:,.2f} {figure.unit}", _colour(figure.within_limit))
                limit = f"{'≥' if figure.at_least else '≤'} {figure.limit:g} {figure.unit}"
                table.add_row(figure.name, measured, limit)
    console.print(table)
    sys.exit(1 if missed else 0)


def _add_row(table: Table, result: RowResult) -> None:
    figure = "\n".join([f"{result.name} {page_of_rows.title_text(result)}", *result.problems])
    table.add_row(
        figure, Text(page_of_rows.measured_text(result), _colour(result.reached)), page_of_rows.reach_text(result)
    )


def _colour(within_limit: bool | None) -> str:
    return "green" if within_limit else "red"


if __name__ == "__main__":
    main()
