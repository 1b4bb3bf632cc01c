"""`make bench ROW=chats`: the same scenarios against every real server of `make protocols`, for docs/chats.md."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.bench.figure import ROOT, Figure
from tests.bench.row import NotMeasuredError, machine_name
from tests.protocols.catalogue import CHATS

from .run import KINDS, ChatRun, measure_chat, round_of
from .section import with_chats

PAGE = ROOT / "docs" / "chats.md"
RUNS = ROOT / "docs" / "benchmarks" / "chats.json"
ROUNDS = 3
"""Runs of each scenario against each server."""


def figures() -> Iterator[Figure]:
    """Measures round by round, writes down each whole round, and yields how many runs told nothing."""
    runs: list[ChatRun] = []
    missing: dict[str, str] = {}
    for number in range(ROUNDS):
        for kind in KINDS:
            for chat in round_of(CHATS, number):
                name = f"{chat.name}, {kind}"
                if name in missing:
                    continue
                try:
                    runs.append(measure_chat(chat, kind))
                except NotMeasuredError as error:
                    missing[name] = str(error)
        save(runs, missing)
    told_nothing = sum(not run.decided for run in runs)
    yield Figure("chats: runs that were undecided, or could not be made", told_nothing + len(missing), 0, "")


def save(runs: list[ChatRun], missing: dict[str, str], file: Path = RUNS, page: Path = PAGE) -> None:
    """Writes the runs as JSON, and what they tell into the page."""
    written = {"machine": machine_name(), "missing": missing, "runs": [asdict(run) for run in runs]}
    file.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    page.write_text(with_chats(page.read_text(encoding="utf-8"), *saved(file)), encoding="utf-8")


def saved(file: Path = RUNS) -> tuple[str, dict[str, str], list[ChatRun]]:
    """The machine, the servers that could not be had, and the runs that were measured."""
    read = json.loads(file.read_text(encoding="utf-8"))
    return read["machine"], read["missing"], [ChatRun(**run) for run in read["runs"]]
