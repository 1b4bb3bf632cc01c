"""The tables of `make mutants`: planted defects and findings, their causes, planted delays and measured ones."""

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from .catalogue import COMPANIONS, COUNTED, MEDIANS, Delay
from .explained import Explanation, alike
from .judged import NULL, Outcome, found_in, is_off

_HEADS = {
    "store_lost": "store\nlost", "unnotified": "unnoti-\nfied", "duplicated": "dupli-\ncated",
    "reordered": "reor-\ndered", "phantom": "phan-\ntom", "vanished": "vani-\nshed", "corrupted": "corrup-\nted",
    "misplaced": "mis-\nplaced", "silent_socket": "silent\nsocket", "refused": "refu-\nsed",
}  # fmt: skip
_NONE = Text("–", style="dim")


def diagonal(outcomes: Sequence[Outcome]) -> Table:
    """One row per plant, for all its runs. Companions are in brackets, wrong counts have a !."""
    table = Table(title="planted defects × findings", title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    table.caption_justify = "left"
    table.caption = (
        "in brackets: follows from the defect, or allowed by an SLO of the scenario; –: null, not measured; "
        "!: not as planted\na gap is part of what is lost"
    )
    table.add_column("planted")
    table.add_column("runs", justify="right")
    for name in COUNTED:
        table.add_column(_HEADS.get(name, name), justify="right", no_wrap=True)
    rows: dict[str, list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda outcome: _rank(outcome.finding)):
        rows.setdefault(outcome.label, []).append(outcome)
    last = ""
    for label, runs in rows.items():
        if runs[0].finding != last:
            last = runs[0].finding
            table.add_section()
            table.add_row(Text(last or "no finding", style="bold"))
        good = sum(not run.problems for run in runs)
        count = Text(str(good) if good == len(runs) else f"{good} of {len(runs)} !")
        table.add_row(f"  {label}", count, *(_cell(name, last, runs) for name in COUNTED))
    return table


def _rank(finding: str) -> int:
    return COUNTED.index(finding) if finding else len(COUNTED)


def _cell(name: str, finding: str, runs: Sequence[Outcome]) -> Text:
    counts = sorted({found_in(run.verdict).get(name, 0) for run in runs if run.verdict})
    wrong = any(problem.startswith(f"{name}:") for run in runs for problem in run.problems)
    if not counts or (counts == [0] and not wrong):
        return Text("·", style="dim")
    if counts == [NULL] and not wrong:
        return _NONE
    text = "–".join("null" if count == NULL else str(count) for count in dict.fromkeys([counts[0], counts[-1]]))
    if wrong:
        return Text(f"{text} !", style="bold red")
    if name == finding:
        return Text(text, style="bold green")
    return Text(f"({text})", style="" if name in COMPANIONS.get(finding, set()) else "dim")


def delays(measured: Sequence[tuple[Delay, Mapping[str, float]]]) -> Table:
    """One row per planted delay: how many milliseconds each median moved."""
    table = Table(title="planted delays, in ms", title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    table.add_column("planted")
    for name in MEDIANS:
        table.add_column(name, justify="right", no_wrap=True)
    for delay, moved in measured:
        shown = (_shift(delay.moves.get(name, 0), moved[name]) if name in moved else _NONE for name in MEDIANS)
        table.add_row(delay.label, *shown)
    return table


def _shift(planted: float, measured: float) -> Text:
    text = f"{measured * 1000:+.1f}"
    if is_off(planted, measured):
        return Text(f"{text} ! for {planted * 1000:+.0f}", style="bold red")
    return Text(text, style="bold green" if planted else "dim")


def causes(explanations: Sequence[Explanation]) -> Table:
    """One row per plant, finding and answer: the first cause that was named, and what was planted if that differs."""
    table = Table(title="planted defects × causes", title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    for name, justify in (("planted", "left"), ("finding", "left"), ("runs", "right"), ("first cause", "left"),
                          ("certainty", "left"), ("coverage", "right"), ("", "left")):  # fmt: skip
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=bool(name))
    for group in alike(explanations):
        one = group[0]
        covered = [each.coverage for each in group if each.coverage is not None]
        table.add_row(
            one.label,
            one.finding,
            str(len(group)),
            Text(one.first or "none", style="bold green" if one.right else "bold red"),
            one.certainty,
            f"{min(covered):.0%}" if covered else _NONE,
            Text("right") if one.right else Text(_wrong(group), style="bold red"),
        )
    return table


def _wrong(group: Sequence[Explanation]) -> str:
    one = group[0]
    if one.problem:
        return f"wrong ! {one.problem}"
    named = one.first in one.expected.split(" or ")
    where = ", ".join(sorted({each.variant for each in group}))
    return f"wrong ! expected {'it to be proven' if named else one.expected or 'none'} ({where})"
