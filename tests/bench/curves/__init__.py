"""`make bench ROW=curves`: how far the reference chat and the tutorial's go, for docs/capacity.md.

Each search is kept in docs/benchmarks/ when it has ended, so that an interrupted one costs only itself.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec

from chatswarm.loadtests.capacity.record import CapacityBy, CapacityReport
from tests.bench.figure import ROOT, Figure
from tests.bench.page_of_rows import FOLDER
from tests.bench.row import machine_name

from .picture import Searches, picture
from .search import CHATS, CurveChat, search
from .section import with_curves

PAGE = ROOT / "docs" / "capacity.md"


class MeasuredCurve(msgspec.Struct):
    """The contents of docs/benchmarks/curve-….json."""

    machine: str
    report: CapacityReport


def figures() -> Iterator[Figure]:
    """Makes all searches, writes them down, and yields how many showed no load that holds."""
    nothing = 0
    for by in get_args(CapacityBy):
        for chat in CHATS:
            report = search(chat, by)
            save(chat, by, report)
            nothing += report.result is None or report.result.low is None
    rewrite()
    yield Figure("curves: searches that showed no load that holds", nothing, 0, "")


def save(chat: CurveChat, by: CapacityBy, report: CapacityReport, folder: Path = FOLDER) -> None:
    """Writes one search."""
    # What is left of the machine's paths says nothing to anybody.
    kept = MeasuredCurve(machine_name(), msgspec.structs.replace(report, folder=""))
    _file(chat, by, folder).write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")


def saved(folder: Path = FOLDER) -> tuple[str, Searches]:
    """The machines and the searches that were made."""
    files = {(chat, by): _file(chat, by, folder) for by in get_args(CapacityBy) for chat in CHATS}
    found = {
        key: msgspec.json.decode(path.read_bytes(), type=MeasuredCurve) for key, path in files.items() if path.exists()
    }
    machines = "; ".join(sorted({each.machine for each in found.values()}))
    return machines, {key: each.report for key, each in found.items()}


def rewrite() -> None:
    """Puts the saved searches into the page, and draws their picture."""
    machine, searches = saved()
    (FOLDER / "curves.svg").write_text(picture(searches), encoding="utf-8")
    PAGE.write_text(with_curves(PAGE.read_text(encoding="utf-8"), machine, searches), encoding="utf-8")


def _file(chat: CurveChat, by: CapacityBy, folder: Path) -> Path:
    return folder / f"curve-{chat.replace(' ', '-')}-by-{by}.json"
