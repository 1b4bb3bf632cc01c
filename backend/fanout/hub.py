"""Fan-out: writes each message's frame to every subscriber, in commit order, without waiting for any of them.

    publish ─► pending frames ─(join window)─► one blob ─► slice of subscribers ─► loop ─► slice ─► …
                                                             │
                                                             └─ replaying? held back until the replay is done

A broadcast goes out in slices and yields to the loop between them, so that thousands of writes do not delay a POST.
Frames that arrive meanwhile wait for the next broadcast. Positions are message ids: a subscriber gets exactly the
frames after the head at which it was registered.

The reference chat has one hub; the push chat has one for each room that anybody has joined.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.wire.frames import OutgoingFrame

from .batching import BatchingDelay
from .turns import SLICE, Turns


class FrameSink(Protocol):
    """What the hub needs from a dashboard's connection. No method ever waits."""

    def write(self, data: bytes) -> bool:
        """Write encoded frames; false if the connection is closed, or this write closed it."""

    def unsent(self) -> int:
        """Bytes written but not yet taken by the kernel."""


class Subscriber:
    """One dashboard's position in the stream. `since` is the head at which it was registered: later frames are due."""

    __slots__ = ("_held", "_held_bytes", "active", "connection_id", "overflowed", "settled", "since", "sink")

    def __init__(self, sink: FrameSink, connection_id: str, since: int, *, hold: bool) -> None:
        self.sink = sink
        self.connection_id = connection_id
        self.since = since
        self.active = True
        self.settled = False
        self.overflowed = False
        self._held: list[tuple[bytes, Sequence[float]]] | None = [] if hold else None
        self._held_bytes = 0

    @property
    def holding(self) -> bool:
        """Whether live frames are held back while older ones are being replayed."""
        return self._held is not None

    def give(self, data: bytes, committed: Sequence[float], limit: int) -> bool:
        """Write live frames, or hold them back. Beyond `limit` bytes held, drop all and set `overflowed`.

        `committed` are the frames' commit times. True if they were written.
        """
        if self._held is None:
            return self.sink.write(data)
        self._held_bytes += len(data)
        if self.overflowed or self._held_bytes > limit:
            self.overflowed = True
            self._held = []
        else:
            self._held.append((data, committed))
        return False

    def release(self) -> list[float]:
        """Write the held frames and go live. Returns the commit times of the messages written."""
        held, self._held = self._held or [], None
        data = b"".join([data for data, _ in held])
        if not data or not self.sink.write(data):
            return []
        return [moment for _, committed in held for moment in committed]


