"""`make bench`: prints each figure and its limit. `python -m tests.bench judge disk` runs only these two."""

import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import backend_metrics, described, disk, frames, intake, judge, live, page, pause, proxy, recorder
from .figure import Figure

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
}


def main() -> None:
    """Exits with 1 if a figure misses its limit, with 2 for an unknown name."""
    console = Console()
    wanted = sys.argv[1:] or list(BENCHES)
    if unknown := [name for name in wanted if name not in BENCHES]:
        console.print(f"expected some of {', '.join(BENCHES)}, got {', '.join(unknown)}")
        sys.exit(2)
    table = Table("figure", box=None, pad_edge=False)
    for title in ("measured", "limit"):
        table.add_column(title, justify="right", no_wrap=True)
    missed = 0
    for name in wanted:
        with console.status(f"measuring {name}"):
            for figure in BENCHES[name]():
                missed += not figure.within_limit
                measured = Text(f"{figure.measured:,.2f} {figure.unit}", "green" if figure.within_limit else "red")
                limit = f"{'≥' if figure.at_least else '≤'} {figure.limit:g} {figure.unit}"
                table.add_row(figure.name, measured, limit)
    console.print(table)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
