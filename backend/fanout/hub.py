"""Fan-out: each message's ready frame to each subscriber, in commit order, without ever waiting for one of them.

    publish ─► pending frames ─(join window)─► one blob ─► slice of subscribers ─► loop ─► slice ─► …
                                                             │
                                                             └─ replaying? held back until the replay is through

A broadcast goes out in slices with a turn of the loop between them, so that thousands of writes do not hold up a POST.
Frames that come meanwhile wait for the next one. Positions are message ids: a subscriber gets exactly the frames after
the head it was registered at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.wire.frames import OutgoingFrame

from .batching import BatchingDelay

SLICE = 200
"""Writes before the loop gets its turn: about 2 ms."""


class FrameSink(Protocol):
    """What the hub needs of a dashboard's connection. None of this ever waits."""

    def write(self, data: bytes) -> bool:
        """Write ready bytes; false if the connection is over, or is over because of this."""

    def unsent(self) -> int:
        """Bytes that were written and not taken yet."""


class Subscriber:
    """One dashboard's place in the stream. `since` is the head at which it was registered: frames after it are due."""

    __slots__ = ("_held", "_held_bytes", "active", "connection_id", "outlet", "overflowed", "settled", "since")

    def __init__(self, outlet: FrameSink, connection_id: str, since: int, *, hold: bool) -> None:
        self.outlet = outlet
        self.connection_id = connection_id
        self.since = since
        self.active = True
        self.settled = False
        self.overflowed = False
        self._held: list[tuple[bytes, Sequence[float]]] | None = [] if hold else None
        self._held_bytes = 0

    @property
    def holding(self) -> bool:
        """Whether live frames are held back because older ones are being replayed."""
        return self._held is not None

    def give(self, data: bytes, committed: Sequence[float], limit: int) -> bool:
        """Write live frames, or hold them back; over `limit` bytes held, all are dropped and `overflowed` says so.

        `committed` are the frames' moments. True if they were written.
        """
        if self._held is None:
            return self.outlet.write(data)
        self._held_bytes += len(data)
        if self.overflowed or self._held_bytes > limit:
            self.overflowed = True
            self._held = []
        else:
            self._held.append((data, committed))
        return False

    def release(self) -> list[float]:
        """Write what was held back and go live. Returns when the messages in it were committed, if it was written."""
        held, self._held = self._held or [], None
        data = b"".join([data for data, _ in held])
        if not data or not self.outlet.write(data):
            return []
        return [moment for _, committed in held for moment in committed]


class Hub:
    """All subscribers to chat updates. Belongs to the event loop. `head` is the id of the last message on disk."""

    def __init__(self, metrics: BackendMetrics, *, join_window: float, held_limit: int, head: int = 0) -> None:
        self.head = head
        self._metrics = metrics
        self._held_limit = held_limit
        self._window = BatchingDelay(join_window)
        self._subscribers: dict[Subscriber, None] = {}
        self._pending: list[OutgoingFrame] = []
        self._timer: asyncio.TimerHandle | None = None
        # The broadcast that is under way:
        self._frames: list[OutgoingFrame] = []
        self._blob = b""
        self._round: list[Subscriber] = []
        self._next = 0
        self._started = 0.0
        # Its messages by the moments of their commits; and what the last slice wrote: to how many dashboards all of it,
        # and the moments of what went to those that were due a part.
        self._commits: dict[float, int] = {}
        self._whole = 0
        self._parts: list[float] = []
        self._reached = False

    def __len__(self) -> int:
        return len(self._subscribers)

    def subscribers(self) -> list[Subscriber]:
        """Everyone subscribed now."""
        return list(self._subscribers)

    def subscribe(self, outlet: FrameSink, connection_id: str, *, hold: bool = False) -> Subscriber:
        """Register at the head. With `hold`, frames after it wait until `Subscriber.release`."""
        subscriber = Subscriber(outlet, connection_id, self.head, hold=hold)
        self._subscribers[subscriber] = None
        self._metrics.subscribed.set(len(self._subscribers))
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Send no more. Doing it twice is fine."""
        subscriber.active = False
        self._subscribers.pop(subscriber, None)
        self._metrics.subscribed.set(len(self._subscribers))

    def publish(self, frames: Sequence[OutgoingFrame]) -> None:
        """Announce messages, in commit order: at once, or together with others after a short while."""
        if not frames:
            return
        self.head = frames[-1].message_id
        if not self._subscribers and not self._frames:
            return
        self._pending.extend(frames)
        if not self._frames and self._timer is None:
            self._schedule()

    def flush(self) -> None:
        """Write everything that is pending now, in one go: before the end."""
        while self._frames or self._pending:
            if not self._frames:
                self._begin()
            while self._next < len(self._round):
                self._write_slice()
            self._finish()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        # Not the loop's clock: uvloop's stands still during a turn and counts in milliseconds.
        delay = self._window.delay(time.monotonic())
        if delay:
            self._timer = asyncio.get_running_loop().call_later(delay, self._broadcast)
        else:
            self._broadcast()

    def _broadcast(self) -> None:
        self._timer = None
        self._begin()
        self._turn()

    def _begin(self) -> None:
        self._frames, self._pending = self._pending, []
        self._blob = b"".join([frame.data for frame in self._frames])
        self._round = list(self._subscribers)
        self._next = 0
        self._started = time.monotonic()
        commits = self._commits = {}
        for frame in self._frames:
            commits[frame.committed] = commits.get(frame.committed, 0) + 1
        self._reached = False

    def _turn(self) -> None:
        if not self._frames:  # a flush was quicker
            return
        self._count()
        if self._next < len(self._round):
            self._write_slice()
            # The writes themselves happen at the end of this turn; only after them is it known how long all took.
            asyncio.get_running_loop().call_soon(self._turn)
            return
        self._finish()
        if self._pending:
            self._schedule()

    def _write_slice(self) -> None:
        blob, first = self._blob, self._frames[0].message_id
        until = min(self._next + SLICE, len(self._round))
        written = 0
        for subscriber in self._round[self._next : until]:
            if subscriber.settled:
                if subscriber.active and subscriber.outlet.write(blob):
                    written += 1
            elif subscriber.active:
                self._write_carefully(subscriber, first)
        self._next = until
        self._whole += written

    def _write_carefully(self, subscriber: Subscriber, first: int) -> None:
        """For one that is replaying, or that subscribed after some of these messages: only what it is due."""
        due = [frame for frame in self._frames if frame.message_id > subscriber.since]
        whole = len(due) == len(self._frames)
        data = self._blob if whole else b"".join([frame.data for frame in due])
        committed = [frame.committed for frame in due]
        if due and subscriber.give(data, committed, self._held_limit):
            if whole:
                self._whole += 1
            else:
                self._parts += committed
        subscriber.settled = first > subscriber.since and not subscriber.holding

    def _count(self) -> None:
        """Count the deliveries of the last slice, all that share a commit at once: none has cost a call of its own."""
        if not self._whole and not self._parts:
            return
        now, observe = time.monotonic(), self._metrics.delivery_seconds.observe
        for committed, frames in self._commits.items():
            observe(now - committed, frames * self._whole)
        for committed in self._parts:
            observe(now - committed)
        self._whole, self._parts, self._reached = 0, [], True

    def _finish(self) -> None:
        self._count()
        now = time.monotonic()
        self._window.wrote(self._started, now)
        if self._reached:
            self._metrics.fanout_dashboards.observe(len(self._round), len(self._frames))
            for committed, frames in self._commits.items():
                self._metrics.broadcast_seconds.observe(now - committed, frames)
        self._frames, self._round, self._blob = [], [], b""
