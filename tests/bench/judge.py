"""Time and memory for judging millions of deliveries: to everybody, of chats that work or are broken, and to rooms."""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chatswarm.loadtests.judge.checks import CHECKS
from chatswarm.loadtests.judge.explanation import explain
from chatswarm.loadtests.judge.judge import judged

from .figure import Figure, fresh
from .generated import DELIVERIES, GeneratedRooms, GeneratedRun

SECONDS, MEBIBYTES, WHY_SECONDS = 5.0, 1024.0, 3.0
TIGHT = ["visible.p99 <= 300ms", "notified.p50 <= 1ms", "last_dashboard.p95 <= 200ms"]
WINDOWS = [
    "visible.p99 <= 2s before slow-net", "visible.p99 <= 2s during slow-net", "late == 0 outside slow-net",
    "notified == expected after slow-net", "recovery.max <= 5s",
]  # fmt: skip
ALL_WELL = "no defect"
CASES: dict[str, tuple[GeneratedRun, list[str]]] = {
    ALL_WELL: (GeneratedRun(), []),
    "no defect, no ids": (GeneratedRun(ids=False), []),
    "a fault, and SLOs in its windows": (GeneratedRun(fault=True), WINDOWS),
    "unsound rig, latency SLOs fail": (GeneratedRun(defect="lagging"), TIGHT),
    "unsound rig, SLOs fail, no ids": (GeneratedRun(defect="lagging", ids=False), TIGHT),
    "lists go back in time": (GeneratedRun(defect="stale"), []),
    "lists never arrive": (GeneratedRun(defect="blind"), []),
    "lists without counts": (GeneratedRun(defect="uncounted"), []),
    "1,000 chats": (GeneratedRun(widgets=1000), []),
    "hardly any frames, no ids": (GeneratedRun(defect="silent", ids=False), []),
}

ROOMS: dict[str, tuple[GeneratedRooms, float, float]] = {
    "2,000 rooms of 20": (GeneratedRooms(10_000, 2_000, 20, 60_000), 3.0, 500.0),
    "2,000 rooms of 20, no ids": (GeneratedRooms(10_000, 2_000, 20, 60_000, ids=False), 3.0, 500.0),
    "200 rooms of 250": (GeneratedRooms(1_000, 200, 250, 20_000), 5.0, 1024.0),
}
"""Each with its limits, in seconds and MiB. The first has 1.2 million deliveries in 600 million cells."""


@contextmanager
def written(run: GeneratedRun | GeneratedRooms) -> Iterator[Path]:
    """The folder of the run, while it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        run.write(path)
        yield path


def figures() -> Iterator[Figure]:
    for case, (run, slos) in CASES.items():
        with written(run) as folder:
            found = fresh("judge", str(folder), *slos)
        assert found["deliveries"] == DELIVERIES, found
        yield Figure(f"judge: {case}", found["seconds"], SECONDS, "s")
        yield Figure(f"judge: {case}: memory", found["mebibytes"], MEBIBYTES, "MiB")
        if found["causes"]:
            yield Figure(f"why: {case}, beyond judging", found["why"], WHY_SECONDS, "s")
    for case, (rooms, seconds, mebibytes) in ROOMS.items():
        with written(rooms) as folder:
            found = fresh("judge", str(folder))
        assert found["deliveries"] == rooms.deliveries, found
        yield Figure(f"judge: {case}", found["seconds"], seconds, "s")
        yield Figure(f"judge: {case}: memory", found["mebibytes"], mebibytes, "MiB")


def main() -> None:
    """Runs in a fresh process: judges the folder, and prints the time and memory that it took, and how much of the time
    went into causes, and how many there are.
    """
    begun = time.perf_counter()
    run = judged(Path(sys.argv[1]), sys.argv[2:] or None)
    took = time.perf_counter() - begun
    verdict, ledger = run.verdict, run.ledger
    assert ledger is not None, verdict.reasons
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results = {finding.check: CHECKS[finding.check](ledger) for finding in verdict.findings}
    begun = time.perf_counter()
    found = explain(ledger, results, verdict.recoveries, results)
    why = time.perf_counter() - begun
    causes = sum(len(each.causes) for each in found.values())
    figures = {"deliveries": verdict.deliveries.expected, "seconds": took, "mebibytes": memory}
    print(json.dumps({**figures, "why": why, "causes": causes}))


if __name__ == "__main__":
    main()
