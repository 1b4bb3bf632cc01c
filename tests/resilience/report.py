"""The table of runs: each scenario against the reference backend, and against what breaks its promise."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from .judged import Outcome, Start, figure

RECOVERY = ("detected", "reconnected", "first_delivery", "backlog_gone", "whole_again")
_SHOWN: dict[Start, str] = {
    "run": "chatswarm run",
    "headless": "locust --headless",
    "processes": "locust --processes 2",
    "namespaces": "master, 2 workers elsewhere",
    "page": "Locust's page",
}
COUNTS = ("lost", "late", "store_lost", "refused", "absent")


def table(outcomes: Sequence[Outcome]) -> Table:
    """One row per run. Recovery times are in seconds, for the fault that took longest."""
    made = Table(title="scenarios × chats", title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    made.caption_justify = "left"
    made.caption = "recovery in s, counted as in verdict.json; ≥: not whole again by the end; !: not what was expected"
    for name in ("scenario", "fault", "chat", "started by", "verdict"):
        made.add_column(name, no_wrap=name != "fault")
    for name in (*RECOVERY, *COUNTS, "s"):
        made.add_column(name.replace("_", "\n"), justify="right", no_wrap=True)
    last = ""
    for outcome in outcomes:
        if outcome.scenario != last:
            made.add_section()
        made.add_row(
            outcome.scenario if outcome.scenario != last else "",
            outcome.fault if outcome.scenario != last else "",
            outcome.label,
            _SHOWN[outcome.start],
            _verdict(outcome),
            *(_recovery(outcome.verdict, part) for part in RECOVERY),
            *(_count(outcome, name) for name in COUNTS),
            f"{outcome.seconds:.0f}",
        )
        last = outcome.scenario
    return made


def _verdict(outcome: Outcome) -> Text:
    verdict = outcome.verdict.get("verdict", "none")
    return Text(f"{verdict} !", style="bold red") if outcome.problems else Text(verdict, style="bold green")


def _recovery(verdict: dict[str, Any], part: str) -> Text:
    recoveries = verdict.get("recoveries", [])
    taken = [one[part] for one in recoveries if one[part] is not None]
    unfinished = [one["at_least"] for one in recoveries if one["at_least"] is not None]
    if part == "whole_again" and unfinished:
        return Text(f"≥ {max(unfinished):.1f}")
    return Text(f"{max(taken):.1f}") if taken else Text("–", style="dim")


def _count(outcome: Outcome, name: str) -> Text:
    count = figure(outcome.verdict, name) if outcome.verdict else None
    if not count:
        return Text("–" if count is None else "·", style="dim")
    return Text(f"{count:g}", style="bold")
