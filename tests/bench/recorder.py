"""What recording a delivery costs the swarm: the recorder's three appends, and its share of the flushes."""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from .figure import Figure, fresh

MICROSECONDS = 1.0
RATE, SECONDS = 50_000, 20
"""Frames per second, and for how many seconds."""


def figures() -> Iterator[Figure]:
    yield Figure("recorder: per delivery", fresh("recorder")["microseconds"], MICROSECONDS, "µs")


def main() -> None:
    """Runs in a fresh process, because the recorder imports Locust, which patches the process."""
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
            # Subtract the loop, which stands in for the arrival of frames.
            used.append(2 * done - begun - time.process_time())
        recorder.close()
    print(json.dumps({"microseconds": median(used) / RATE * 1e6}))


if __name__ == "__main__":
    main()
