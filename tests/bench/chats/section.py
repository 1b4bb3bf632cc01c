"""The tables in docs/chats.md: one for each scenario, with a row for each server."""

import math
from collections.abc import Mapping, Sequence
from statistics import median

from chatswarm.loadtests.compare.paired import paired_ratio
from chatswarm.loadtests.system.units import human
from tests.bench.page_of_rows import between_marks

from .run import KINDS, ChatRun, Kind

_START, _END = "<!-- chats: written by make bench ROW=chats -->\n", "<!-- end of chats -->"
_TITLES: dict[Kind, str] = {
    "push": "Nothing goes wrong",
    "cut": "All dashboards' connections are cut",
    "kill": "The server is killed, and started again after a second",
    "slow-reader": "Three more dashboards subscribe and read nothing",
}
_COLUMNS = ("visible p50", "visible p99", "lost", "in the gap", "duplicated")


def with_chats(page: str, machine: str, missing: Mapping[str, str], runs: Sequence[ChatRun]) -> str:
    """The page with the tables between its two marks. Raises ValueError if it has no such marks."""
    lines: list[str] = []
    for kind in KINDS:
        recovers = kind in ("cut", "kill")
        columns = (*_COLUMNS, *(("recovery",) if recovers else ()))
        lines += ["", f"**{_TITLES[kind]}** (`{kind}`)", ""]
        lines += [f"| server | {' | '.join(columns)} | runs |", f"|---|{'---|' * (len(columns) + 1)}"]
        for chat in dict.fromkeys(run.chat for run in runs):
            mine = [run for run in runs if run.chat == chat and run.kind == kind]
            if mine:
                lines.append(f"| {' | '.join(cells(mine, recovers))} |")
    return between_marks(page, _START, _END, [*lines, "", told(machine, missing, runs), ""])


def cells(runs: Sequence[ChatRun], recovers: bool) -> list[str]:
    """A row: what one server did in one scenario."""
    decided = [run for run in runs if run.decided]
    counted = f"{len(decided)}" if len(decided) == len(runs) else f"{len(decided)} of {len(runs)}"
    if not decided:
        columns = len(_COLUMNS) + recovers
        return [runs[0].version, *["not measured"] * columns, counted]
    row = [
        runs[0].version,
        latency([run.p50 for run in decided], [run.samples for run in decided]),
        latency([run.p99 for run in decided], [run.samples for run in decided]),
        f"{spread([run.lost for run in decided])} of {median(run.expected for run in decided):,.0f}",
        spread([run.gap for run in decided]),
        spread([run.duplicated for run in decided]),
    ]
    return [*row, *([recovery(decided)] if recovers else []), counted]


def latency(values: Sequence[float | None], samples: Sequence[int]) -> str:
    """The geometric mean of a latency with its 95 % interval; where it falls among the lost in a run, it is `lost`."""
    figures = [math.inf if value is None else value for value, count in zip(values, samples, strict=True) if count]
    if not figures:
        return "not measured"
    if all(map(math.isinf, figures)):
        return "lost"
    return with_interval(figures)


def with_interval(figures: Sequence[float]) -> str:
    """The geometric mean of durations with its 95 % interval; one alone has none."""
    if len(figures) < 2:
        return human(figures[0])
    found = paired_ratio(figures, [1.0] * len(figures))
    return f"{human(found.estimate)} ({human(found.low)} to {human(found.high)})"


def spread(counts: Sequence[int | None]) -> str:
    """The fewest and the most of a count in a run."""
    known = [count for count in counts if count is not None]
    if not known:
        return "–"
    return f"{min(known):,}" if min(known) == max(known) else f"{min(known):,} to {max(known):,}"


def recovery(runs: Sequence[ChatRun]) -> str:
    """How long it took until all messages were on target again; a bound where a run ended before that."""
    known = [run.recovery for run in runs if run.recovery is not None]
    if len(known) == len(runs):
        # No logarithm of 0: everything was on target as soon as the fault was over.
        if not any(known):
            return "at once"
        return with_interval(known) if all(known) else f"{human(min(known))} to {human(max(known))}"
    bounds = [run.recovery_at_least for run in runs if run.recovery is None and run.recovery_at_least is not None]
    return f"≥ {human(max(bounds))}" if bounds else "not measured"


def told(machine: str, missing: Mapping[str, str], runs: Sequence[ChatRun]) -> str:
    """On what it was measured, how busy that was, and what is missing and why."""
    busy = [run.busy for run in runs] or [0.0]
    used = f"All programs together used {median(busy):.2f} cores meanwhile (median; at most {max(busy):.2f})."
    used += " The busier the machine, the more the latencies are upper bounds."
    parts = [f"{len(runs)} runs, in turn. Measured on: {machine}.", used]
    parts += [f"{name} was not measured: {why}." for name, why in missing.items()]
    undecided = [run for run in runs if not run.decided]
    reasons = dict.fromkeys(f"{run.chat}, {run.kind}: {run.reasons[0] if run.reasons else '–'}" for run in undecided)
    parts += [f"Undecided, and left out: {'; '.join(reasons)}."] if reasons else []
    return " ".join(parts)
