"""Connections that keep us waiting, and which of them is to go: bookkeeping without I/O.

    arrive ─► newcomers ─► whole ─► we are answering ─► wait ─► waiting ─► leave
                             ▲                                     │
                             └─────────── begin, whole ────────────┘

While we are answering, a connection is in no queue: it can neither be late nor be sent away. One that does not take its
answer is waited for like one that has nothing more to ask.
"""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

C = TypeVar("C")

Late = Literal["request", "answer"]
Eviction = Literal["newcomer", "idle"]


class EvictionQueue(Generic[C]):
    """Queues of connections, the one that came first in front. Times are seconds on a steady clock.

    A request must be whole after `request_timeout`; one between two requests must be gone after `waiting_timeout`.
    """

    def __init__(self, request_timeout: float, waiting_timeout: float) -> None:
        self._request_timeout = request_timeout
        self._waiting_timeout = waiting_timeout
        self._newcomers: dict[C, float] = {}
        self._waiting: dict[C, float] = {}
        self._begun: dict[C, float] = {}

    def arrive(self, connection: C, now: float) -> None:
        """A new connection: its first request is due."""
        self._newcomers[connection] = now

    def begin(self, connection: C, now: float) -> None:
        """A part of a further request is there. Doing it for every part is fine: the first one counts."""
        if connection in self._waiting and connection not in self._begun:
            self._begun[connection] = now
            self.wait(connection, now)

    def whole(self, connection: C) -> None:
        """A request is whole: now the connection waits for us."""
        self._newcomers.pop(connection, None)
        self._waiting.pop(connection, None)
        self._begun.pop(connection, None)

    leave = whole

    def wait(self, connection: C, now: float) -> None:
        """It was answered, or its answer is more than the client takes: we wait for it again."""
        self._newcomers.pop(connection, None)
        self._waiting.pop(connection, None)
        self._waiting[connection] = now

    def next_to_go(self) -> tuple[C, Eviction] | None:
        """Who makes room for a new connection: the oldest that never had a whole request, or else the longest idle."""
        for connection in self._newcomers:
            return connection, "newcomer"
        for connection in self._waiting:
            return connection, "idle"
        return None

    def late(self, now: float) -> list[tuple[C, Late]]:
        """All whose time is up, and what they did not do in time: send their request, or take our answer."""
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
