"""`chatswarm capacity` in the terminal: its progress with the curve so far, then the limit and what gave out."""

import math
import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chatswarm.loadtests.capacity.findings import PlannedProbe
from chatswarm.loadtests.capacity.record import CapacityProbe, CapacityReport
from chatswarm.loadtests.system.progress import RunProgress
from chatswarm.loadtests.system.text import one_line
from chatswarm.loadtests.system.units import about, human

from .capacity_words import (
    ProbedLoad,
    answer_words,
    backlog_words,
    cores,
    finite,
    gave_out_words,
    headline,
    knee_words,
    load,
    loads_of,
    lower_bound_words,
    outcome_of_result,
    probe_words,
    target_words,
    title,
)
from .terminal import STYLES, LiveLine, badge, plain_table
from .wording import MARKS

_BAR = 8
_DECADE = math.log(10)


class CapacityWatch:
    """Shows a search while it goes on: each probe on a line that stays, and below the curve so far and the current one.

    Shows nothing without a terminal, or if not `live`.
    """

    def __init__(self, console: Console, report: CapacityReport, live: bool) -> None:
        self._report = report
        self._live = live and console.is_terminal
        self._line = LiveLine(console, self._live)
        self._begun = time.monotonic() - sum(probe.took for probe in report.probes)
        self._now = ""
        self._width = console.width

    def __enter__(self) -> Self:
        self._line.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.__exit__(kind, error, trace)

    def begin(self, planned: PlannedProbe, number: int) -> None:
        """A probe begins."""
        against = ", against the null chat" if planned.purpose == "null" else ""
        self._now = f"probe {number}: {load(planned.load.level)} {self._report.asked.unit}{against}"

    def progress(self, progress: RunProgress) -> None:
        """How far it is."""
        if self._live:
            left = about(max(0.0, self._report.told - (time.monotonic() - self._begun)))
            now = Text(one_line(f"{self._now}; the search ends in {left} at the latest"), "bold")
            self._line.above = Group(*self._curve(), now)
            self._line.show(progress)

    def step(self, text: str, done: int, total: int) -> None:
        """How far its judge is."""
        if self._live:
            self._line.step(text, done, total)

    def made(self, probe: CapacityProbe) -> None:
        """A probe was made."""
        if self._live:
            self._line.say(probe_words(self._report.asked, probe))

    def _curve(self) -> list[RenderableType]:
        """The loads that were probed so far."""
        loads = loads_of(self._report)
        return [Padding(_table(loads, self._width), (1, 0, 1, 2))] if loads else []


def print_plan(console: Console, report: CapacityReport) -> None:
    """What is about to be searched, and how long it takes."""
    asked, made, target = report.asked, len(report.probes), target_words(report.asked)
    loads = f"{load(asked.start)} to {load(asked.to)} {asked.unit}"
    console.print(
        Text.assemble(
            (one_line(asked.scenario), "bold"),
            one_line(f" by {asked.by}, {loads} against {target}: at most {about(report.told)}"),
        ),
        soft_wrap=True,
    )
    again = f"goes on after {made} probe{'s' * (made != 1)} of before, in {report.folder}"
    console.print(Text(one_line(again if made else f"each probe is kept in {report.folder}"), "dim"), soft_wrap=True)


def print_capacity(console: Console, report: CapacityReport) -> None:
    """Prints the result, most important part first."""
    asked, result, target = report.asked, report.result, target_words(report.asked)
    if result is None:
        return
    outcome = outcome_of_result(result)
    console.print()
    console.print(
        Text.assemble(
            badge(outcome, title(result)),
            (f"  {one_line(asked.scenario)}", "bold"),
            one_line(f" by {asked.by} against {target}"),
        ),
        soft_wrap=True,
    )
    said = [
        (answer_words(asked, result), "bold"),
        (headline(asked, result), "bold"),
        (lower_bound_words(asked, result), STYLES["undecided"]),
        *((f"because {reason}", STYLES[outcome]) for reason in result.reasons),
    ]
    for text, style in said:
        if text:
            console.print(Padding(Text(one_line(text), style), (0, 0, 0, 2)))
    console.print()
    console.print(Padding(Text(f"gave out: {gave_out_words(asked, result)}"), (0, 0, 0, 2)))
    for text in result.evidence:
        console.print(Padding(Text(one_line(f"· {text}"), "dim"), (0, 0, 0, 4)))
    loads = loads_of(report)
    if loads:
        console.print(Padding(_table(loads, console.width), (1, 0, 0, 2)))
        console.print()
        console.print(Padding(Text(knee_words(asked, result, len(loads))), (0, 0, 0, 2)))
    for note in result.notes:
        console.print(Padding(Text(one_line(f"note: {note}"), "dim"), (0, 0, 0, 2)))
    made = len(report.probes)
    count = f"{made} probe{'s' * (made != 1)} in {about(result.seconds)} of at most {about(report.told)}"
    console.print(
        Padding(
            Text(one_line(f"{count}; {report.folder}/  capacity.json, a folder for each probe"), "dim"), (0, 0, 0, 2)
        )
    )


def _table(loads: list[ProbedLoad], width: int) -> Table:
    """The loads, each with its figures, and a bar for its p99 on a logarithmic scale."""
    wide = width >= 100
    columns = [("load", "right"), ("probes", ""), ("p50", "right"), ("p99", "right"), ("", "")]
    columns += [("backlog", "right"), ("target", "right"), ("machine", "right")]
    table = plain_table(*columns, *([("why it failed", "")] if wide else []))
    known = finite(load.p99 for load in loads)
    for each in loads:
        marks = Text.assemble(*((MARKS[outcome], STYLES[outcome]) for outcome in each.outcomes))
        bar = Text(_bar(each.p99, known), STYLES["pass" if each.held else "fail"])
        row: list[RenderableType] = [
            load(each.level),
            marks,
            human(each.p50),
            human(each.p99),
            bar,
            backlog_words(each.backlog),
        ]
        row += [cores(each.target_cpu), cores(each.machine_cpu)]
        table.add_row(*row, *([Text(one_line(each.why), "dim")] if wide else []))
    return table


def _bar(value: float | None, known: list[float]) -> str:
    if value is None:
        return ""
    if math.isinf(value):
        return "▇" * _BAR
    low = math.log(max(min(known), 1e-6))
    # Over less than a decade, bars would make much of little.
    length = max(_DECADE, math.log(max(*known, 1e-6)) - low)
    return "▇" * max(1, round((math.log(max(value, 1e-6)) - low) / length * _BAR))
