"""`make resilience`: every fault scenario, against the reference backend and a chat that breaks its promise.

Each is started by `chatswarm run`, and some also by `locust -f`, in each of its ways. Exits with 0 if the reference
backend passes every scenario, and everything else fails as it must.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from .catalogue import ROWS, Row
from .judged import STARTS, Kind, Outcome, Start
from .place import why_no_two_hosts
from .report import table
from .runs import run

_WIDTH = 190


def main() -> int:
    """Runs the requested scenarios one by one, and prints the table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.resilience", description=__doc__)
    parser.add_argument("names", nargs="*", help="run only these scenarios, or the scenarios that these chats fail")
    parser.add_argument(
        "--start", action="append", choices=STARTS, help="start runs only in this way; repeatable (default: in all)"
    )
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
    planned = plan(rows, options.start or STARTS, clean=options.clean, unharmed=options.unharmed)
    if not planned:
        parser.error(f"expected scenarios that catalogue.py has started by {', '.join(options.start)}, got none")
    planned, skipped = _possible(planned)
    folder = Path(tempfile.mkdtemp(prefix="resilience-"))
    began = time.monotonic()
    outcomes = [_perform(one, folder / f"{number:02}") for number, one in enumerate(planned)]
    console = Console(width=_WIDTH, highlight=False)
    console.print(table(outcomes))
    wrong = [outcome for outcome in outcomes if outcome.problems]
    console.print(f"\n{len(outcomes)} runs in {time.monotonic() - began:.0f} s, {len(wrong)} of them wrong")
    if skipped:
        console.print(f"\n{skipped}", style="bold red", markup=False)
    for outcome in wrong:
        console.print(f"\n{outcome.scenario}, {outcome.label}, {outcome.start}: {outcome.folder}", style="bold red")
        for problem in outcome.problems:
            console.print(f"  {problem}", markup=False)
    if not wrong and not options.keep:
        shutil.rmtree(folder)
    return 1 if wrong or not outcomes else 0


class Planned(NamedTuple):
    """A run to perform."""

    row: Row
    kind: Kind
    start: Start


def plan(rows: list[Row], starts: Collection[Start], *, clean: bool, unharmed: bool) -> list[Planned]:
    """The runs to perform. Those that do not depend on the counterpart come once per scenario and start."""
    planned: list[Planned] = []
    seen: set[tuple[str, bool, Start]] = set()
    for row, start in ((each, start) for each in rows for start in each.starts if start in starts):
        if (row.scenario, row.in_rooms, start) not in seen:
            seen.add((row.scenario, row.in_rooms, start))
            planned.append(Planned(row, "reference", start))
            if clean and row.clean and not row.broker:  # it has only one process
                planned.append(Planned(row, "clean", start))
        if unharmed:
            planned.append(Planned(row, "unharmed", start))
        planned.append(Planned(row, "without", start))
    return planned


def _possible(planned: list[Planned]) -> tuple[list[Planned], str]:
    """The runs that are possible here, and why others are skipped."""
    possible = [one for one in planned if one.start != "namespaces"]
    count = len(planned) - len(possible)
    why = why_no_two_hosts() if count else None
    if why is None:
        return planned, ""
    skipped = f"SKIPPED: {count} runs with workers elsewhere, because there can be no network namespaces here: {why}"
    print(skipped, file=sys.stderr, flush=True)
    return possible, skipped


def _perform(planned: Planned, folder: Path) -> Outcome:
    outcome = run(planned.row, planned.kind, folder, planned.start)
    state = "as expected" if not outcome.problems else f"WRONG: {outcome.problems[0][:200]}"
    verdict = outcome.verdict.get("verdict", "no verdict")
    what = f"{outcome.scenario}, {outcome.label}, {outcome.start}, {outcome.seconds:.0f} s"
    print(f"{what}: {verdict}, {state}", file=sys.stderr, flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
