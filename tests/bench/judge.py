"""How long a judgement of five million deliveries takes, and how much memory, on sound chats and on broken ones."""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from chatswarm.loadtests.judge.judge import judge

from .figure import Figure, fresh
from .generated import DELIVERIES, write

SECONDS, MEBIBYTES = 5.0, 1024.0
TIGHT = ["visible.p99 <= 300ms", "notified.p50 <= 1ms", "last_dashboard.p95 <= 200ms"]
WINDOWS = [
    "visible.p99 <= 2s before slow-net", "visible.p99 <= 2s during slow-net", "late == 0 outside slow-net",
    "notified == expected after slow-net", "recovery.max <= 5s",
]  # fmt: skip
CASES: dict[str, tuple[dict[str, object], list[str]]] = {
    "all well": ({}, []),
    "all well, no ids": ({"ids": False}, []),
    "a fault, and SLOs in its windows": ({"fault": True}, WINDOWS),
    "unsound rig, latency SLOs fail": ({"defect": "lagging"}, TIGHT),
    "unsound rig, SLOs fail, no ids": ({"defect": "lagging", "ids": False}, TIGHT),
    "lists go back in time": ({"defect": "stale"}, []),
    "lists never come": ({"defect": "blind"}, []),
    "lists without counts": ({"defect": "uncounted"}, []),
    "frames hardly ever come, no ids": ({"defect": "silent", "ids": False}, []),
}


def figures() -> Iterator[Figure]:
    for case, (how, slos) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "run", **how)  # type: ignore[arg-type]
            found = fresh("judge", f"{folder}/run", *slos)
        assert found["deliveries"] == DELIVERIES, found
        yield Figure(f"judge: {case}", found["seconds"], SECONDS, "s")
        yield Figure(f"judge: {case}: memory", found["mebibytes"], MEBIBYTES, "MiB")


def main() -> None:
    """In a process of its own: judges the folder, and says what it took."""
    begun = time.perf_counter()
    verdict = judge(Path(sys.argv[1]), sys.argv[2:] or None)
    took = time.perf_counter() - begun
    assert verdict.exit_code != 70, verdict.reasons
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"deliveries": verdict.deliveries.expected, "seconds": took, "mebibytes": memory}))


if __name__ == "__main__":
    main()
