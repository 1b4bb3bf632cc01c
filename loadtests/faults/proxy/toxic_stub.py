"""One toxic at work in one pipeline: holds pieces until they are due, in order."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from .active_toxic import ActiveToxic
from .evidence import ProxyEvidence
from .timers import Cancellable, Timers
from .toxics.toxic import NEVER, Due, End, Toxic

_OVERHEAD = 200  # bytes of memory that a waiting piece takes besides its own


class _Waiting(NamedTuple):
    arrived: float
    when: float
    item: bytes | End


class Pipeline(Protocol):
    """What a stage needs of the pipeline it stands in."""

    chance: random.Random
    timers: Timers
    tally: ProxyEvidence

    def deliver(self, item: bytes | End) -> None: ...
    def lose(self, item: bytes | End) -> None: ...
    def count_swallowed(self, toxic: ActiveToxic | None, count: int) -> None: ...
    def end_here(self, stage: ToxicStub) -> None: ...
    def without(self, stage: ToxicStub) -> None: ...
    def reset(self, toxic: ActiveToxic) -> None: ...
    def pump(self) -> None: ...


class ToxicStub:
    """A toxic's place in a pipeline. All happens in the event loop's thread and without awaiting: a change of the
    pipeline is one step, between two pieces.
    """

    def __init__(self, active: ActiveToxic, link: Pipeline) -> None:
        self.active = active
        self.next: ToxicStub | None = None
        self._link = link
        # Drawn once: raising a toxicity adds connections, and never moves those it has already met.
        self._luck = link.chance.random()
        self._toxic: Toxic | None = None  # None: this connection is spared
        self._met = False
        self._waiting: deque[_Waiting] = deque()
        self._cost = 0
        self._passed = 0.0  # when the last piece went on
        self._timer: Cancellable | None = None
        self._alarm: Cancellable | None = None
        self._gone = False

    @property
    def full(self) -> bool:
        """Whether it holds so much that the sender has to wait."""
        return self._toxic is not None and self._cost > self._toxic.room

    def begin(self, *, fresh: bool) -> None:
        """Meet the connection, if the dice say so; it is `fresh` if it has just been opened."""
        if self._luck < self.active.toxicity:
            self._toxic = self.active.meet(self._link.chance, self._link.timers.now(), fresh=fresh)
            self.active.evidence.connections_affected += not self._met
            self._met = True
            self._set_alarm()

    def push(self, item: bytes | End, arrived: float, now: float) -> None:
        """Take a piece, or the end, from the stage before."""
        if self._gone:
            self._link.lose(item)
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
        if self._alarm is None:
            self._set_alarm()  # a toxic may have been waiting for the first bytes
        self._queue(item, dues, arrived)
        if self._timer is None:
            self._release(now)

    def change(self) -> bool:
        """The toxic's attributes or toxicity were changed. False if the connection must be closed for it."""
        now = self._link.timers.now()
        if self._toxic is None:
            self.begin(fresh=False)
        elif self._luck < self.active.toxicity:
            self._toxic.update(self.active.values, now)
            self._set_alarm()
            for arrived, _, item in self._take_all():
                self.push(item, arrived, now)
        elif self._toxic.spoils:
            return False
        else:
            self._toxic = None
            self._set_alarm()
            self._flush(now)
        return True

    def leave(self) -> bool:
        """The toxic was removed: all goes on at once, in order. False if the connection must be closed for it."""
        if self._toxic is not None and self._toxic.spoils:
            return False
        self._toxic = None
        self._set_alarm()
        self._flush(self._link.timers.now())
        self._gone = True
        return True

    def discard(self, *, by: ActiveToxic, swallowed: bool) -> None:
        """Drop what is held, for ever. `swallowed`: through our doing, which counts as `by` this toxic."""
        lost = sum(len(item) for _, _, item in self._take_all() if isinstance(item, bytes))
        if swallowed:
            self._link.count_swallowed(by, lost)
        self._toxic = None
        self._set_alarm()
        self._gone = True

    def close(self) -> None:
        """Close the connection here: what is behind is lost, what is ahead is delivered."""
        now, ahead = self._link.timers.now(), self.next
        self._link.end_here(self)
        self.discard(by=self.active, swallowed=True)
        self._link.without(self)
        if ahead is None:
            self._link.deliver(End.CLOSE)
        else:
            ahead.push(End.CLOSE, now, now)

    def _queue(self, item: bytes | End, dues: Sequence[Due], arrived: float) -> None:
        for when, out in dues:
            if isinstance(out, End) and out is not item:
                self._link.end_here(self)
            self._waiting.append(_Waiting(arrived, when, out))
            self._cost += _cost(out)

    def _release(self, now: float) -> None:
        """Let go what is due, and set the timer for the rest."""
        assert self._toxic is not None
        apart = self._toxic.apart
        while self._waiting and self._waiting[0].when <= now:
            arrived, when, item = self._waiting.popleft()
            self._cost -= _cost(item)
            self._passed = max(self._passed, when)
            self._count_through(item, when > arrived)
            self._forward(item, self._passed, now)
            if self._gone:  # a later toxic, or the receiver, has ended the connection
                return
            if apart:
                break
        if self._waiting and self._waiting[0].when < NEVER:
            self._timer = self._link.timers.call_at(self._waiting[0].when, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._release(self._link.timers.now())
        self._link.pump()

    def _flush(self, now: float) -> None:
        self._stop_timer()
        while self._waiting and not self._gone:
            arrived, _, item = self._waiting.popleft()
            self._cost -= _cost(item)
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
        self._cost = 0
        self._stop_timer()
        return waiting

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        alarm = self._toxic.alarm() if self._toxic is not None else None
        if alarm is not None:
            self._alarm = self._link.timers.call_at(alarm[0], self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        alarm = self._toxic.alarm() if self._toxic is not None else None
        if alarm is None:
            return
        if self._link.timers.now() < alarm[0]:
            self._set_alarm()
        elif alarm[1] is End.RESET:
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
            self._link.tally.bytes_delayed += len(item)


def _cost(item: bytes | End) -> int:
    return _OVERHEAD + (len(item) if isinstance(item, bytes) else 0)
