"""`make bench`: prints each figure, and what it is to reach. `python -m tests.bench judge disk` prints only some."""

import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import backend_metrics, disk, judge, live, page, pause, proxy, recorder
from .figure import Figure

BENCHES: dict[str, Callable[[], Iterator[Figure]]] = {
    "judge": judge.figures,
    "recorder": recorder.figures,
    "live": live.figures,
    "pause": pause.figures,
    "disk": disk.figures,
    "proxy": proxy.figures,
    "backend-metrics": backend_metrics.figures,
    "page": page.figures,
}


def main() -> None:
    """Exit code 1 if a figure is not reached, 2 for a name that is none."""
    console = Console()
    wanted = sys.argv[1:] or list(BENCHES)
    if strangers := [name for name in wanted if name not in BENCHES]:
        console.print(f"expected some of {', '.join(BENCHES)}, got {', '.join(strangers)}")
        sys.exit(2)
    table = Table("figure", box=None, pad_edge=False)
    for title in ("measured", "to reach"):
        table.add_column(title, justify="right", no_wrap=True)
    missed = 0
    for name in wanted:
        with console.status(f"measuring {name}"):
            for figure in BENCHES[name]():
                missed += not figure.reached
                measured = Text(f"{figure.measured:,.2f} {figure.unit}", "green" if figure.reached else "red")
                table.add_row(
                    figure.name, measured, f"{'≥' if figure.at_least else '≤'} {figure.reach:g} {figure.unit}"
                )
    console.print(table)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
