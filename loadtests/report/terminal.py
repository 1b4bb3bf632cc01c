"""The terminal output: a progress line during the run, then the verdict as tables. All on standard error."""

import time
from types import TracebackType
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from chatswarm.loadtests.judge.verdict import Quantiles, Verdict
from chatswarm.loadtests.scenario.metric_names import QUANTILES, Outcome
from chatswarm.loadtests.system.progress import RunProgress
from chatswarm.loadtests.system.text import command_line, one_line
from chatswarm.loadtests.system.units import human

from .wording import MARKS, MEANINGS, account_parts, actual, causes, evidence, example, margin, size, strength, used

STYLES: dict[Outcome, str] = {"pass": "green", "fail": "red", "undecided": "yellow"}
_PLAIN_EVERY = 5.0  # seconds between two lines if there is no terminal
_EXAMPLES = 3
_ORDER = (
    "visible",
    "first_dashboard",
    "median_dashboard",
    "last_dashboard",
    "notified",
    "accepted",
    "refetch",
    "connect",
    "recovery",
)


_RECOVERY = (
    "detected: from the fault's start until the first dashboard lost its connection. From its end until: all "
    "dashboards that it cut off were back; the first new message was visible; the last message that it held up was "
    "visible (backlog); every message was on target (whole again)."
)


class LiveLine:
    """A line with the progress of a run or of the judge.

    Without a terminal, or if not `live`, a run prints a plain line every few seconds, and the judge prints nothing.
    """

    def __init__(self, console: Console, live: bool = True) -> None:
        self._console = console
        live = live and console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, refresh_per_second=4, transient=True) if live else None
        self._last = 0.0
        self._phase = ""
        self.above: RenderableType | None = None
        """What is shown above the run's line: which run it is of several, and what those before it showed."""

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Prints a line that stays."""
        self._console.print(plain(text, "dim"))

    def step(self, text: str, done: int, total: int) -> None:
        """Shows the current step of the judge, and how many of its steps are done."""
        if self._live is not None:
            line = Table.grid(padding=(0, 1))
            bar = ProgressBar(total=total, completed=done, width=24)
            line.add_row(Text(f"{'judging':>10}", "bold"), bar, Text(f"{done} / {total}"), Spinner("dots"), plain(text))
            self._live.update(self._whole(line), refresh=True)

    def show(self, progress: RunProgress) -> None:
        """Shows the latest figures of a run."""
        figures = _figures(progress)
        if self._live is not None:
            self._live.update(self._whole(_bar(progress, figures)))
        elif progress.length and (progress.phase != self._phase or time.monotonic() - self._last >= _PLAIN_EVERY):
            self._phase, self._last = progress.phase, time.monotonic()
            line = f"{progress.phase} {_clock(progress)}  {'  '.join(figures)}"
            self._console.print(plain(line), soft_wrap=True)

    def _whole(self, line: RenderableType) -> RenderableType:
        return line if self.above is None else Group(self.above, line)


def _bar(progress: RunProgress, figures: list[str]) -> Group:
    line = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=max(progress.length, 0.001), completed=min(progress.elapsed, progress.length), width=24)
    line.add_row(plain(f"{progress.phase:>10}", "bold"), bar, Text(_clock(progress)))
    return Group(line, Text(" " * 11 + "  ".join(figures), "dim"))


def _clock(progress: RunProgress) -> str:
    return f"{min(progress.elapsed, progress.length):.0f} / {progress.length:.0f} s"


def _figures(progress: RunProgress) -> list[str]:
    figures = [f"{progress.subscribed}/{progress.dashboards} dashboards"]
    if progress.phase != "connecting":
        figures += [
            f"{progress.sent:,} sent ({progress.sent_rate:.0f}/s)",
            f"{progress.updates:,} deliveries ({progress.update_rate:.0f}/s)",
            f"p99 {human(progress.p99)} so far",
        ]
        if progress.refused:
            figures.append(f"{progress.refused:,} refused")
        if progress.rig_failed:
            figures.append(f"{progress.rig_failed:,} failed on the rig's side")
    return figures


def print_verdict(console: Console, verdict: Verdict) -> None:
    """Prints the whole verdict, most important part first."""
    style = STYLES[verdict.verdict]
    console.print()
    head = Text.assemble(
        badge(verdict.verdict),
        (f"  {one_line(verdict.scenario)}", "bold"),
        f" against {one_line(verdict.target)}",
    )
    console.print(head, soft_wrap=True)
    console.print(Padding(Text(size(verdict), "dim"), (0, 0, 0, 2)))
    for reason in verdict.reasons:
        console.print(Padding(plain(f"because {reason}", style), (0, 0, 0, 2)))
    for cause in causes(verdict):
        console.print(Padding(plain(cause, "bold"), (0, 0, 0, 2)))
    if causes(verdict) and verdict.folder:
        more = command_line(["chatswarm", "why", verdict.folder])
        console.print(plain(f"  {more}", "dim"), soft_wrap=True)
    console.print()
    console.print(Padding(_account(verdict), (0, 0, 0, 2)))
    if told := strength(verdict):
        console.print(Padding(plain(told, "dim"), (0, 0, 0, 2)))
    for table in (_slos(verdict), _latencies(verdict), _recoveries(verdict), _findings(verdict)):
        if table is not None:
            console.print(Padding(table, (1, 0, 0, 2)))
    console.print()
    console.print(Padding(_rig(verdict), (0, 0, 0, 2)))
    for note in verdict.notes:
        console.print(Padding(plain(f"note: {note}", "dim"), (0, 0, 0, 2)))
    if verdict.folder:
        files = plain(f"{verdict.folder}/  verdict.json, report.html, history/, scenario.toml, logs", "dim")
        console.print(Padding(files, (0, 0, 0, 2)))


def _account(verdict: Verdict) -> Text:
    return Text.assemble(
        *((text, "" if outcome == "pass" else STYLES[outcome]) for text, outcome in account_parts(verdict))
    )


def _slos(verdict: Verdict) -> Table | None:
    if not verdict.slos:
        return None
    table = plain_table(("", ""), ("expected", ""), ("actual", "right"), ("", ""))
    for result in verdict.slos:
        style = STYLES[result.outcome]
        mark, share = Text(MARKS[result.outcome], style), Text(margin(result), "dim")
        table.add_row(mark, plain(result.expect), Text(actual(result), style), share)
    return table


def _latencies(verdict: Verdict) -> Table:
    table = plain_table(("latency", ""), *((key, "right") for key in QUANTILES), ("samples", "right"))
    for name in _ORDER:
        quantiles: Quantiles = getattr(verdict.latency, name)
        if not quantiles.count:
            continue
        values = [getattr(quantiles, key) for key in QUANTILES]
        cells = [Text("lost", "red") if value is None else Text(human(value)) for value in values]
        table.add_row(name, *cells, f"{quantiles.count:,}")
    return table


def _recoveries(verdict: Verdict) -> Group | None:
    """Each fault, the chat's recovery from it, and the evidence that it took place."""
    if not verdict.recoveries:
        return None
    parts = ("detected", "back", "first", "backlog", "whole")
    table = plain_table(("fault", ""), ("from", "right"), ("to", "right"), *((part, "right") for part in parts))
    notes = Text(_RECOVERY, "dim")
    proofs = {(fault.name, fault.start): fault.evidence for fault in verdict.faults}
    for recovery in verdict.recoveries:
        whole = human(recovery.whole_again)
        if recovery.at_least is not None:
            whole = f"≥ {human(recovery.at_least)}"
        times = (recovery.detected, recovery.reconnected, recovery.first_delivery, recovery.backlog_gone)
        stop = "never" if recovery.stop is None else f"{recovery.stop:.1f} s"
        table.add_row(plain(recovery.name), f"{recovery.start:.1f} s", stop, *(human(time) for time in times), whole)
        details = [recovery.reason] if recovery.reason else []
        if recovery.dashboards_lost:
            details.append(f"{recovery.dashboards_back} of {recovery.dashboards_lost} cut-off dashboards came back")
        proof = proofs.get((recovery.name, recovery.start), {})
        details += [f"{key} {evidence(value)}" for key, value in proof.items() if value]
        notes.append("\n").append(one_line(f"{recovery.name}: {', '.join(details) or 'left no evidence'}"))
    return Group(table, Padding(notes, (1, 0, 0, 0)))


