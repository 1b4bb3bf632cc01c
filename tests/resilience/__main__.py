"""`make resilience`: every fault scenario, against the reference backend and a chat that breaks its promise.

Exits with 0 if the reference backend passes every scenario, and everything else fails as it must.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from .catalogue import ROWS, Row
from .judged import Kind, Outcome
from .report import table
from .runs import run

_WIDTH = 170


def main() -> int:
    """Runs the requested scenarios one by one, and prints the table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.resilience", description=__doc__)
    parser.add_argument("names", nargs="*", help="run only these scenarios, or the scenarios that these chats fail")
    parser.add_argument("--clean", action="store_true", help="also run the small clean chat, which must pass")
    parser.add_argument(
        "--unharmed", action="store_true", help="also run the broken chats without the faults: they must pass"
    )
    parser.add_argument("--keep", action="store_true", help="keep the folder of runs even if all is well")
    options = parser.parse_args()
    known = {name for row in ROWS for name in (row.scenario, row.chat) if name}
    if unknown := set(options.names) - known:
        parser.error(f"expected names in catalogue.py, got {', '.join(sorted(unknown))}")
    rows = [row for row in ROWS if not options.names or {row.scenario, row.chat} & set(options.names)]
    folder = Path(tempfile.mkdtemp(prefix="resilience-"))
    began = time.monotonic()
    planned = plan(rows, clean=options.clean, unharmed=options.unharmed)
    outcomes = [_perform(row, kind, folder / f"{number:02}") for number, (row, kind) in enumerate(planned)]
    console = Console(width=_WIDTH, highlight=False)
    console.print(table(outcomes))
    wrong = [outcome for outcome in outcomes if outcome.problems]
    console.print(f"\n{len(outcomes)} runs in {time.monotonic() - began:.0f} s, {len(wrong)} of them wrong")
    for outcome in wrong:
        console.print(f"\n{outcome.scenario}, {outcome.label}: {outcome.folder}", style="bold red")
        for problem in outcome.problems:
            console.print(f"  {problem}", markup=False)
    if not wrong and not options.keep:
        shutil.rmtree(folder)
    return 1 if wrong or not outcomes else 0


def plan(rows: list[Row], *, clean: bool, unharmed: bool) -> list[tuple[Row, Kind]]:
    """The runs to perform. Those that do not depend on the counterpart come once per scenario."""
    planned: list[tuple[Row, Kind]] = []
    seen: set[str] = set()
    for row in rows:
        if row.scenario not in seen:
            seen.add(row.scenario)
            planned.append((row, "reference"))
            if clean and not row.broker:  # it has only one process
                planned.append((row, "clean"))
        if unharmed:
            planned.append((row, "unharmed"))
        planned.append((row, "without"))
    return planned


def _perform(row: Row, kind: Kind, folder: Path) -> Outcome:
    outcome = run(row, kind, folder)
    state = "as expected" if not outcome.problems else f"WRONG: {outcome.problems[0][:200]}"
    verdict = outcome.verdict.get("verdict", "no verdict")
    print(f"{row.scenario}, {outcome.label}, {outcome.seconds:.0f} s: {verdict}, {state}", file=sys.stderr, flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
