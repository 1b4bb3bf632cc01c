"""Fills the rows of Locust's statistics, and counts updates for the progress line.

Requests are few and go through Locust's event, so its listeners and its total include them. Frames and updates are many
(an event for each would take half a core at 200,000 a second) and are not requests: their rows are filled in bulk and
stay out of the aggregated row.
"""

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from locust.env import Environment
from locust.stats import StatsEntry

from chatswarm.loadtests.judge.ledger.arrays import ints, ranges
from chatswarm.loadtests.swarm.net.http import Response
from chatswarm.loadtests.swarm.plan import ProcessProgress
from chatswarm.loadtests.system.text import one_line

Latencies = npt.NDArray[np.float64]
_COUNTED = 100_000  # ms; up to here, counting is faster than sorting


class StatsRows:
    """This process's rows."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.progress = ProcessProgress()
        self._updates: list[tuple[float, int, int]] = []
        self._intended: Sequence[float] = ()
        self._shown: list[Latencies] = []
        self._frames_shown = 0

    def request(self, kind: str, name: str, seconds: float | None, size: int, problem: str) -> None:
        """Counts one request; `seconds` None if not measured, `problem` empty if it succeeded."""
        self._environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=None if seconds is None else seconds * 1000,
            response_length=size,
            exception=ShownFailure(one_line(problem)) if problem else None,
            context={},
        )

    def response(self, kind: str, name: str, since: float, response: Response) -> None:
        """Counts one HTTP request whose time runs from `since`."""
        self.request(kind, name, response.done - since, len(response.body), response.problem)

    def updates(self, visible: float, messages: range, intended: Sequence[float]) -> None:
        """Counts `messages` that became visible on one dashboard at `visible`. `intended`: of all messages."""
        self._updates.append((visible, messages.start, messages.stop))
        self._intended = intended

    def shown(self, latencies: Latencies) -> None:
        """Counts messages that became visible, by their update latencies in seconds."""
        self._shown.append(latencies)

    def flush(self) -> None:
        """Updates the rows of frames and updates. Call it about once a second."""
        latencies = np.concatenate([self._update_latencies(), *self._shown])
        self._updates, self._shown = [], []
        frames = self.progress.frames - self._frames_shown
        self._frames_shown = self.progress.frames
        if frames:
            # Not measured, not 0: Locust keeps such rows out of its percentiles.
            self._count("FRAME", "announcement", frames).num_none_requests += frames
        if len(latencies):
            self._time(self._count("UPDATE", "visible", len(latencies)), latencies * 1000)
            self.progress.updates += len(latencies)

    def _update_latencies(self) -> Latencies:
        visible, starts, stops = np.array(self._updates).reshape(-1, 3).T
        counts = ints(stops - starts)
        latencies: Latencies = np.repeat(visible, counts) - np.array(self._intended)[ranges(ints(starts), counts)]
        return latencies

    def _count(self, kind: str, name: str, count: int) -> StatsEntry:
        now = time.time()
        entry = self._environment.stats.get(name, kind)
        entry.num_requests += count
        entry.num_reqs_per_sec[int(now)] += count
        entry.last_request_timestamp = now
        return entry

    def _time(self, entry: StatsEntry, latencies: Latencies) -> None:
        """Adds latencies in milliseconds, with numpy: a loop over those of a second would stop all users."""
        entry.total_response_time += round(latencies.sum())
        shortest, before = round(latencies.min()), entry.min_response_time
        entry.min_response_time = shortest if before is None else min(shortest, before)
        entry.max_response_time = max(round(latencies.max()), entry.max_response_time)
        for bucket, count in zip(*(each.tolist() for each in buckets(latencies)), strict=True):
            entry.response_times[bucket] += count
            self.progress.latencies[bucket] = self.progress.latencies.get(bucket, 0) + count


def buckets(latencies: Latencies) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Locust's buckets (two significant digits, in milliseconds) and the number of latencies in each."""
    step = np.select([latencies < 100, latencies < 1000, latencies < 10000], [1, 10, 100], 1000)
    bucket = (np.rint(latencies / step) * step).astype(np.int64)
    if bucket.min(initial=0) < 0 or bucket.max(initial=0) > _COUNTED:
        found, counts = np.unique(bucket, return_counts=True)
        return found, counts
    every = np.bincount(bucket)
    found = np.flatnonzero(every)
    return found, every[found]


class ShownFailure(Exception):
    """A failure as Locust's table shows it."""
