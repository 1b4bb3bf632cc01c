"""A toxic's place in one pipeline: holds the pieces until they are due, in order."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from .active_toxic import ActiveToxic
from .evidence import ProxyEvidence
from .timers import Cancellable, Timers
from .toxics.toxic import NEVER, Due, End, Toxic

_OVERHEAD = 200  # bytes of memory that a waiting piece takes on top of its data


class _Waiting(NamedTuple):
    arrived: float
    when: float
    item: bytes | End


class Pipeline(Protocol):
    """What a stub needs of its pipeline."""

    rng: random.Random
    timers: Timers
    proxy_evidence: ProxyEvidence

    def deliver(self, item: bytes | End) -> None: ...
    def drop(self, item: bytes | End) -> None: ...
    def count_swallowed(self, toxic: ActiveToxic | None, count: int) -> None: ...
    def close_at(self, stub: ToxicStub) -> None: ...
    def remove_stub(self, stub: ToxicStub) -> None: ...
    def reset(self, toxic: ActiveToxic) -> None: ...
    def pump(self) -> None: ...


class ToxicStub:
    """A toxic in a pipeline. Everything runs in the event loop's thread without awaiting, so a change of the pipeline
    is one step between two pieces.
    """

    def __init__(self, active: ActiveToxic, link: Pipeline) -> None:
        self.active = active
        self.next: ToxicStub | None = None
        self._link = link
        # Drawn once, so that raising the toxicity adds connections and never swaps the affected ones for others.
        self._draw = link.rng.random()
        self._toxic: Toxic | None = None  # None: it does not apply to this connection
        self._counted = False  # in the evidence, as an affected connection
        self._waiting: deque[_Waiting] = deque()
        self._buffered = 0  # bytes, overhead included
        self._last_released = 0.0  # when the last piece was due
        self._timer: Cancellable | None = None
        self._deadline_timer: Cancellable | None = None
        self._detached = False

    @property
    def full(self) -> bool:
        """Whether it holds so much that the sender must wait."""
        return self._toxic is not None and self._buffered > self._toxic.capacity

    def begin(self, *, fresh: bool) -> None:
        """Apply the toxic to the connection, with its toxicity as the probability. `fresh`: it was just opened."""
        if self._draw < self.active.toxicity:
            self._toxic = self.active.attach(self._link.rng, self._link.timers.now(), fresh=fresh)
            self.active.evidence.connections_affected += not self._counted
            self._counted = True
            self._set_deadline()

    def push(self, item: bytes | End, arrived: float, now: float) -> None:
        """Take a piece, or the end, from the previous stub."""
        if self._detached:
            self._link.drop(item)
            return
        if self._toxic is None:
            self._forward(item, arrived, now)
            return
        if isinstance(item, bytes):
            dues = self._toxic.data(item, arrived)
            swallowed = len(item) - sum(len(out) for _, out in dues if isinstance(out, bytes))
            self._link.count_swallowed(self.active, swallowed)
            self.active.evidence.pieces_cut += max(0, sum(isinstance(out, bytes) for _, out in dues) - 1)
        else:
            dues = [self._toxic.end(item, arrived)]
        if self._deadline_timer is None:
            self._set_deadline()  # the toxic may have been waiting for the first bytes
        self._queue(item, dues, arrived)
        if self._timer is None:
            self._release(now)

    def change(self) -> bool:
        """The toxic's attributes or toxicity have changed. False if the connection must therefore be closed."""
        now = self._link.timers.now()
        if self._toxic is None:
            self.begin(fresh=False)
        elif self._draw < self.active.toxicity:
            self._toxic.update(self.active.values, now)
            self._set_deadline()
            for arrived, _, item in self._take_all():
                self.push(item, arrived, now)
        elif self._toxic.closes_on_removal:
            return False
        else:
            self._toxic = None
            self._set_deadline()
            self._flush(now)
        return True

    def detach(self) -> bool:
        """The toxic was removed: release everything, in order. False if the connection must therefore be closed."""
        if self._toxic is not None and self._toxic.closes_on_removal:
            return False
        self._toxic = None
        self._set_deadline()
        self._flush(self._link.timers.now())
        self._detached = True
        return True

    def discard(self, *, by: ActiveToxic, swallowed: bool) -> None:
        """Drop everything held. `swallowed`: the proxy is the cause, so the bytes count as swallowed `by` a toxic."""
        lost = sum(len(item) for _, _, item in self._take_all() if isinstance(item, bytes))
        if swallowed:
            self._link.count_swallowed(by, lost)
        self._toxic = None
        self._set_deadline()
        self._detached = True

    def close(self) -> None:
        """Close the connection here: earlier stubs' data is lost, later stubs' data is delivered."""
        now, next_stub = self._link.timers.now(), self.next
        self._link.close_at(self)
        self.discard(by=self.active, swallowed=True)
        self._link.remove_stub(self)
        if next_stub is None:
            self._link.deliver(End.CLOSE)
        else:
            next_stub.push(End.CLOSE, now, now)

    def _queue(self, item: bytes | End, dues: Sequence[Due], arrived: float) -> None:
        for when, out in dues:
            if isinstance(out, End) and out is not item:
                self._link.close_at(self)
            self._waiting.append(_Waiting(arrived, when, out))
            self._buffered += _size(out)

    def _release(self, now: float) -> None:
        """Release what is due, and set the timer for the rest."""
        assert self._toxic is not None
        one_at_a_time = self._toxic.one_at_a_time
        while self._waiting and self._waiting[0].when <= now:
            arrived, when, item = self._waiting.popleft()
            self._buffered -= _size(item)
            self._last_released = max(self._last_released, when)
            self._count_through(item, when > arrived)
            self._forward(item, self._last_released, now)
            if self._detached:  # a later toxic, or the receiver, has ended the connection
                return
            if one_at_a_time:
                break
        if self._waiting and self._waiting[0].when < NEVER:
            self._timer = self._link.timers.call_at(self._waiting[0].when, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._release(self._link.timers.now())
        self._link.pump()

    def _flush(self, now: float) -> None:
        self._stop_timer()
        while self._waiting and not self._detached:
            arrived, _, item = self._waiting.popleft()
            self._buffered -= _size(item)
            self._count_through(item, now > arrived)
            self._forward(item, now, now)

    def _forward(self, item: bytes | End, arrived: float, now: float) -> None:
        if self.next is None:
            self._link.deliver(item)
        else:
            self.next.push(item, arrived, now)

    def _take_all(self) -> list[_Waiting]:
        waiting = list(self._waiting)
        self._waiting.clear()
        self._buffered = 0
        self._stop_timer()
        return waiting

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_deadline(self) -> None:
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
            self._deadline_timer = None
        deadline = self._toxic.deadline() if self._toxic is not None else None
        if deadline is not None:
            self._deadline_timer = self._link.timers.call_at(deadline[0], self._on_deadline)

    def _on_deadline(self) -> None:
        self._deadline_timer = None
        deadline = self._toxic.deadline() if self._toxic is not None else None
        if deadline is None:
            return
        when, end = deadline
        if self._link.timers.now() < when:
            self._set_deadline()
        elif end is End.RESET:
            self._link.reset(self.active)
        else:
            self.close()
            self._link.pump()

    def _count_through(self, item: bytes | End, delayed: bool) -> None:
        evidence = self.active.evidence
        if isinstance(item, End):
            evidence.ends_delayed += delayed
            return
        evidence.bytes_through += len(item)
        if delayed:
            evidence.bytes_delayed += len(item)
            self._link.proxy_evidence.bytes_delayed += len(item)


def _size(item: bytes | End) -> int:
    return _OVERHEAD + (len(item) if isinstance(item, bytes) else 0)
