"""What people watch while the swarm runs: rows in Locust's own statistics, and the figures of the progress line.

Requests are few and go through Locust's event, so that its listeners and its total see them. Frames and updates are
many (firing an event for each would take half a core at 200,000 a second) and are no requests: their rows are filled in
bulk and stay out of the aggregated row.
"""

import time

from locust.env import Environment
from locust.stats import bucket_response_time

from .http import Answer
from .plan import Progress


class Rows:
    """Counts what this process does."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.progress = Progress()
        self._updates: list[float] = []
        self._frames_shown = 0

    def request(self, kind: str, name: str, seconds: float | None, size: int, problem: str) -> None:
        """One exchange with the target; `seconds` None if not measured, `problem` empty if it went well."""
        self._environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=None if seconds is None else seconds * 1000,
            response_length=size,
            exception=Problem(problem) if problem else None,
            context={},
        )

    def answer(self, kind: str, name: str, since: float, answer: Answer) -> None:
        """One HTTP exchange that counts from `since`."""
        self.request(kind, name, answer.done - since, len(answer.body), answer.problem)

    def updates(self, visible: float, intended: list[float]) -> None:
        """Messages that were intended then became visible on one dashboard at `visible`."""
        self._updates.extend([visible - then for then in intended])

    def flush(self) -> None:
        """Brings the rows of frames and updates up to date. To be called about once a second."""
        latencies, self._updates = self._updates, []
        frames = self.progress.frames - self._frames_shown
        self._frames_shown = self.progress.frames
        self._fill("FRAME", "announcement", frames, None)
        self._fill("UPDATE", "visible", len(latencies), latencies)
        self.progress.updates += len(latencies)

    def _fill(self, kind: str, name: str, count: int, latencies: list[float] | None) -> None:
        if not count:
            return
        now = time.time()
        entry = self._environment.stats.get(name, kind)
        entry.num_requests += count
        entry.num_reqs_per_sec[int(now)] += count
        entry.last_request_timestamp = now
        if latencies is None:
            # Not measured, which is not 0: Locust keeps such rows out of its percentiles.
            entry.num_none_requests += count
            return
        shortest, longest = round(min(latencies) * 1000), round(max(latencies) * 1000)
        entry.total_response_time += round(sum(latencies) * 1000)
        before = entry.min_response_time
        entry.min_response_time = shortest if before is None else min(shortest, before)
        entry.max_response_time = max(longest, entry.max_response_time)
        buckets = self.progress.latencies
        for latency in latencies:
            bucket = bucket_response_time(latency * 1000)
            entry.response_times[bucket] += 1
            buckets[bucket] = buckets.get(bucket, 0) + 1


class Problem(Exception):
    """What Locust's table of failures shows."""
