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
    before, start, rest = page.partition(_START)
    _, end, after = rest.partition(_END)
    if not start or not end:
        raise ValueError(f"expected {_START.strip()} and {_END} in the page")
    lines = ["", "| row | figure | measured | reach | |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.name} | {title_text(row)} | {measured_text(row)} | {reach_text(row)} | {_mark(row)} |" for row in rows
    ]
    machines = sorted({row.machine for row in rows})
    lines += ["", f"Measured on: {'; '.join(machines)}.", ""]
    return before + start + "\n".join(lines) + "\n" + end + after


def measured_text(row: RowResult) -> str:
    """What was measured, with its interval, for people."""
    if row.measured is None:
        return "not measured"
    interval = "" if row.low is None or row.high is None else f" ({_number(row.low)} to {_number(row.high)})"
    return f"{_number(row.measured)}{_unit(row)}{interval}"


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


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
