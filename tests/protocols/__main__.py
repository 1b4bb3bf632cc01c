"""`make protocols`: every protocol file that has a real server, in rows: clean, killed, cut, with a planted defect.

Exits with 0 if every row ends as it says, and with 1 if any differs. Servers that cannot be had here are skipped,
which is said.
"""

import argparse
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

from .catalogue import CHATS, ROWS, Row
from .judged import Outcome
from .report import got, table
from .runs import run

_WIDTH = 170
_AT_ONCE = 2


def main() -> int:
    """Runs the requested rows, and prints the table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.protocols", description=__doc__)
    parser.add_argument("names", nargs="*", help="run only these servers, protocols or rows")
    parser.add_argument("--at-once", type=int, default=_AT_ONCE, help="rows at a time (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the folder of runs even if all is well")
    options = parser.parse_args()
    names = set(options.names)
    if unknown := names - {name for row in ROWS for name in names_of(row)}:
        parser.error(f"expected names in catalogue.py, got {', '.join(sorted(unknown))}")
    chosen = rows_of(names)
    folder = Path(tempfile.mkdtemp(prefix="protocols-"))
    began = time.monotonic()
    outcomes = _perform(chosen, folder, options.at_once)
    console = Console(width=_WIDTH, highlight=False)
    console.print(table(outcomes))
    ran = [outcome for outcome in outcomes if not outcome.skipped]
    wrong = [outcome for outcome in ran if outcome.problems]
    console.print(f"\n{len(ran)} runs in {time.monotonic() - began:.0f} s, {len(wrong)} of them wrong")
    for name, why in {outcome.row.chat.name: outcome.skipped for outcome in outcomes if outcome.skipped}.items():
        console.print(f"\nSKIPPED: all rows of {name}: {why}", style="bold red", markup=False)
    for outcome in wrong:
        console.print(f"\n{outcome.row.chat.name}, {outcome.row.name}: {outcome.folder}", style="bold red")
        for problem in outcome.problems:
            console.print(f"  {problem}", markup=False)
    if not wrong and not options.keep:
        shutil.rmtree(folder)
    return 1 if wrong or not ran else 0


def names_of(row: Row) -> set[str]:
    """By which a row can be asked for."""
    return {row.chat.name, row.chat.protocol, row.scenario, row.name}


def rows_of(names: set[str]) -> list[Row]:
    """The rows that all of these kinds of names fit: of one of the servers, and one of the rows."""
    servers = names & {name for chat in CHATS for name in (chat.name, chat.protocol)}
    others = names - servers
    return [
        row for row in ROWS
        if (not servers or names_of(row) & servers) and (not others or names_of(row) & others)
    ]  # fmt: skip


def _perform(rows: list[Row], folder: Path, at_once: int) -> list[Outcome]:
    """In the order of the rows. Those that need the whole machine come last, one by one."""
    outcomes: dict[int, Outcome] = {}

    def perform(number: int) -> None:
        outcome = outcomes[number] = run(rows[number], folder / f"{number:02}-{rows[number].chat.name}")
        state = "SKIPPED" if outcome.skipped else "as expected"
        if outcome.problems:
            state = f"WRONG: {outcome.problems[0][:200]}"
        what = f"{rows[number].chat.name}, {rows[number].name}, {outcome.seconds:.0f} s"
        print(f"{what}: {got(outcome)}, {state}", file=sys.stderr, flush=True)

    alone = [number for number, row in enumerate(rows) if row.shipped]
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(perform, (number for number in range(len(rows)) if number not in alone)))
    for number in alone:
        perform(number)
    return [outcomes[number] for number in range(len(rows))]


if __name__ == "__main__":
    sys.exit(main())
