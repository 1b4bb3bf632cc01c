"""A run as a summary in GitHub Markdown, for `$GITHUB_STEP_SUMMARY`. Data never becomes markup."""

import re
from collections.abc import Iterable, Sequence

from chatswarm.loadtests.judge.verdict import Quantiles
from chatswarm.loadtests.scenario.metric_names import LATENCIES, QUANTILES, Outcome
from chatswarm.loadtests.system.text import one_line
from chatswarm.loadtests.system.units import human

from . import wording
from .figures import ReportCase, ReportFigures

_EXAMPLES = 5  # per finding
_REASONS = 10
# Also $, which starts a formula on GitHub, and the first letter of `www.`, which GitHub turns into a link.
_STRUCTURE = re.compile(r"[\\`*_{}\[\]()#+!~@:|<>&$^]|\b[wW](?=[wW]{2}\.)")
# At the start of a line, these make a list or a heading.
_BLOCK = re.compile(r"^(\d*)([-=.])")
ICONS: dict[Outcome, str] = {"pass": "✅", "fail": "❌", "undecided": "❔"}
"""The mark of each outcome."""


def markdown(figures: ReportFigures) -> str:
    """The summary, most important part first."""
    verdict = figures.verdict
    parts = [
        f"## {ICONS[verdict.verdict]} {verdict.verdict.upper()}: {data(verdict.scenario)}",
        f"**{data(wording.headline(verdict))}**",
        f"{data(wording.account(verdict))} {data(wording.size(verdict))}, against {data(verdict.target)}.",
    ]
    if told := wording.strength(verdict):
        parts.append(data(f"{told}.".capitalize()))
    parts += [f"> {data(note)}" for note in (*figures.notes, *verdict.notes)]
    if causes := wording.causes(verdict):
        parts.append("\n".join(f"- {data(cause)}" for cause in causes))
    if verdict.reasons:
        parts.append("\n".join(f"- because {data(reason)}" for reason in _first(verdict.reasons)))
    if verdict.slos:
        rows = [
            (ICONS[result.outcome], data(result.expect), data(wording.actual(result)), data(wording.margin(result)))
            for result in verdict.slos
        ]
        parts.append(table(("", "expected", "actual", ""), rows))
    parts.append(table(("latency", *QUANTILES, "samples"), _latencies(figures)))
    found = [case for case in figures.cases if case.kind == "finding" and case.outcome != "pass"]
    if found and any(case.actual != "not measured" for case in found):
        parts.append("### Findings")
        parts.append(table(("", "finding", "count", "meaning"), [_finding(case) for case in found]))
        parts += [_examples(case) for case in found if case.examples]
    if verdict.recoveries:
        parts.append("### Recoveries")
        parts.append(table(("fault", "from", "to", "reconnected", "whole again", ""), _recoveries(figures)))
    sound = "sound" if verdict.rig.sound else "**not sound**"
    cpu = "–" if verdict.rig.cpu is None else f"{verdict.rig.cpu:.0%}"
    parts.append(
        f"Rig: {sound} (loop lag p99 {human(verdict.rig.lag_p99)}, CPU {cpu} of a core at its busiest, "
        f"{verdict.rig.late_sends:,} late sends)."
    )
    parts.append(f"Repeat the run:\n\n{_code(figures.repeat)}")
    return "\n\n".join(parts) + "\n"


def data(text: str) -> str:
    """The text on one line, escaped so that none of it is markup."""
    plain = _STRUCTURE.sub(_entity, one_line(" ".join(text.split())))
    return _BLOCK.sub(lambda found: found[1] + _entity(found[2]), plain)


def _entity(found: re.Match[str] | str) -> str:
    return f"&#{ord(found[0])};"


def _code(text: str) -> str:
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}console\n{one_line(text)}\n{fence}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. Its cells are markup already."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _latencies(figures: ReportFigures) -> list[tuple[str, ...]]:
    rows = []
    for name in LATENCIES:
        quantiles: Quantiles = getattr(figures.verdict.latency, name)
        if quantiles.count:
            values = (getattr(quantiles, key) for key in QUANTILES)
            cells = ("lost" if value is None else human(value) for value in values)
            rows.append((data(name), *cells, f"{quantiles.count:,}"))
    return rows


def _finding(case: ReportCase) -> tuple[str, ...]:
    return ICONS[case.outcome], data(case.name), data(case.actual), data(case.meaning)


def _examples(case: ReportCase) -> str:
    lines = "\n".join(f"- {data(wording.example(example))}" for example in case.examples[:_EXAMPLES])
    return f"<details><summary>{data(case.name)}: the worst of {data(case.actual)}</summary>\n\n{lines}\n\n</details>"


def _recoveries(figures: ReportFigures) -> list[tuple[str, ...]]:
    return [
        (
            data(recovery.name),
            f"{recovery.start:.1f} s",
            "never" if recovery.stop is None else f"{recovery.stop:.1f} s",
            human(recovery.reconnected),
            human(recovery.whole_again) if recovery.at_least is None else f"≥ {human(recovery.at_least)}",
            data(recovery.reason),
        )
        for recovery in figures.verdict.recoveries
    ]


def _first(reasons: Sequence[str]) -> list[str]:
    more = len(reasons) - _REASONS
    return [*reasons[:_REASONS], f"… and {more} more, listed in verdict.json"] if more > 0 else [*reasons]
