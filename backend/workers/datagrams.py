"""Datagrams between the workers of one supervisor: wake-ups and metrics, over inherited socket pairs.

    !              wake-up: the log has grown
    ? from id      request for metrics
    = from id …    response to it

Worker i reads inbox i and can write to all of them. The supervisor keeps all ends open, so they outlive a worker and
serve its replacement, and no files are left behind. A full inbox drops datagrams: it already contains a wake-up, and a
worker that does not read it would not respond to requests either.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from chatswarm.backend.metrics.metrics import BackendMetrics

from .supervisor import WorkerContext

_ATTEMPTS: Final = 5
"""Attempts per request: a full inbox may have dropped one."""

_LONGEST: Final = 1 << 18
_HEAD: Final = struct.Struct("!cBQ")


@dataclass
class _MetricsQuery:
    responses: dict[int, bytes]
    complete: asyncio.Event = field(default_factory=asyncio.Event)


class WorkerDatagrams:
    """One worker's end. Belongs to the event loop.

    `on_wakeup` is called once for all wake-ups that are read together.
    """

    def __init__(self, worker: WorkerContext, on_wakeup: Callable[[], None], metrics: BackendMetrics) -> None:
        self._number = worker.number
        self._inbox = worker.inboxes[worker.number]
        self._outboxes = worker.outboxes
        self._on_wakeup = on_wakeup
        self._metrics = metrics
        self._query_ids = itertools.count()
        self._queries: dict[int, _MetricsQuery] = {}

    def start(self) -> None:
        """Start receiving."""
        asyncio.get_running_loop().add_reader(self._inbox, self._receive)

    def close(self) -> None:
        """Stop receiving."""
        asyncio.get_running_loop().remove_reader(self._inbox)

    def wake_others(self) -> None:
        """Send a wake-up to all other workers without waiting. Workers with a full inbox miss it."""
        for number, outbox in enumerate(self._outboxes):
            if number != self._number:
                self._metrics.wakeups_sent["sent" if _send(outbox, b"!") else "failed"].inc()

    async def collect_metrics(self, seconds: float) -> dict[int, bytes]:
        """The metrics of each worker that responds within `seconds`, by worker number."""
        query_id = next(self._query_ids)
        query = self._queries[query_id] = _MetricsQuery({self._number: self._metrics.exposition()})
        try:
            for _ in range(_ATTEMPTS):
                for number, outbox in enumerate(self._outboxes):
                    if number not in query.responses:
                        _send(outbox, _HEAD.pack(b"?", self._number, query_id))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds / _ATTEMPTS):
                        await query.complete.wait()
                        break
            return query.responses
        finally:
            del self._queries[query_id]

    def _receive(self) -> None:
        """Handle all datagrams in the inbox."""
        woken = False
        with contextlib.suppress(BlockingIOError):
            while True:
                datagram = self._inbox.recv(_LONGEST)
                if datagram == b"!":
                    woken = True
                else:
                    self._handle(datagram)
        if woken:
            self._on_wakeup()

    def _handle(self, datagram: bytes) -> None:
        kind, sender, query_id = _HEAD.unpack_from(datagram)
        if kind == b"?":
            _send(self._outboxes[sender], _HEAD.pack(b"=", self._number, query_id) + self._metrics.exposition())
        elif query := self._queries.get(query_id):
            query.responses[sender] = datagram[_HEAD.size :]
            if len(query.responses) == len(self._outboxes):
                query.complete.set()


def _send(outbox: socket.socket, data: bytes) -> bool:
    try:
        outbox.send(data)
    except OSError:
        return False
    return True
