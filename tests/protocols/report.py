"""The table of runs: each real server, its version, and what became of each row."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from tests.resilience.judged import figure

from .judged import Outcome, found_in

_COUNTS = ("expected", "lost", "gap", "store_lost", "duplicated", "leaked")


def table(outcomes: Sequence[Outcome]) -> Table:
    """One row per run."""
    made = Table(title="protocols × real servers", title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    made.caption_justify = "left"
    made.caption = "only gap: lost == gap > 0; –: not measured; !: not what was expected"
    for name in ("protocol", "server", "row", "expected", "got"):
        made.add_column(name, no_wrap=name in ("protocol", "row", "got"))
    for name in (*_COUNTS, "s"):
        made.add_column(name.replace("_", "\n"), justify="right", no_wrap=True)
    last = ""
    for outcome in outcomes:
        row = outcome.row
        new = row.chat.name != last
        if new:
            made.add_section()
        made.add_row(
            row.chat.protocol if new else "",
            (outcome.version or row.chat.name) if new else "",
            row.name if row.defect else Text(row.name, style="bold"),
            row.shown,
            _got(outcome),
            *(_count(outcome.verdict, name) for name in _COUNTS),
            f"{outcome.seconds:.0f}",
        )
        last = row.chat.name
    return made


def _got(outcome: Outcome) -> Text:
    if outcome.skipped:
        return Text("SKIPPED", style="bold red")
    return Text(f"{got(outcome)} !", style="bold red") if outcome.problems else Text(got(outcome), style="bold green")


def got(outcome: Outcome) -> str:
    """The verdict, for people, in the words of the expected one."""
    verdict = outcome.verdict
    if not verdict:
        return "none"
    if verdict["verdict"] == "pass" and verdict["deliveries"]["lost"]:
        return "only gap" if verdict["deliveries"]["lost"] == verdict["deliveries"]["gap"] else "pass"
    found = ", ".join(sorted(found_in(verdict)))
    return f"{verdict['verdict']}: {found}" if found else str(verdict["verdict"])


def _count(verdict: Mapping[str, Any], name: str) -> Text:
    count = None
    if verdict:
        count = verdict["deliveries"][name] if name in verdict["deliveries"] else figure(verdict, name)
    if not count:
        return Text("–" if count is None else "·", style="dim")
    return Text(f"{count:g}")
