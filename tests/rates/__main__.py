"""`make rates`: how often `compare` and `capacity` are right, by real runs against chats with a planted truth.

    python -m tests.rates                 everything
    python -m tests.rates compare         only the comparisons
    python -m tests.rates capacity        only the searches

Exits with 1 if more trials are wrong than chance explains.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.table import Table

from chatswarm.loadtests.system.units import about

from .comparisons import PAIRS, ComparedPair, compare
from .searches import LIMITS
from .trial import Trial

_EACH = 8
"""Comparisons of each pair."""
_AT_ONCE = 2
"""Comparisons at the same time: they mostly wait. Searches have the machine to themselves."""
_ALLOWED = 1
"""Of each kind of comparison: chance makes 1 of 20 wrong."""


def main() -> int:
    """Makes all trials, prints the table, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.rates", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", nargs="?", choices=tuple(_KINDS), help="default: both")
    what = parser.parse_args().what
    console, began = Console(width=140, highlight=False), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="rates-"))
    trials: list[Trial] = []
    made = [kind(folder) for name, kind in _KINDS.items() if what in (None, name)]
    for trial in chain(*made):
        trials.append(trial)
        console.print(line(trial), markup=False)
    console.print(table_of(trials))
    console.print(f"{len(trials)} trials in {about(time.monotonic() - began)}")
    if not all(map(is_met, by_kind(trials).values())):
        console.print(f"their runs: {folder}", markup=False)
        return 1
    shutil.rmtree(folder)
    return 0


def comparisons(folder: Path) -> Iterator[Trial]:
    """All comparisons, in the order in which they began."""

    def made(task: tuple[ComparedPair, int]) -> Trial:
        pair, number = task
        own = folder / f"compare-{PAIRS.index(pair)}-{number}"
        own.mkdir()
        return compare(pair, number, own)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(made, [(pair, number) for number in range(_EACH) for pair in PAIRS])


def searches(folder: Path) -> Iterator[Trial]:
    """All searches, one after the other."""
    for index, limit in enumerate(LIMITS):
        for number in range(limit.times):
            own = folder / f"capacity-{index}-{number}"
            own.mkdir()
            yield limit.search(number, own)


def by_kind(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """The trials of each kind."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(trial.kind, []).append(trial)
    return found


def is_met(trials: Sequence[Trial]) -> bool:
    """Whether as many trials of a kind were right as have to be."""
    allowed = _ALLOWED if trials[0].kind.startswith("compare") else 0
    return sum(bool(trial.problem) for trial in trials) <= allowed


def line(trial: Trial) -> str:
    """A trial, on a line."""
    wrong = f"  WRONG: {trial.problem}" if trial.problem else ""
    return f"{trial.kind}: {trial.found}; told {about(trial.told)}, took {about(trial.took)}{wrong}"


def table_of(trials: Sequence[Trial]) -> Table:
    """A row for each kind."""
    table = Table("", "right", "found", "told", "took, at most", box=None, pad_edge=False)
    for kind, mine in by_kind(trials).items():
        right = sum(not trial.problem for trial in mine)
        found = "\n".join(trial.found for trial in mine)
        longest = max(mine, key=lambda trial: trial.took / max(1.0, trial.told))
        table.add_row(
            kind, f"{right} of {len(mine)}", found, about(longest.told), about(longest.took),
            style="" if is_met(mine) else "red",
        )  # fmt: skip
    return table


_KINDS = {"compare": comparisons, "capacity": searches}

if __name__ == "__main__":
    sys.exit(main())
