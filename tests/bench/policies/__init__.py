"""`make bench ROW=refetch`: what a message costs with each way to show it, for docs/refetch.md.

Each run is in a network namespace, so that the bytes that its loopback carries are the chat's and its users' only.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.bench.figure import ROOT, Figure
from tests.bench.row import machine_name

from .run import LOADS, POLICIES, PolicyRun, measured_apart, order_of
from .section import with_policies

PAGE = ROOT / "docs" / "refetch.md"
RUNS = ROOT / "docs" / "benchmarks" / "refetch.json"
ROUNDS = 5
"""Runs of each policy at each load."""


def figures() -> Iterator[Figure]:
    """Measures all runs, writes them down, and yields how many had a problem."""
    runs = [measured_apart(policy, *load) for number in range(ROUNDS) for load in LOADS for policy in order_of(number)]
    save(runs)
    assert {run.policy for run in runs} == set(POLICIES)
    yield Figure("refetch: runs whose rig was unsound, or that lost or delayed a message", troubled(runs), 0, "")


def troubled(runs: list[PolicyRun]) -> int:
    """How many runs had a problem."""
    return sum(bool(run.problems) for run in runs)


def save(runs: list[PolicyRun], file: Path = RUNS, page: Path = PAGE) -> None:
    """Writes the runs as JSON, and what they tell into the page."""
    written = {"machine": machine_name(), "runs": [asdict(run) for run in runs]}
    file.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    page.write_text(with_policies(page.read_text(encoding="utf-8"), *saved(file)), encoding="utf-8")


def saved(file: Path = RUNS) -> tuple[str, list[PolicyRun]]:
    """The machine and the runs that were measured."""
    read = json.loads(file.read_text(encoding="utf-8"))
    return read["machine"], [PolicyRun(**run) for run in read["runs"]]
