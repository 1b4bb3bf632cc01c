"""How long a flush of the history blocks the swarm's loop, at 50,000 frames per second and one flush per second."""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .figure import Figure, fresh
from .recorder import RATE, SECONDS

MILLISECONDS = 20.0


def figures() -> Iterator[Figure]:
    yield Figure("recorder: the longest pause of a flush", fresh("pause")["milliseconds"], MILLISECONDS, "ms")


def main() -> None:
    """Runs in a fresh process: records one second of observations at a time, and times how long flushing them takes."""
    from chatswarm.loadtests.history.tables import SendOutcome
    from chatswarm.loadtests.messages.identity import Condition, ParsedText
    from chatswarm.loadtests.swarm.net.http import Response
    from chatswarm.loadtests.swarm.recorder import Recorder

    longest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder), "bench", "worker0")
        response = Response(200, b"", True, 1.0, 1.1)
        for second in range(SECONDS):
            for number in range(RATE):
                recorder.frame(number % 500, second * 100 + number // 500, 1000.0 + second)
            # What arrives with them: 500 dashboards × 3 refetches, 100 messages, 100 lags.
            for number in range(1500):
                recorder.refetch(number % 500, number % 500, 1000.0 + second, response, second * 100)
            for number in range(100):
                recorder.send(number, second, 0, 1000.0, 1000.0, response, SendOutcome.ACCEPTED, None)
                recorder.change(
                    second * 100 + number, f"chat-{number}", second, 1, [ParsedText(number, second, Condition.INTACT)]
                )
                recorder.lag(1000.0 + second + number / 100, 0.0)
            begun = time.perf_counter()
            recorder.flush()
            longest = max(longest, time.perf_counter() - begun)
        recorder.close()
    print(json.dumps({"milliseconds": longest * 1000}))


if __name__ == "__main__":
    main()
