"""The deliveries of a run, one entry each: which message, and which dashboard may show it.

Everything that is known per delivery is a flat array over these entries, so its size follows the deliveries, and not
messages × dashboards.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from .arrays import Bools, Floats, Indexes, Ints, Small, blocks, grouped, ints, kind_below, ranges

_Any = TypeVar("_Any", bound=np.generic)


@dataclass(frozen=True, slots=True)
class EverMembers:
    """Which dashboards are ever members of each room, by room and then by dashboard, and each message's room."""

    room: Ints  # per message; -1: none
    first: Ints  # where each room's members start, then the total
    dashboard: Small


@dataclass(frozen=True)
class PlannedDeliveries:
    """The deliveries by message and then by dashboard: one for each dashboard that is ever in the message's audience.

    If all messages have equally many, arrays over deliveries are reshaped to rows of that width; this copies nothing.
    """

    first: Ints  # where each message's deliveries start, then the total
    dashboards: int
    rooms: EverMembers | None = None  # None: each message has all dashboards

    def __len__(self) -> int:
        return int(self.first[-1])

    @property
    def messages(self) -> int:
        """How many messages there are."""
        return len(self.first) - 1

    @cached_property
    def counts(self) -> Ints:
        """Per message: how many deliveries it has."""
        return np.diff(self.first)

    @cached_property
    def width(self) -> int:
        """How many deliveries each message has; 0 if that differs, or if there are none."""
        if self.rooms is None:
            return self.dashboards
        few, many = (int(self.counts.min()), int(self.counts.max())) if self.messages else (0, 0)
        return many if few == many else 0

    @cached_property
    def message(self) -> Small:
        """Per delivery: its message."""
        return np.repeat(np.arange(self.messages, dtype=np.int32), self.width or self.counts)

    @cached_property
    def seat(self) -> Ints:
        """Per delivery: its pair of a room and an ever member: the place of its membership. Only with rooms."""
        assert self.rooms is not None
        # A message without a room has no members.
        return ranges(self.rooms.first[self.rooms.room], self.counts)

    @cached_property
    def dashboard(self) -> Small:
        """Per delivery: its dashboard."""
        if self.rooms is None:
            return np.tile(np.arange(self.dashboards, dtype=np.int32), self.messages)
        return self.rooms.dashboard[self.seat]

    def parts(self) -> Iterator[tuple[slice, slice]]:
        """All messages, a part at a time, with their deliveries."""
        for part in blocks(self.messages, int(self.counts.max(initial=1))):
            yield part, slice(int(self.first[part.start]), int(self.first[part.stop]))

    def over(self, values: npt.NDArray[_Any]) -> npt.NDArray[_Any]:
        """Spreads a value per message over its deliveries."""
        return np.repeat(values, self.width or self.counts)

    def at_home(self, values: npt.NDArray[_Any]) -> npt.NDArray[_Any]:
        """Spreads a value per dashboard over its deliveries."""
        return np.tile(values, self.messages) if self.rooms is None else values[self.dashboard]

    def apply(
        self, operation: np.ufunc, values: npt.NDArray[_Any], per_message: npt.NDArray[np.generic]
    ) -> npt.NDArray:  # type: ignore[type-arg]
        """The operation on a value per delivery and a value per message."""
        if self.width:
            return np.asarray(operation(values.reshape(-1, self.width), per_message[:, None])).ravel()
        return np.asarray(operation(values, self.over(per_message)))

    def pairwise(
        self, operation: np.ufunc, per_dashboard: npt.NDArray[np.generic], per_message: npt.NDArray[np.generic]
    ) -> npt.NDArray:  # type: ignore[type-arg]
        """The operation on a value of each delivery's dashboard and one of its message."""
        if self.rooms is None:
            return np.asarray(operation(per_dashboard, per_message[:, None])).ravel()
        return np.asarray(operation(per_dashboard[self.dashboard], self.over(per_message)))

    def less(self, values: Floats, per_message: Floats) -> Floats:
        """A value per delivery minus a value per message: how much later it was."""
        return self.apply(np.subtract, values, per_message)

    def any(self, values: Bools) -> Bools:
        """Per message: whether it holds for any of its deliveries."""
        return np.asarray(self._reduced(np.logical_or, values, False), bool)

    def sum(self, values: Bools) -> Ints:
        """Per message: for how many of its deliveries it holds."""
        if self.width:
            return ints(values.reshape(-1, self.width).sum(axis=1))
        return ints(self._reduced(np.add, ints(values), 0))

    def min(self, values: Floats) -> Floats:
        """Per message: the least; infinite if it has no deliveries."""
        return np.asarray(self._reduced(np.minimum, values, np.inf), np.float64)

    def _reduced(self, operation: np.ufunc, values: npt.NDArray[_Any], empty: float | bool) -> npt.NDArray[_Any]:
        if self.width:
            return np.asarray(operation.reduce(values.reshape(-1, self.width), axis=1))
        out = np.full(self.messages, empty, values.dtype)
        some = np.flatnonzero(self.counts)
        if len(some):
            out[some] = operation.reduceat(values, self.first[some])
        return out

    def of(self, messages: Ints) -> Ints:
        """The deliveries of these messages, in their order."""
        if self.width:
            return (messages[:, None] * self.width + np.arange(self.width)).ravel()
        return ranges(self.first[messages], self.counts[messages])

    def on(self, dashboard: int) -> Indexes:
        """The deliveries on this dashboard."""
        if self.rooms is None:
            return np.arange(self.messages) * self.dashboards + dashboard
        by_dashboard, edges = self._by_dashboard
        return by_dashboard[edges[dashboard] : edges[dashboard + 1]]

    def on_all(self, dashboards: Ints) -> Indexes:
        """The deliveries on these dashboards, each of which is named once."""
        if self.rooms is None:
            return (np.arange(self.messages)[:, None] * self.dashboards + dashboards).ravel()
        by_dashboard, edges = self._by_dashboard
        return by_dashboard[ranges(edges[dashboards], edges[dashboards + 1] - edges[dashboards])]

    @property
    def seats(self) -> int:
        """How many pairs of a room and an ever member there are."""
        return 0 if self.rooms is None else len(self.rooms.dashboard)

    def in_seats(self, seats: Ints) -> Ints:
        """The deliveries of these pairs, each of which is named once."""
        wanted = np.zeros(self.seats + 1, bool)
        wanted[seats] = True
        return np.flatnonzero(wanted[self.seat])

    @cached_property
    def _by_dashboard(self) -> tuple[Indexes, Ints]:
        """The deliveries by dashboard and then by message, and where those of each dashboard start."""
        return grouped(self.dashboard, self.dashboards)

    def find(self, messages: Indexes, dashboards: Indexes) -> Indexes:
        """The delivery of each message on each dashboard, or -1. Both may be -1."""
        out = np.empty(len(messages), kind_below(len(self)))
        first = self.first[:-1]
        room = np.full(1, -1) if self.rooms is None else np.append(self.rooms.room, -1)
        # What to add to the dashboard, or where rooms have members, to its seat; the last place is for no message.
        base = np.append(first if self.rooms is None else first - self.rooms.first[self.rooms.room], 0)
        for part in blocks(len(out)):
            message, seat = messages[part], dashboards[part]
            known = (message >= 0) & (seat >= 0) & (seat < self.dashboards)
            if self.rooms is not None:
                seat = self.seats_of(room.take(message), ints(seat))
                known &= seat >= 0
            out[part] = np.where(known, base.take(message) + seat, -1)
        return out

    @cached_property
    def _keys(self) -> Ints:
        """One integer per room and dashboard, ascending."""
        assert self.rooms is not None
        room = np.repeat(np.arange(len(self.rooms.first) - 1), np.diff(self.rooms.first))
        return ints(room * self.dashboards + self.rooms.dashboard)

    def seats_of(self, rooms: Ints, dashboards: Ints) -> Ints:
        """The pair of each room and dashboard, or -1. Both may be -1."""
        keys = self._keys
        if not len(keys):
            return np.full(len(rooms), -1, np.int64)
        wanted = rooms * self.dashboards + dashboards
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        known = (rooms >= 0) & (dashboards >= 0) & (dashboards < self.dashboards)
        return np.where(known & (keys.take(at) == wanted), at, -1)

    def find_one(self, message: int, dashboard: int) -> int:
        """The delivery of a message on a dashboard, or -1."""
        return int(self.find(np.array([message]), np.array([dashboard]))[0])


def to_everybody(messages: int, dashboards: int) -> PlannedDeliveries:
    """Each message to each dashboard."""
    return PlannedDeliveries(np.arange(messages + 1, dtype=np.int64) * dashboards, dashboards)


def to_members(rooms: EverMembers, dashboards: int) -> PlannedDeliveries:
    """Each message to the members of its room."""
    counts = np.append(np.diff(rooms.first), 0)[rooms.room]
    return PlannedDeliveries(ints(np.concatenate([[0], np.cumsum(counts)])), dashboards, rooms)