def _findings(verdict: Verdict) -> Table | None:
    found = [finding for finding in verdict.findings if finding.count or finding.outcome != "pass"]
    if not found:
        return None
    table = plain_table(("", ""), ("finding", ""), ("count", "right"), ("meaning, and the worst examples", ""))
    for finding in found:
        style = STYLES[finding.outcome]
        meaning = Text(MEANINGS.get(finding.check, ""))
        # One example per message: the same message on other dashboards adds little.
        different = {case.uid or str(number): case for number, case in reversed([*enumerate(finding.examples)])}
        for case in list(reversed(different.values()))[:_EXAMPLES]:
            meaning.append(f"\n{example(case)}", "dim")
        table.add_row(Text(MARKS[finding.outcome], style), plain(finding.check, style), f"{finding.count:,}", meaning)
    return table


def _rig(verdict: Verdict) -> Text:
    rig = verdict.rig
    text = Text("rig: ")
    text.append("sound" if rig.sound else "not sound", STYLES["pass" if rig.sound else "undecided"])
    cpu = "–" if rig.cpu is None else f"{rig.cpu:.0%} of a core at its busiest"
    text.append(f" (loop lag p99 {human(rig.lag_p99)}, CPU {cpu}, {rig.late_sends:,} late sends)")
    for reason in rig.reasons:
        if reason not in verdict.reasons:
            text.append(f"\n     {one_line(reason)}", "yellow")
    if usage := used(verdict):
        text.append(f"\n     {one_line(usage)}", "dim")
    return text


def badge(outcome: Outcome, words: str = "") -> tuple[str, str]:
    """How the first line of a result begins, and its style: the mark, and these words or the outcome itself."""
    return f" {MARKS[outcome]} {(words or outcome).upper()} ", f"bold reverse {STYLES[outcome]}"


def plain(text: str, style: str = "") -> Text:
    """A text from outside, on one line. In a plain string, Rich would interpret markup."""
    return Text(one_line(text), style)


def plain_table(*columns: tuple[str, str]) -> Table:
    """An empty table with these titles, each with `right` or an empty text for how its column is justified."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="dim")
    for title, justify in columns:
        table.add_column(title, justify="right" if justify else "left", no_wrap=justify == "right")
    return table
