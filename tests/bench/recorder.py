"""What recording costs the swarm: a delivery with its share of the flushes, who served it, and the machine."""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from .figure import Figure, fresh

if TYPE_CHECKING:
    from chatswarm.loadtests.swarm.recorder import Recorder

MICROSECONDS, SERVER, MACHINE = 1.0, 0.3, 1000.0
RATE, SECONDS = 50_000, 20
"""Frames per second, and for how many seconds."""
ROWS = 20_000
"""Rows with and without a server, in turns."""


def figures() -> Iterator[Figure]:
    took = fresh("recorder")
    yield Figure("recorder: per delivery", took["delivery"], MICROSECONDS, "µs")
    yield Figure("recorder: who served, more per row", took["server"], SERVER, "µs")
    yield Figure("recorder: the machine, per second", took["machine"], MACHINE, "µs")


def main() -> None:
    """Runs in a fresh process, because the recorder imports Locust, which patches the process."""
    from chatswarm.loadtests.swarm.recorder import Recorder

    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder), "bench", "worker0")
        took = {"delivery": _delivery(recorder), "server": _server(recorder), "machine": _machine(recorder)}
        recorder.close()
    print(json.dumps(took))


def _delivery(recorder: "Recorder") -> float:
    frames = [(number % 500, number // 500, 1000 + number / RATE) for number in range(RATE)]
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
    return median(used) / RATE * 1e6


def _server(recorder: "Recorder") -> float:
    """With four workers behind one address, as their names come: a new text in each response."""
    from chatswarm.loadtests.swarm.net.http import Response

    response = Response(200, b"x", True, 1.0, 2.0)
    names = [bytes(f"worker-{number % 4}", "ascii") for number in range(ROWS)]
    more: list[float] = []
    for _ in range(SECONDS):
        texts = [name.decode() for name in names]
        begun = time.process_time()
        for _text in texts:
            recorder.refetch(1, 1, 1.0, response, 1)
        plain = time.process_time()
        for text in texts:
            recorder.refetch(1, 1, 1.0, response, 1, recorder.server("127.0.0.1:8000", text))
        more.append(time.process_time() - plain - (plain - begun))
        recorder.flush()
    return median(more) / ROWS * 1e6


def _machine(recorder: "Recorder") -> float:
    from chatswarm.loadtests.system.machine import read_counters, use_between

    used: list[float] = []
    before = read_counters()
    for _ in range(200):
        begun = time.process_time()
        after = read_counters()
        if before is not None and after is not None:
            recorder.machine(1.0, use_between(before, after, 1.0))
        used.append(time.process_time() - begun)
        before = after
    return median(used) * 1e6


if __name__ == "__main__":
    main()
