"""Keeps the measured rows as JSON in docs/benchmarks/, and shows them as the table in docs/benchmarks.md."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from .figure import ROOT
from .row import RowResult

PAGE = ROOT / "docs" / "benchmarks.md"
FOLDER = ROOT / "docs" / "benchmarks"
_START, _END = "<!-- rows: written by make bench -->\n", "<!-- end of rows -->"


def save(result: RowResult, folder: Path = FOLDER) -> None:
    """Writes one row."""
    folder.mkdir(exist_ok=True)
    text = json.dumps(asdict(result), indent=1, ensure_ascii=False)
    (folder / f"{result.name}.json").write_text(text + "\n", encoding="utf-8")


def saved(folder: Path = FOLDER) -> list[RowResult]:
    """All rows, in the order of their names: P2 before P11."""
    rows = [RowResult(**json.loads(path.read_text(encoding="utf-8"))) for path in folder.glob("P*.json")]
    return sorted(rows, key=lambda row: (int("".join(filter(str.isdigit, row.name))), row.name))


def rewrite(page: Path = PAGE) -> None:
    """Puts the saved rows into the page."""
    page.write_text(with_rows(page.read_text(encoding="utf-8"), saved()), encoding="utf-8")


def with_rows(page: str, rows: Sequence[RowResult]) -> str:
    """The page with these rows between its two marks. Raises ValueError if it has no such marks."""
    lines = ["", "| row | figure | measured | reach | |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.name} | {title_text(row)} | {measured_text(row)} | {reach_text(row)} | {_mark(row)} |" for row in rows
    ]
    machines = sorted({row.machine for row in rows})
    return between_marks(page, _START, _END, [*lines, "", f"Measured on: {'; '.join(machines)}.", ""])


def between_marks(page: str, start: str, end: str, lines: Sequence[str]) -> str:
    """The page with these lines between two marks. Raises ValueError if it has no such marks."""
    before, begun, rest = page.partition(start)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise ValueError(f"expected {start.strip()} and {end} in the page")
    return before + start + "\n".join(lines) + "\n" + end + after


def measured_text(row: RowResult) -> str:
    """What was measured, with its interval, for people."""
    if row.measured is None:
        return "not measured"
    interval = "" if row.low is None or row.high is None else f" ({number_text(row.low)} to {number_text(row.high)})"
    return f"{number_text(row.measured)}{_unit(row)}{interval}"


def reach_text(row: RowResult) -> str:
    """What the row has to reach, for people."""
    return f"{'≥' if row.at_least else '≤'} {row.reach:g}{_unit(row)}"


def title_text(row: RowResult) -> str:
    """What the row measures, for people."""
    return f"{row.title} ÷ {row.opponent}" if row.opponent else row.title


def _unit(row: RowResult) -> str:
    return " ×" if row.opponent or not row.unit else f" {row.unit}"


def _mark(row: RowResult) -> str:
    reached = {True: "reached", False: "**not reached**", None: "**not measured**"}[row.reached]
    return f"{reached}: {'; '.join(row.problems)}" if row.problems else reached


def number_text(value: float) -> str:
    """A figure with three digits, or as a whole number if that is longer."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
