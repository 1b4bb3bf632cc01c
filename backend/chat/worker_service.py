"""What every mode of the chat has in one process: store, follower, wake-ups, metrics, and the tasks that run them.

own commit ─► wake-up ─► follower ─► publish
others' commits ───────────┘
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from chatswarm.backend.fanout.sockets import Sockets
from chatswarm.backend.metrics.exposition import merged
from chatswarm.backend.metrics.loop_lag import measure_lag
from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.settings import Settings
from chatswarm.backend.store import schema
from chatswarm.backend.store.log import Log
from chatswarm.backend.store.records import Committed, Position, StoreUnavailableError
from chatswarm.backend.store.store import Store
from chatswarm.backend.wire.headers import Headers, trace_id
from chatswarm.backend.workers.datagrams import WorkerDatagrams
from chatswarm.backend.workers.follower import Follower
from chatswarm.backend.workers.supervisor import WorkerContext

from .line_printer import LinePrinter, refused_line, saved_line
from .rate_limit import RateLimit

if TYPE_CHECKING:
    from chatswarm.backend.workers.broker import BrokerBus

METRICS_TIMEOUT: Final = 0.5
"""Seconds that the other workers have to report their metrics."""


class WorkerService(ABC):
    """Everything behind the endpoints of one process, alone or one of several workers. Belongs to the event loop."""

    lines: LinePrinter
    """Its log, apart from errors."""

    def __init__(
        self, settings: Settings, sockets: Sockets, metrics: BackendMetrics, worker: WorkerContext | None
    ) -> None:
        self.settings = settings
        self.sockets = sockets
        self.metrics = metrics
        self.name = worker_name(worker)
        self.shared = worker is not None or settings.bus is not None
        self.log = Log(settings.database)
        self.store = Store(settings.database, self._committed, metrics, shared=self.shared)
        self.rate = RateLimit(settings.sends_per_second) if settings.sends_per_second else None
        self._follower = Follower(settings.database, self._publish, metrics, shared=self.shared)
        self._datagrams = WorkerDatagrams(worker, self._on_wakeup, metrics) if worker is not None else None
        self._bus: BrokerBus | None = None
        if settings.bus is not None:
            # Imported here because the client library is slow to import.
            from chatswarm.backend.workers.broker import BrokerBus

            self._bus = BrokerBus(settings.bus, self._on_wakeup, metrics)
        self._notifier = self._bus or self._datagrams
        self._tasks: list[asyncio.Task[None]] = []
        metrics.set_unsent_source(sockets.unsent)
        sockets.on_cut = lambda reason: metrics.cut[reason].inc()
        sockets.on_idle = metrics.timeouts["idle"].inc

    async def start(self) -> None:
        """Open the database, load what is shown, start all tasks. Raises ForeignDatabaseError, sqlite3.Error."""
        await asyncio.to_thread(schema.prepare, self.settings.database)
        self._follower.position = await self._load()
        self.store.start()
        if self._datagrams is not None:
            self._datagrams.start()
        if self._bus is not None:
            self._bus.start()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self.sockets.check_forever()),
            loop.create_task(self._follower.poll_forever()),
            loop.create_task(measure_lag(self.metrics.loop_lag_seconds.observe)),
        ]

    async def close(self) -> None:
        """Finish pending writes, close the database, and print what is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._datagrams is not None:
            self._datagrams.close()
        if self._bus is not None:
            await self._bus.close()
        # The writer's connection closes last, because only that one can empty the write-ahead log.
        self.log.close()
        self._follower.close()
        if self._tasks:
            await self.store.close(self.settings.grace / 5)
        self.lines.close()

    def log_saved(self, headers: Headers, number: int, *, fresh: bool) -> None:
        """Log which message the send with these headers became, if it is traced. `fresh` False: an earlier send's."""
        if (trace := trace_id(headers)) is not None:
            self.lines.put([saved_line(trace, number, fresh=fresh)])

    def log_refused(self, headers: Headers, status: int, reason: str) -> None:
        """Log how the send with these headers was refused, if it is traced. `reason`: one of ours, no client's text."""
        if (trace := trace_id(headers)) is not None:
            self.lines.put([refused_line(trace, status, reason)])

    @property
    def unanswered(self) -> int:
        """The number of writes whose senders have no answer yet."""
        return self.store.waiting

    def catch_up(self) -> None:
        """Publish everything that any worker has committed by now.

        Call this before any read that must be current. Raises StoreUnavailableError if the log cannot be read.
        """
        self._follower.poll("request")

    def flush_announcements(self) -> None:
        """Before the shutdown: publish the last commits and write all pending frames."""
        with suppress(StoreUnavailableError):
            self.catch_up()
        self._flush()

    async def exposition(self) -> bytes:
        """The metrics of all workers, in Prometheus' text format."""
        if self._datagrams is None:
            return self.metrics.exposition()
        return merged(await self._datagrams.collect_metrics(METRICS_TIMEOUT))

    @abstractmethod
    async def _load(self) -> Position:
        """Load what is shown from the store. Returns the position in the log at which it was read."""

    @abstractmethod
    def _publish(self, committed: Committed) -> None:
        """Show a commit, and write its frames to sockets. Called once for each commit of any worker, in order."""

    @abstractmethod
    def _flush(self) -> None:
        """Write all pending frames without yielding."""

    def _committed(self, committed: Committed) -> None:
        """Publish a commit of this worker, which is now on disk, and wake the other workers."""
        if self._notifier is not None and committed.after != committed.before:
            self._notifier.wake_others()
        # If the log before it cannot be read now, the follower publishes it later.
        with suppress(StoreUnavailableError):
            self._follower.committed(committed)

    def _on_wakeup(self) -> None:
        """Another worker has committed something, or may have."""
        with suppress(StoreUnavailableError):
            self.metrics.wakeups_received["news" if self._follower.poll("bell") else "nothing"].inc()


def worker_name(worker: WorkerContext | None) -> str:
    """The name by which responses tell who served them. The only process of a backend has the first worker's."""
    return f"worker-{worker.number if worker is not None else 0}"
