"""The pipeline of one direction of one connection: from one socket through the toxics into the other.

    socket ─► intake ─► stage ─► stage ─► socket
                        (oldest) (newest toxic)

Without a toxic, bytes go straight from one socket to the other. What waits is bounded: the stages' rooms, one piece,
and one read in the intake; while anything is in the intake, nothing is read.
"""

import random
from collections import deque
from collections.abc import Iterable
from itertools import pairwise
from typing import Protocol

from .active_toxic import ActiveToxic
from .evidence import ProxyEvidence
from .timers import Timers
from .toxic_stub import ToxicStub
from .toxics.toxic import End

_PIECE = 16 << 10  # bytes that toxics get at a time, so that one read does not fill a stage far beyond its room


class Ends(Protocol):
    """The two sockets of a connection, as one of its pipelines sees them."""

    def write(self, data: bytes) -> None:
        """Hand bytes to the receiver's socket."""

    def finish(self, end: End) -> None:
        """All bytes have been written: pass on the sender's HALF or RESET, or CLOSE the connection."""

    def hold(self, wait: bool) -> None:
        """Stop reading from the sender, or go on."""

    def cut(self, *, reset: bool) -> bool:
        """A toxic closes the connection; with `reset`, at once. False if one had closed it before."""


class Link:
    """One direction of a connection. After `feed_end` nothing more is fed."""

    def __init__(
        self, ends: Ends, toxics: Iterable[ActiveToxic], tally: ProxyEvidence, timers: Timers, chance: random.Random
    ) -> None:
        self.tally = tally
        self.timers = timers
        self.chance = chance
        self.fed = False  # the sender has ended
        self.ended = False  # the receiver has been told, or is gone
        self._ends = ends
        self._intake: deque[tuple[float, bytes | End]] = deque()
        self._full = False  # the receiver's socket takes no more for now
        self._pumping = False
        self._closed_by: ActiveToxic | None = None  # from here on, what the sender says is lost
        self._stages = [ToxicStub(toxic, self) for toxic in toxics]
        self._rewire()
        for stage in self._stages:
            stage.begin(fresh=True)

    def feed(self, data: bytes) -> None:
        """Bytes from the sender."""
        if not self._stages and not self._intake and not self.ended and self._closed_by is None:
            self.tally.bytes_through += len(data)
            self._ends.write(data)
        elif self._closed_by is not None:
            self.lose(data)
        elif not self.ended:
            now = self.timers.now()
            self._intake.extend((now, data[at : at + _PIECE]) for at in range(0, len(data), _PIECE))
            self.pump()

    def feed_end(self, end: End) -> None:
        """The sender has ended."""
        if not self.fed:
            self.fed = True
            if self._closed_by is None and not self.ended:
                self._intake.append((self.timers.now(), end))
                self.pump()

    def pump(self) -> None:
        """Move from the intake what has room, and let the sender go on or wait accordingly."""
        if self._pumping:
            return
        self._pumping = True
        now = self.timers.now()
        while self._intake and not self._full and not any(stage.full for stage in self._stages):
            arrived, item = self._intake.popleft()
            if self._stages:
                self._stages[0].push(item, arrived, now)
            else:
                self.deliver(item)
        self._pumping = False
        self._ends.hold(bool(self._intake) or self._full)

    def receiver_full(self, full: bool) -> None:
        """Whether the receiver's socket takes no more for now."""
        self._full = full
        self.pump()

    def deliver(self, item: bytes | End) -> None:
        """What has gone through all toxics."""
        if self.ended:
            return
        if isinstance(item, bytes):
            self.tally.bytes_through += len(item)
            self._ends.write(item)
        else:
            self.ended = True
            self._ends.finish(item)

    def kill(self, *, swallowed: bool) -> None:
        """Nothing more can be delivered. `swallowed`: through our doing, so that what is lost counts."""
        self.ended = True
        self._full = False
        for stage in self._stages:
            stage.discard(by=stage.active, swallowed=swallowed)
        self._stages = []
        self._empty_intake(None, swallowed=swallowed)

    def add(self, toxic: ActiveToxic) -> None:
        """A toxic was added to the proxy, behind all others."""
        if not self.ended and self._closed_by is None:
            stage = ToxicStub(toxic, self)
            self._stages.append(stage)
            self._rewire()
            stage.begin(fresh=False)

    def change(self, toxic: ActiveToxic) -> None:
        """A toxic of the proxy has other attributes, or another toxicity."""
        for stage in self._stages:
            if stage.active is toxic:
                if not stage.change():
                    stage.close()
                break
        self.pump()

    def remove(self, toxic: ActiveToxic) -> None:
        """A toxic was removed from the proxy."""
        for stage in self._stages:
            if stage.active is toxic:
                if stage.leave():
                    self.without(stage)
                else:
                    stage.close()
                break
        self.pump()

    def without(self, stage: ToxicStub) -> None:
        """Take a stage that holds nothing out of the pipeline."""
        self._stages = [other for other in self._stages if other is not stage]
        self._rewire()

    def end_here(self, stage: ToxicStub) -> None:
        """A toxic closes the connection: what has not come so far is lost, and so is all that is fed from now on."""
        if self._closed_by is stage.active:
            return
        at = self._stages.index(stage)
        for earlier in self._stages[:at]:
            earlier.discard(by=stage.active, swallowed=True)
        self._stages = self._stages[at:]
        self._empty_intake(stage.active, swallowed=True)
        self._closed_by = stage.active
        stage.active.evidence.connections_cut += 1
        if self._ends.cut(reset=False):
            self.tally.connections_cut += 1

    def reset(self, toxic: ActiveToxic) -> None:
        """A toxic resets the connection."""
        toxic.evidence.connections_reset += 1
        if self._ends.cut(reset=True):
            self.tally.connections_reset += 1

    def lose(self, item: bytes | End) -> None:
        """A piece behind the place where a toxic has closed the connection."""
        if self._closed_by is not None and isinstance(item, bytes):
            self.count_swallowed(self._closed_by, len(item))

    def count_swallowed(self, toxic: ActiveToxic | None, count: int) -> None:
        self.tally.bytes_swallowed += count
        if toxic is not None:
            toxic.evidence.bytes_swallowed += count

    def _empty_intake(self, by: ActiveToxic | None, *, swallowed: bool) -> None:
        lost = sum(len(item) for _, item in self._intake if isinstance(item, bytes))
        self._intake.clear()
        if swallowed:
            self.count_swallowed(by, lost)

    def _rewire(self) -> None:
        for stage, following in pairwise(self._stages):
            stage.next = following
        if self._stages:
            self._stages[-1].next = None
