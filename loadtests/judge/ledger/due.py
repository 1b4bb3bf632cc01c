"""The frames that dashboards received, those that were due on each connection, and spans in which none came.

A frame is due on a connection that was subscribed from before the send until 2 s after the response to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from chatswarm.loadtests.history.tables import MembershipEvent

from .arrays import Bools, Floats, Indexes, Ints, Small, blocks, grouped, ints, joined, looked_up
from .deliveries import PlannedDeliveries
from .messages import SentMessages
from .observations import Observations

GRACE = 2.0
"""A frame may arrive up to this many seconds after the response to its send."""

SILENCE = 3.0
"""A subscribed connection is silent if no frame arrives for this many seconds while at least SILENT_FRAMES are due."""
SILENT_FRAMES = 5


@dataclass(frozen=True, slots=True)
class Silence:
    """A span in which frames were due on a connection and none arrived."""

    connection: int
    start: float
    end: float
    due: int


@dataclass(frozen=True, slots=True)
class Received:
    """The frames that announced a message to a dashboard of the scenario, by connection and then by time."""

    announcement: Small
    time: Floats
    edges: Ints  # where each connection's frames start, then the total

    def on(self, connection: int) -> slice:
        """The frames of one connection."""
        return slice(int(self.edges[connection]), int(self.edges[connection + 1]))

    @property
    def connection(self) -> Small:
        """Per frame: its connection."""
        return np.repeat(np.arange(len(self.edges) - 1, dtype=np.int32), np.diff(self.edges))


class Turn(NamedTuple):
    """One subscription of each of some seats, and what was due on these."""

    connections: Ints  # those that the subscriptions are on, each once, ascending
    connection_of: Ints  # per seat: the one that its subscription is on; -1: none
    chosen: Ints | None  # deliveries; None: all of them
    due: Bools  # for each of these: whether it was due


@dataclass(frozen=True, slots=True)
class Joined:
    """The subscriptions to rooms: one row for each time that a room was joined on a connection."""

    number: Ints  # in Due.connections
    seat: Ints  # see PlannedDeliveries.seat
    start: Floats
    end: Floats


@dataclass(frozen=True)
class Due:
    """The connections on which frames were due, and the deliveries they were due for.

    A seat is a dashboard, or where rooms are joined one by one, a dashboard in a room.
    """

    deliveries: PlannedDeliveries
    sent: Floats  # per message
    done: Floats
    counts: Bools  # per message: frames were due for it at all
    members: Bools | None  # per delivery: the dashboard was to be sent it; None: all were
    connections: Ints  # those that ever subscribed, ascending
    dashboard: Ints  # per connection
    start: Floats
    end: Floats  # no frame is due after this; -infinite where the history was cut
    until: Floats  # no frame can arrive after this
    joined: Joined | None = None  # None: a connection subscribes to everything at once

    @cached_property
    def messages(self) -> Ints:
        """Those that count, by when they were sent."""
        rows = np.flatnonzero(self.counts)
        return rows[np.argsort(self.sent[rows], kind="stable")]

    def rows(self, number: int) -> Ints:
        """Where the audience is everybody: the messages due on `connections[number]`."""
        sent, until = self._moments
        return ints(self.messages[(sent > self.start[number]) & (until <= self.end[number])])

    @cached_property
    def _moments(self) -> tuple[Floats, Floats]:
        """For each of the messages that count: when it was sent, and until when its frame may come."""
        return self.sent[self.messages], self.done[self.messages] + GRACE

    def messages_on(self, number: int) -> Ints:
        """The messages that may have been due on `connections[number]`, as far as its beginning and end go."""
        if self.members is None:
            return self.messages
        mine = self.deliveries.on(int(self.dashboard[number]))
        mine = mine[self.members[mine]]
        rows = self.deliveries.message[mine]
        due = self.counts[rows]
        if self.joined is not None:
            seats, inside = self.deliveries.seat[mine], np.zeros(len(mine), bool)
            for at in np.flatnonzero(self.joined.number == number).tolist():
                part = (seats == self.joined.seat[at]) & (self.sent[rows] > self.joined.start[at])
                inside |= part & (self.done[rows] + GRACE <= self.joined.end[at])
            due &= inside
        return ints(rows[due])

    def turns(self) -> Iterator[Turn]:
        """Each seat's first subscription, then each one's second, and so on."""
        joined, deliveries = self.joined, self.deliveries
        if joined is None:
            number, seat, start, end = np.arange(len(self.connections)), self.dashboard, self.start, self.end
            seats = deliveries.dashboards
        else:
            number, seat, start, end = joined.number, joined.seat, joined.start, joined.end
            seats = deliveries.seats
        turn_of = _nth(seat)
        for turn in range(int(turn_of.max(initial=-1)) + 1):
            rows = np.flatnonzero(turn_of == turn)
            starts, ends = np.full(seats, np.inf), np.full(seats, -np.inf)
            starts[seat[rows]], ends[seat[rows]] = start[rows], end[rows]
            connection_of = np.full(seats, -1, np.int64)
            connection_of[seat[rows]] = self.connections[number[rows]]
            # Choosing costs as much as looking at all of them.
            chosen = None
            if 4 * len(rows) < seats:
                chosen = deliveries.on_all(seat[rows]) if joined is None else deliveries.in_seats(seat[rows])
            connections = np.unique(self.connections[number[rows]])
            yield Turn(connections, connection_of, chosen, self._due(starts, ends, chosen))

    def _due(self, start: Floats, end: Floats, chosen: Ints | None) -> Bools:
        """`start` and `end` of a subscription per seat."""
        deliveries, until = self.deliveries, self.done + GRACE
        if chosen is None and self.joined is None:
            due = deliveries.pairwise(np.less, start, self.sent)
            due &= deliveries.pairwise(np.greater_equal, end, until)
            due &= deliveries.over(self.counts)
            return due if self.members is None else due & self.members
        due = np.empty(len(deliveries) if chosen is None else len(chosen), bool)
        for part in blocks(len(due)):
            some = part if chosen is None else chosen[part]
            message, seat = deliveries.message[some], self.seat_of(some)
            due[part] = (start.take(seat) < self.sent.take(message)) & (end.take(seat) >= until.take(message))
            due[part] &= self.counts.take(message)
            if self.members is not None:
                due[part] &= self.members[some]
        return due

    def seat_of(self, some: Indexes | slice) -> Indexes:
        """The seat of these deliveries."""
        return (self.deliveries.dashboard if self.joined is None else self.deliveries.seat)[some]


def _nth(seat: Ints) -> Ints:
    """Per row: how many rows of the same seat are before it."""
    order = np.argsort(seat, kind="stable")
    ordered = seat[order]
    out = np.empty(len(order), np.int64)
    out[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return out


def received_of(observations: Observations, dashboards: int, chats: Bools) -> Received:
    """The frames about the chats marked in `chats`."""
    frames, connections = observations.frames, observations.connections
    relevant = frames.from_customer & (frames.chat >= 0) & np.append(chats, False)[frames.chat]
    on = (connections.dashboard >= 0) & (connections.dashboard < dashboards)
    kept = looked_up(relevant, frames.announcement)
    kept &= looked_up(on, frames.connection)
    connection, announcement, time = frames.connection, frames.announcement, frames.time
    if not kept.all():
        connection, announcement, time = connection[kept], announcement[kept], time[kept]
    count = len(connections.dashboard)
    order, edges = grouped(connection, count)
    announcement, time = looked_up(announcement, order), looked_up(time, order)
    # Each process records its frames in order of arrival, so a second sort is rarely needed.
    backwards = np.flatnonzero(time[1:] < time[:-1]) + 1
    if len(np.setdiff1d(backwards, edges)):
        order = np.lexsort((time, np.repeat(np.arange(count), np.diff(edges))))
        announcement, time = announcement[order], time[order]
    return Received(announcement, time, edges)


def due_of(
    observations: Observations, messages: SentMessages, deliveries: PlannedDeliveries, counts: Bools,
    members: Bools | None, rooms: Ints | None = None,
) -> Due:  # fmt: skip
    """The connections that ever subscribed. `counts`, `members`: as in Due; `rooms`: per chat, if joined."""
    connections, joins = observations.connections, np.zeros(0, np.int64)
    start = connections.subscribed.copy()
    if rooms is not None and deliveries.rooms is not None:
        table = observations.memberships
        joins = np.flatnonzero((table.event == MembershipEvent.JOINED) & (table.connection >= 0) & (table.chat >= 0))
        np.fmin.at(start, table.connection[joins], table.time[joins])
    known = (connections.dashboard >= 0) & (connections.dashboard < deliveries.dashboards)
    subscribed = np.flatnonzero(~np.isnan(start) & known)
    whole = observations.whole[connections.process[subscribed]]
    due = Due(
        deliveries=deliveries,
        sent=messages.sent,
        done=messages.done,
        counts=counts & ~np.isnan(messages.done),
        members=members,
        connections=subscribed,
        dashboard=connections.dashboard[subscribed],
        start=start[subscribed],
        end=np.where(whole, connections.ended[subscribed], -np.inf),
        until=np.where(whole, connections.ended[subscribed], np.inf),
    )
    return due if rooms is None or not len(joins) else replace(due, joined=_joined(due, observations, joins, rooms))


def _joined(due: Due, observations: Observations, joins: Ints, rooms: Ints) -> Joined:
    """`joins`: rows of the memberships. A subscription ends when it is left or begins again, or with its connection."""
    table = observations.memberships
    numbers = np.full(len(observations.connections.dashboard), -1, np.int64)
    numbers[due.connections] = np.arange(len(due.connections))
    marks = np.flatnonzero(
        np.isin(table.event, (MembershipEvent.JOINED, MembershipEvent.LEFT)) & (table.connection >= 0)
    )
    marks = marks[np.lexsort((table.time[marks], table.chat[marks], table.connection[marks]))]
    follows = np.zeros(len(marks), bool)
    follows[:-1] = (np.diff(table.connection[marks]) == 0) & (np.diff(table.chat[marks]) == 0)
    until = np.where(follows, np.append(table.time[marks][1:], np.inf), np.inf)
    mine = np.flatnonzero(np.isin(marks, joins))
    rows, until = marks[mine], until[mine]
    number = numbers[table.connection[rows]]
    seat = due.deliveries.seats_of(rooms[table.chat[rows]], table.dashboard[rows])
    kept = (number >= 0) & (seat >= 0)
    number, seat, until, rows = number[kept], seat[kept], until[kept], rows[kept]
    return Joined(number, seat, table.time[rows], np.minimum(until, due.end[number]))


class _Quiet(NamedTuple):
    """Spans on connections without a frame, of at least SILENCE."""

    number: Ints  # in Due.connections
    start: Floats
    end: Floats


def _quiet_of(due: Due, received: Received) -> _Quiet:
    open_ones = np.flatnonzero(due.end >= due.start)
    begin, after = received.edges[due.connections], received.edges[due.connections + 1]
    heard = open_ones[after[open_ones] > begin[open_ones]]
    deaf = open_ones[after[open_ones] == begin[open_ones]]
    within = joined(
        [
            np.flatnonzero(np.diff(received.time[part.start : part.stop + 1]) >= SILENCE) + part.start
            for part in blocks(len(received.time))
        ]
    )
    number = np.full(len(received.edges), -1, np.int64)
    number[due.connections[open_ones]] = open_ones
    owner = np.searchsorted(received.edges, within, side="right") - 1
    inside = (within + 1 < received.edges[owner + 1]) & (number[owner] >= 0)
    within, owner = within[inside], owner[inside]
    numbers = np.concatenate([deaf, heard, heard, number[owner]])
    first, last = received.time[begin[heard]], received.time[after[heard] - 1]
    start = np.concatenate([due.start[deaf], due.start[heard], last, received.time[within]])
    end = np.concatenate([due.end[deaf], first, due.end[heard], received.time[within + 1]])
    long = np.flatnonzero(end - start >= SILENCE)
    long = long[np.lexsort((start[long], numbers[long]))]
    return _Quiet(numbers[long], start[long], end[long])


def silences_of(due: Due, received: Received) -> list[Silence]:
    """Spans of at least 3 s in which no frame arrived on a subscribed connection and at least 5 were due."""
    quiet = _quiet_of(due, received)
    silences: list[Silence] = []
    for at in _suspect(due, quiet).tolist():
        number, start, end = int(quiet.number[at]), quiet.start[at], quiet.end[at]
        rows = due.messages_on(number)
        rows = rows[(due.sent[rows] > start) & (due.done[rows] <= end - GRACE)]
        if len(rows) >= SILENT_FRAMES and end - due.done[rows].min() >= SILENCE:
            silences.append(Silence(int(due.connections[number]), float(start), float(end), len(rows)))
    return silences


def _suspect(due: Due, quiet: _Quiet) -> Ints:
    """The spans in which enough frames were due, if only their responses are looked at.

    A frame is due between the response and the end of the grace. The span starts with the first response.
    """
    rows = due.messages[np.argsort(due.done[due.messages], kind="stable")]
    done = due.done[rows]
    first = np.searchsorted(done, quiet.start, side="right")
    last = np.searchsorted(done, quiet.end - GRACE, side="right")
    earliest = np.append(done, np.inf)[first]
    spans = np.flatnonzero((last - first >= SILENT_FRAMES) & (quiet.end - earliest >= SILENCE))
    if due.members is None or not len(spans):
        return spans
    # The same among the messages of each span's dashboard: by dashboard, then by rank of the response.
    rank = np.full(len(due.counts), -1, np.int64)
    rank[rows] = np.arange(len(rows))
    mine = np.flatnonzero(due.members & due.deliveries.over(due.counts))
    size = len(rows) + 1
    keys = np.sort(due.deliveries.dashboard[mine] * size + rank[due.deliveries.message[mine]])
    base = due.dashboard[quiet.number[spans]] * size
    begin, after = np.searchsorted(keys, base + first[spans]), np.searchsorted(keys, base + last[spans])
    enough = after - begin >= SILENT_FRAMES
    spans, earliest = spans[enough], done[keys[begin[enough]] % size]
    return ints(spans[quiet.end[spans] - earliest >= SILENCE])