class Hub:
    """All subscribers to the same messages. Belongs to the event loop. `head` is the id of the last message on disk.

    Hubs with the same `turns` share the loop.
    """

    def __init__(
        self,
        metrics: BackendMetrics,
        *,
        join_window: float,
        held_limit: int,
        head: int = 0,
        turns: Turns | None = None,
    ) -> None:
        self.head = head
        self._metrics = metrics
        self._held_limit = held_limit
        self._batching = BatchingDelay(join_window)
        self._subscribers: dict[Subscriber, None] = {}
        self._pending: list[OutgoingFrame] = []
        self._timer: asyncio.TimerHandle | None = None
        self._turns = turns or Turns()
        self._waits = False
        # The broadcast in progress:
        self._frames: list[OutgoingFrame] = []
        self._blob = b""
        self._recipients: list[Subscriber] = []
        self._next = 0
        self._started = 0.0
        # Its number of messages per commit time. Then what the current slice wrote: the number of dashboards that got
        # all of it, and the commit times of the messages that went to dashboards that were due only a part.
        self._commits: dict[float, int] = {}
        self._whole_count = 0
        self._partial_moments: list[float] = []
        self._delivered_any = False

    def __len__(self) -> int:
        return len(self._subscribers)

    def subscribers(self) -> list[Subscriber]:
        """All current subscribers."""
        return list(self._subscribers)

    def subscribe(self, sink: FrameSink, connection_id: str, *, hold: bool = False) -> Subscriber:
        """Register at the head. With `hold`, later frames wait until `Subscriber.release`."""
        subscriber = Subscriber(sink, connection_id, self.head, hold=hold)
        self._subscribers[subscriber] = None
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Stop sending to this subscriber. Idempotent."""
        subscriber.active = False
        self._subscribers.pop(subscriber, None)

    def finish(self, subscriber: Subscriber) -> None:
        """Write to this subscriber at once what was published and is still pending, then stop sending to it."""
        frames = list(self._pending)
        if subscriber in self._recipients[self._next :]:
            frames = self._frames + frames
        due = [frame for frame in frames if frame.message_id > subscriber.since]
        if due and subscriber.active:
            moments = [frame.committed for frame in due]
            if subscriber.give(b"".join([frame.data for frame in due]), moments, self._held_limit):
                now = time.monotonic()
                for committed in moments:
                    self._metrics.delivery_seconds.observe(now - committed)
        self.unsubscribe(subscriber)

    def publish(self, frames: Sequence[OutgoingFrame]) -> None:
        """Broadcast messages in commit order: at once, or joined with others after a short delay."""
        if not frames:
            return
        self.head = frames[-1].message_id
        if not self._subscribers and not self._frames:
            return
        self._pending.extend(frames)
        if not self._frames and self._timer is None and not self._waits:
            self._schedule()

    def flush(self) -> None:
        """Write all pending frames without yielding, before the shutdown."""
        while self._frames or self._pending:
            if not self._frames:
                self._begin()
            while self._next < len(self._recipients):
                self._write_slice()
            self._finish()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        # Not the loop's clock: uvloop's stands still within one iteration and counts in milliseconds.
        delay = self._batching.delay(time.monotonic())
        if delay:
            self._timer = asyncio.get_running_loop().call_later(delay, self._take_turn)
        else:
            self._take_turn()

    def _take_turn(self) -> None:
        self._timer = None
        self._waits = True
        self._turns.take(self._broadcast, len(self._subscribers))

    def _broadcast(self) -> None:
        self._waits = False
        if self._frames or not self._pending:  # flush() came first
            return
        self._begin()
        self._continue()

    def _begin(self) -> None:
        self._frames, self._pending = self._pending, []
        self._blob = b"".join([frame.data for frame in self._frames])
        self._recipients = list(self._subscribers)
        self._next = 0
        self._started = time.monotonic()
        commits = self._commits = {}
        for frame in self._frames:
            commits[frame.committed] = commits.get(frame.committed, 0) + 1
        self._delivered_any = False

    def _continue(self) -> None:
        if not self._frames:  # flush() came first
            return
        self._write_slice()
        if self._next < len(self._recipients):
            asyncio.get_running_loop().call_soon(self._continue)
            return
        self._finish()
        if self._pending:
            self._schedule()

    def _write_slice(self) -> None:
        blob, first = self._blob, self._frames[0].message_id
        until = min(self._next + SLICE, len(self._recipients))
        written = 0
        for subscriber in self._recipients[self._next : until]:
            if subscriber.settled:
                if subscriber.active and subscriber.sink.write(blob):
                    written += 1
            elif subscriber.active:
                self._write_due(subscriber, first)
        self._next = until
        self._whole_count += written
        self._count()

    def _write_due(self, subscriber: Subscriber, first: int) -> None:
        """Write only what is due, to a subscriber that is replaying or that joined after some of these messages."""
        due = [frame for frame in self._frames if frame.message_id > subscriber.since]
        whole = len(due) == len(self._frames)
        data = self._blob if whole else b"".join([frame.data for frame in due])
        committed = [frame.committed for frame in due]
        if due and subscriber.give(data, committed, self._held_limit):
            if whole:
                self._whole_count += 1
            else:
                self._partial_moments += committed
        subscriber.settled = first > subscriber.since and not subscriber.holding

    def _count(self) -> None:
        """Count the deliveries of this slice: one call per commit, not per delivery. uvloop writes at once."""
        if not self._whole_count and not self._partial_moments:
            return
        now, observe = time.monotonic(), self._metrics.delivery_seconds.observe
        for committed, frames in self._commits.items():
            observe(now - committed, frames * self._whole_count)
        for committed in self._partial_moments:
            observe(now - committed)
        self._whole_count, self._partial_moments, self._delivered_any = 0, [], True

    def _finish(self) -> None:
        now = time.monotonic()
        self._batching.wrote(self._started, now)
        if self._delivered_any:
            self._metrics.fanout_dashboards.observe(len(self._recipients), len(self._frames))
            for committed, frames in self._commits.items():
                self._metrics.broadcast_seconds.observe(now - committed, frames)
        self._frames, self._recipients, self._blob = [], [], b""
