"""Locust's rows, filled in bulk. In a separate process, because importing Locust patches the process."""

import subprocess
import sys

SAME_BUCKETS = """
import random
from collections import Counter

import numpy as np
from locust.stats import bucket_response_time

from chatswarm.loadtests.swarm.locust.stats_rows import buckets

random.seed(1)
edges = [0, 0.5, 1.5, 99.4999, 99.5, 104.9, 105, 995, 9950, 10_500, 58_760]
latencies = np.array(edges + [random.expovariate(1 / 400) for _ in range(20_000)])
values, counts = buckets(latencies)
assert dict(zip(values.tolist(), counts.tolist())) == Counter(map(bucket_response_time, latencies.tolist()))
for odd in (-3.0, 1e9):
    values, counts = buckets(np.array([20.0, odd, 20.0]))
    assert dict(zip(values.tolist(), counts.tolist())) == Counter(map(bucket_response_time, [20.0, odd, 20.0]))
"""

ROWS = """
import numpy as np
from locust.env import Environment

from chatswarm.loadtests.swarm.locust.stats_rows import StatsRows

environment = Environment()
rows = StatsRows(environment)
rows.progress.frames = 7
intended = [1.0, 9.9, 9.5, 9.8]
rows.updates(10.0, range(1, 2), intended)
rows.updates(10.0, range(2, 3), intended)
rows.updates(10.8, range(3, 4), intended)
rows.updates(11.5, range(2, 4), intended)
rows.shown(np.array([2.0]))
rows.flush()
rows.progress.frames = 9
rows.flush()
frames, updates = environment.stats.get("announcement", "FRAME"), environment.stats.get("visible", "UPDATE")
assert (frames.num_requests, frames.num_none_requests, dict(frames.response_times)) == (9, 9, {})
assert (updates.num_requests, updates.num_none_requests) == (6, 0)
assert dict(updates.response_times) == {100: 1, 500: 1, 1000: 1, 1700: 1, 2000: 2} == rows.progress.latencies
assert (updates.min_response_time, updates.max_response_time, updates.total_response_time) == (100, 2000, 7300)
assert environment.stats.total.num_requests == 0
assert rows.progress.updates == 6
"""


def passes(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_buckets_are_the_same_as_locusts() -> None:
    passes(SAME_BUCKETS)


def test_frames_without_a_time_and_updates_with_one() -> None:
    passes(ROWS)


PROBLEMS = """
from locust.env import Environment

from chatswarm.loadtests.swarm.locust.stats_rows import StatsRows

environment, said = Environment(), []
environment.events.request.add_listener(lambda exception, **_: said.append(str(exception)))
StatsRows(environment).request("SEND", "message", 0.1, 0, "bad\\x1b[2J\\nline")
assert said == ["bad\\\\x1b[2J\\\\nline"], said
"""


def test_locusts_table_of_failures_shows_a_targets_text_on_one_line() -> None:
    passes(PROBLEMS)
