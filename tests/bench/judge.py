"""Time and memory for judging five million deliveries, of chats that work and of broken ones."""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from chatswarm.loadtests.judge.judge import judge

from .figure import Figure, fresh
from .generated import DELIVERIES, GeneratedRun

SECONDS, MEBIBYTES = 5.0, 1024.0
TIGHT = ["visible.p99 <= 300ms", "notified.p50 <= 1ms", "last_dashboard.p95 <= 200ms"]
WINDOWS = [
    "visible.p99 <= 2s before slow-net", "visible.p99 <= 2s during slow-net", "late == 0 outside slow-net",
    "notified == expected after slow-net", "recovery.max <= 5s",
]  # fmt: skip
CASES: dict[str, tuple[GeneratedRun, list[str]]] = {
    "no defect": (GeneratedRun(), []),
    "no defect, no ids": (GeneratedRun(ids=False), []),
    "a fault, and SLOs in its windows": (GeneratedRun(fault=True), WINDOWS),
    "unsound rig, latency SLOs fail": (GeneratedRun(defect="lagging"), TIGHT),
    "unsound rig, SLOs fail, no ids": (GeneratedRun(defect="lagging", ids=False), TIGHT),
    "lists go back in time": (GeneratedRun(defect="stale"), []),
    "lists never arrive": (GeneratedRun(defect="blind"), []),
    "lists without counts": (GeneratedRun(defect="uncounted"), []),
    "hardly any frames, no ids": (GeneratedRun(defect="silent", ids=False), []),
}


def figures() -> Iterator[Figure]:
    for case, (run, slos) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            run.write(Path(folder) / "run")
            found = fresh("judge", f"{folder}/run", *slos)
        assert found["deliveries"] == DELIVERIES, found
        yield Figure(f"judge: {case}", found["seconds"], SECONDS, "s")
        yield Figure(f"judge: {case}: memory", found["mebibytes"], MEBIBYTES, "MiB")


def main() -> None:
    """Runs in a fresh process: judges the folder, and prints the time and memory that it took."""
    begun = time.perf_counter()
    verdict = judge(Path(sys.argv[1]), sys.argv[2:] or None)
    took = time.perf_counter() - begun
    assert verdict.exit_code != 70, verdict.reasons
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"deliveries": verdict.deliveries.expected, "seconds": took, "mebibytes": memory}))


if __name__ == "__main__":
    main()
