"""What writing a delivery down costs the swarm: the recorder's three appends, and its share of the flushes."""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from .figure import Figure, fresh

MICROSECONDS = 1.0
RATE, SECONDS = 50_000, 20
"""Frames a second, and how many seconds of them."""


def figures() -> Iterator[Figure]:
    yield Figure("recorder: for each delivery", fresh("recorder")["microseconds"], MICROSECONDS, "µs")


def main() -> None:
    """In a process of its own, because the recorder comes with Locust, which patches it."""
    from chatswarm.loadtests.swarm.recorder import Recorder

    frames = [(number % 500, number // 500, 1000 + number / RATE) for number in range(RATE)]
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder), "bench", "worker0")
        used: list[float] = []
        for _ in range(SECONDS):
            begun = time.process_time()
            for connection, announcement, moment in frames:
                recorder.frame(connection, announcement, moment)
            recorder.flush()
            done = time.process_time()
            for _connection, _announcement, _moment in frames:
                pass
            # Without the loop that stands in for the frames' coming.
            used.append(2 * done - begun - time.process_time())
        recorder.close()
    print(json.dumps({"microseconds": median(used) / RATE * 1e6}))


if __name__ == "__main__":
    main()
