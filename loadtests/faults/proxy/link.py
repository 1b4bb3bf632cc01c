"""The pipeline in one direction of a connection: from one socket through the toxics into the other.

    socket ─► intake ─► stub ─► stub ─► socket
                        (oldest) (newest toxic)

Without toxics, bytes go straight from socket to socket. What waits is bounded: each stub's capacity plus one piece, and
one read in the intake. Nothing more is read until the intake is empty.
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

_PIECE = 16 << 10  # bytes that toxics get at a time, so that one read cannot fill a stub far beyond its capacity


class Endpoints(Protocol):
    """The two sockets of a connection, as one of its pipelines sees them."""

    def write(self, data: bytes) -> None:
        """Write bytes to the receiver's socket."""

    def finish(self, end: End) -> None:
        """After all bytes have been written: pass on the sender's HALF or RESET, or CLOSE the connection."""

    def pause(self, paused: bool) -> None:
        """Stop or resume reading from the sender."""

    def cut(self, *, reset: bool) -> bool:
        """A toxic closes the connection, with `reset` at once. False if one had already closed it."""


class Link:
    """One direction of a connection. After `feed_end` nothing more is fed."""

    def __init__(
        self,
        endpoints: Endpoints,
        toxics: Iterable[ActiveToxic],
        proxy_evidence: ProxyEvidence,
        timers: Timers,
        rng: random.Random,
    ) -> None:
        self.proxy_evidence = proxy_evidence
        self.timers = timers
        self.rng = rng
        self.sender_ended = False  # the sender has ended
        self.ended = False  # the end has reached the receiver, or the receiver is gone
        self._endpoints = endpoints
        self._intake: deque[tuple[float, bytes | End]] = deque()
        self._receiver_full = False  # whether the receiver's socket accepts no more for now
        self._pumping = False
        self._closed_by: ActiveToxic | None = None  # whatever the sender still sends is lost
        self._stubs = [ToxicStub(toxic, self) for toxic in toxics]
        self._rewire()
        for stub in self._stubs:
            stub.begin(fresh=True)

    def feed(self, data: bytes) -> None:
        """Take bytes from the sender."""
        if not self._stubs and not self._intake and not self.ended and self._closed_by is None:
            self.proxy_evidence.bytes_through += len(data)
            self._endpoints.write(data)
        elif self._closed_by is not None:
            self.drop(data)
        elif not self.ended:
            now = self.timers.now()
            self._intake.extend((now, data[at : at + _PIECE]) for at in range(0, len(data), _PIECE))
            self.pump()

    def feed_end(self, end: End) -> None:
        """The sender has ended."""
        if not self.sender_ended:
            self.sender_ended = True
            if self._closed_by is None and not self.ended:
                self._intake.append((self.timers.now(), end))
                self.pump()

    def pump(self) -> None:
        """Move pieces from the intake into the stubs while they have capacity, then resume or pause the sender."""
        if self._pumping:
            return
        self._pumping = True
        now = self.timers.now()
        while self._intake and not self._receiver_full and not any(stub.full for stub in self._stubs):
            arrived, item = self._intake.popleft()
            if self._stubs:
                self._stubs[0].push(item, arrived, now)
            else:
                self.deliver(item)
        self._pumping = False
        self._endpoints.pause(bool(self._intake) or self._receiver_full)

    def receiver_full(self, full: bool) -> None:
        """The receiver's socket accepts no more for now, or accepts data again."""
        self._receiver_full = full
        self.pump()

    def deliver(self, item: bytes | End) -> None:
        """Hand a piece that has passed all toxics to the receiver."""
        if self.ended:
            return
        if isinstance(item, bytes):
            self.proxy_evidence.bytes_through += len(item)
            self._endpoints.write(item)
        else:
            self.ended = True
            self._endpoints.finish(item)

    def abort(self, *, swallowed: bool) -> None:
        """Stop delivering. `swallowed`: the proxy is the cause, so lost bytes count as swallowed."""
        self.ended = True
        self._receiver_full = False
        for stub in self._stubs:
            stub.discard(by=stub.active, swallowed=swallowed)
        self._stubs = []
        self._empty_intake(None, swallowed=swallowed)

    def add(self, toxic: ActiveToxic) -> None:
        """A toxic was added to the proxy, after all others."""
        if not self.ended and self._closed_by is None:
            stub = ToxicStub(toxic, self)
            self._stubs.append(stub)
            self._rewire()
            stub.begin(fresh=False)

    def change(self, toxic: ActiveToxic) -> None:
        """A toxic's attributes or toxicity have changed."""
        for stub in self._stubs:
            if stub.active is toxic:
                if not stub.change():
                    stub.close()
                break
        self.pump()

    def remove(self, toxic: ActiveToxic) -> None:
        """A toxic was removed from the proxy."""
        for stub in self._stubs:
            if stub.active is toxic:
                if stub.detach():
                    self.remove_stub(stub)
                else:
                    stub.close()
                break
        self.pump()

    def remove_stub(self, stub: ToxicStub) -> None:
        """Take an empty stub out of the pipeline."""
        self._stubs = [other for other in self._stubs if other is not stub]
        self._rewire()

    def close_at(self, stub: ToxicStub) -> None:
        """A toxic closes the connection at `stub`: what has not reached it is lost, and so is everything fed later."""
        if self._closed_by is stub.active:
            return
        at = self._stubs.index(stub)
        for earlier in self._stubs[:at]:
            earlier.discard(by=stub.active, swallowed=True)
        self._stubs = self._stubs[at:]
        self._empty_intake(stub.active, swallowed=True)
        self._closed_by = stub.active
        stub.active.evidence.connections_cut += 1
        if self._endpoints.cut(reset=False):
            self.proxy_evidence.connections_cut += 1

    def reset(self, toxic: ActiveToxic) -> None:
        """A toxic resets the connection."""
        toxic.evidence.connections_reset += 1
        if self._endpoints.cut(reset=True):
            self.proxy_evidence.connections_reset += 1

    def drop(self, item: bytes | End) -> None:
        """Drop a piece that comes after a toxic has closed the connection."""
        if self._closed_by is not None and isinstance(item, bytes):
            self.count_swallowed(self._closed_by, len(item))

    def count_swallowed(self, toxic: ActiveToxic | None, count: int) -> None:
        self.proxy_evidence.bytes_swallowed += count
        if toxic is not None:
            toxic.evidence.bytes_swallowed += count

    def _empty_intake(self, by: ActiveToxic | None, *, swallowed: bool) -> None:
        lost = sum(len(item) for _, item in self._intake if isinstance(item, bytes))
        self._intake.clear()
        if swallowed:
            self.count_swallowed(by, lost)

    def _rewire(self) -> None:
        for stub, next_stub in pairwise(self._stubs):
            stub.next = next_stub
        if self._stubs:
            self._stubs[-1].next = None
