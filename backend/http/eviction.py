"""Tracks connections that are waiting for their client: which are overdue, and which to evict first. No I/O.

    add ─► newcomers ─► request_complete ─► being served ─► wait_for_client ─► waiting ─► remove
                               ▲                                                  │
                               └──────── request_started, request_complete ───────┘

While a request is being served, its connection is in no queue, so it is neither overdue nor evicted. A client that does
not take its response is treated like an idle one.
"""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

C = TypeVar("C")

Late = Literal["request", "answer"]
Eviction = Literal["newcomer", "idle"]


class EvictionQueue(Generic[C]):
    """Queues of connections, oldest first. Times are seconds on a monotonic clock.

    A request must be complete within `request_timeout`; an idle connection must be closed within `waiting_timeout`.
    """

    def __init__(self, request_timeout: float, waiting_timeout: float) -> None:
        self._request_timeout = request_timeout
        self._waiting_timeout = waiting_timeout
        self._newcomers: dict[C, float] = {}
        self._waiting: dict[C, float] = {}
        self._begun: dict[C, float] = {}

    def add(self, connection: C, now: float) -> None:
        """Add a new connection: its first request is due."""
        self._newcomers[connection] = now

    def request_started(self, connection: C, now: float) -> None:
        """Part of a further request has arrived. May be called for every part: the first one counts."""
        if connection in self._waiting and connection not in self._begun:
            self._begun[connection] = now
            self.wait_for_client(connection, now)

    def request_complete(self, connection: C) -> None:
        """A request has arrived in full and is being served."""
        self._newcomers.pop(connection, None)
        self._waiting.pop(connection, None)
        self._begun.pop(connection, None)

    remove = request_complete

    def wait_for_client(self, connection: C, now: float) -> None:
        """The response is complete, or the client is not taking it: the next move is the client's."""
        self._newcomers.pop(connection, None)
        self._waiting.pop(connection, None)
        self._waiting[connection] = now

    def eviction_candidate(self) -> tuple[C, Eviction] | None:
        """What to evict for a new connection: the oldest that never completed a request, else the longest idle one."""
        for connection in self._newcomers:
            return connection, "newcomer"
        for connection in self._waiting:
            return connection, "idle"
        return None

    def overdue(self, now: float) -> list[tuple[C, Late]]:
        """All connections that exceed their timeout, and what is overdue: sending a request, or taking the response."""
        found: list[tuple[C, Late]] = []
        for queue in (self._newcomers, self._begun):
            found += [(each, "request") for each in _older(queue, now - self._request_timeout)]
        found += [(each, "answer") for each in _older(self._waiting, now - self._waiting_timeout)]
        return found


def _older(queue: dict[C, float], than: float) -> list[C]:
    found = []
    for connection, since in queue.items():
        if since > than:
            break
        found.append(connection)
    return found
