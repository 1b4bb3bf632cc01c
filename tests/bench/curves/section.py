"""The curves in docs/capacity.md: what each chat held, what gave out, and the p99 at each load."""

from collections.abc import Iterable

from chatswarm.loadtests.capacity.record import CapacityBy, CapacityReport
from chatswarm.loadtests.report.capacity_words import (
    ProbedLoad,
    cores,
    gave_out_words,
    interval_words,
    load,
    loads_of,
)
from chatswarm.loadtests.system.units import about, human
from tests.bench.page_of_rows import between_marks

from .picture import Searches
from .search import CHATS, CurveChat

_START, _END = "<!-- curves: written by make bench ROW=curves -->\n", "<!-- end of curves -->"
_NAMES: dict[CurveChat, str] = {
    "one worker": "reference chat, one worker",
    "two workers": "reference chat, two workers",
    "tutorial": "the tutorial's loop",
}
_TITLES: dict[CapacityBy, str] = {
    "rate": "By rate: 100 dashboards, 50 customers",
    "dashboards": "By dashboards: 20 messages/s, 50 customers",
}


def with_curves(page: str, machine: str, searches: Searches) -> str:
    """The page with the curves between its two marks. Raises ValueError if it has no such marks."""
    lines = ["", "![Visible p99 and CPU of the chat by rate and by dashboards](benchmarks/curves.svg)"]
    for by in dict.fromkeys(by for _, by in searches):
        mine = {chat: searches[chat, by] for chat in CHATS if (chat, by) in searches}
        lines += ["", f"**{_TITLES[by]}**", ""]
        lines += [
            "| | held | limit, 90 % sure | gave out | knee | CPU of the chat there |",
            "|---|---|---|---|---|---|",
        ]
        lines += [f"| {_NAMES[chat]} | {' | '.join(_row(report))} |" for chat, report in mine.items()]
        lines += ["", f"p99 at each load, in {next(iter(mine.values())).asked.unit}; ✓ held, ✗ failed:", ""]
        lines += _table(mine)
    took = sum(report.result.seconds for report in searches.values() if report.result is not None)
    probes = sum(len(report.probes) for report in searches.values())
    lines += ["", f"{len(searches)} searches, {probes} probes in {about(took)}. Measured on: {machine}.", ""]
    return between_marks(page, _START, _END, lines)


def _row(report: CapacityReport) -> list[str]:
    asked, result = report.asked, report.result
    assert result is not None
    at_limit = [each.target_cpu for each in loads_of(report) if each.level == result.limit]
    return [
        load(result.limit),
        interval_words(result, " to "),
        gave_out_words(asked, result),
        load(result.knee),
        cores(at_limit[0] if at_limit else None),
    ]


def _table(reports: dict[CurveChat, CapacityReport]) -> list[str]:
    found = {chat: {each.level: each for each in loads_of(report)} for chat, report in reports.items()}
    levels = sorted({level for loads in found.values() for level in loads})
    lines = [f"| | {' | '.join(_NAMES[chat] for chat in found)} |", f"|---|{'---|' * len(found)}"]
    return lines + [f"| {load(level)} | {' | '.join(_cells(found.values(), level))} |" for level in levels]


def _cells(found: Iterable[dict[float, ProbedLoad]], level: float) -> list[str]:
    return [f"{human(loads[level].p99)} {loads[level].marks}" if level in loads else "" for loads in found]
