"""The rooms of a scenario: who is a member of which, and when. A function of the seed, so every process agrees on it.

Times are seconds after the start; a membership from the beginning starts at -infinity, and one to the end stops at
infinity.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Senders = Literal["widgets", "members"]
"""Who sends: widgets, each into one room, or the first members themselves, each into its own rooms."""

UNSETTLED = 2.0
"""Seconds around the start or stop of a membership in which nobody can say whether its dashboard must show a message:
the change takes that long to reach the target and the dashboard, at most."""

_Numbers = npt.NDArray[np.integer]
_Span = tuple[float, float]
_ALWAYS: _Span = (-np.inf, np.inf)


class MembersError(ValueError):
    """Lists of members that make no rooms. `problems` holds all reasons, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """A moment at which dashboards join rooms and others leave theirs."""

    at: float
    join: int  # memberships that begin
    leave: int  # memberships that end


@dataclass(frozen=True, slots=True)
class Rooms:
    """How many rooms there are, and how many dashboards are members of each; None: all of them."""

    count: int
    members: int | None = None
    senders: Senders = "widgets"
    changes: tuple[MembershipChange, ...] = ()
    fixed: tuple[tuple[str, tuple[int, ...]], ...] | None = None
    """Rooms that exist at the target: their ids and the dashboards that are members of each, which are not drawn."""

    def of_sender(self, sender: int, n: int, memberships: "Memberships") -> int:
        """The room that a sender's `n`-th message goes to; -1 if it is a member of none for the whole run.

        Members send into their rooms in turn; a widget sends into one room only.
        """
        if self.senders == "widgets":
            return sender % self.count
        own = memberships.throughout(sender)
        return own[n % len(own)] if own else -1

    def kept(self, senders: int) -> int:
        """How many dashboards, from number 0, never leave a room, because they send."""
        return senders if self.senders == "members" else 0

    def one_for_each(self, dashboards: int) -> bool:
        """Whether each of that many dashboards is a member of exactly one room from the beginning."""
        if self.fixed is not None:
            return sorted(number for _, inside in self.fixed for number in inside) == list(range(dashboards))
        return self.count * (dashboards if self.members is None else self.members) == dashboards

    def problems(self, dashboards: int, senders: int) -> list[str]:
        """Why the rooms or their changes cannot be made with that many dashboards and senders; empty if they can.

        Expects at most as many members as dashboards, and with senders that are members, at most as many senders.
        """
        if self.fixed is not None:
            return self._problems_with_fixed(dashboards, senders)
        places = self.count * (dashboards if self.members is None else self.members)
        kept = self.kept(senders)
        if places < kept:
            return [f"expected at least {kept} memberships (count × members), one for each sender, got {places}"]
        # As `_deal` does it: everybody has the same number of rooms, and the first ones may have one more.
        share, more = divmod(places, dashboards)
        can_leave = places - kept * share - min(kept, more)
        free = self.count * dashboards - places
        found = []
        for change in sorted(self.changes, key=lambda each: each.at):
            if change.leave > can_leave:
                found.append(_cannot_leave(change, can_leave))
            if change.join > free:
                found.append(_cannot_join(change, free))
            can_leave, free = max(0, can_leave - change.leave), max(0, free - change.join)
        return found

    def _problems_with_fixed(self, dashboards: int, senders: int) -> list[str]:
        found = []
        known: set[int] = set()
        for room, inside in self.fixed or ():
            known.update(inside)
            if wrong := [number for number in inside if not 0 <= number < dashboards]:
                found.append(f"fixed: room {room!r}: expected dashboards from 0 to {dashboards - 1}, got {wrong[0]}")
            elif len(set(inside)) < len(inside):
                found.append(f"fixed: room {room!r}: expected each dashboard once, got one of them twice")
        if idle := [number for number in range(self.kept(senders)) if number not in known]:
            found.append(f"fixed: expected a room for each member who sends, got none for dashboard {idle[0]}")
        if self.changes:
            found.append(f"change: expected none, because the members are fixed, got {len(self.changes)}")
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Memberships:
    """Every membership, by room, then by dashboard. No dashboard has two memberships in one room."""

    rooms: int
    room: npt.NDArray[np.int32]
    dashboard: npt.NDArray[np.int32]
    start: npt.NDArray[np.float64]
    stop: npt.NDArray[np.float64]
    edges: npt.NDArray[np.int64] = field(init=False)
    """The memberships of room r are those from `edges[r]` to `edges[r + 1]`."""
    change: bool = field(init=False)
    """Whether any membership begins or ends in the middle of the run."""
    _keys: npt.NDArray[np.int64] = field(init=False)
    _width: int = field(init=False)
    _of_dashboard: npt.NDArray[np.int64] = field(init=False)  # by dashboard, then by room
    _dashboard_edges: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        width = int(self.dashboard.max(initial=-1)) + 1
        order = np.argsort(self.dashboard, kind="stable")
        for name, value in {
            "edges": np.searchsorted(self.room, np.arange(self.rooms + 1)),
            "change": bool(np.isfinite(self.start).any() or np.isfinite(self.stop).any()),
            "_keys": self.room.astype(np.int64) * width + self.dashboard,
            "_width": width,
            "_of_dashboard": order,
            "_dashboard_edges": np.searchsorted(self.dashboard[order], np.arange(width + 1)),
        }.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.room)

    def of_dashboard(self, dashboard: int) -> list[tuple[int, float, float]]:
        """A dashboard's rooms, each with the start and stop of its membership."""
        if not 0 <= dashboard < self._width:
            return []
        mine = self._of_dashboard[self._dashboard_edges[dashboard] : self._dashboard_edges[dashboard + 1]]
        return list(zip(self.room[mine].tolist(), self.start[mine].tolist(), self.stop[mine].tolist(), strict=True))

    def throughout(self, dashboard: int) -> list[int]:
        """The rooms of which a dashboard is a member for the whole run."""
        return [room for room, *span in self.of_dashboard(dashboard) if tuple(span) == _ALWAYS]

    def at_start(self, room: int) -> list[int]:
        """The dashboards that are members of a room from the beginning."""
        mine = slice(self.edges[room], self.edges[room + 1])
        return [int(dashboard) for dashboard in self.dashboard[mine][self.start[mine] == -np.inf]]

    def place(self, room: _Numbers, dashboard: _Numbers) -> npt.NDArray[np.int64]:
        """For each pair, its place among the memberships; -1 where the dashboard is never a member of the room."""
        if not len(self._keys):
            return np.full(len(room), -1, np.int64)
        keys = room * np.int64(self._width) + dashboard
        found = np.searchsorted(self._keys, keys)
        found[found == len(self._keys)] = 0
        known = (self._keys[found] == keys) & (dashboard >= 0) & (dashboard < self._width)
        return np.where(known, found, -1)

    def must_show(self, place: _Numbers, at: npt.NDArray[np.float64] | float, within: float) -> npt.NDArray[np.bool_]:
        """Per membership at these places: whether its dashboard must show a message of the room that is intended at
        `at`, if it has `within` seconds to do so.
        """
        start, stop = self.start[place], self.stop[place]
        settled: npt.NDArray[np.bool_] = (start + UNSETTLED <= at) & (at <= stop - UNSETTLED - within)
        return settled

    def audience(self, room: int, at: float, within: float) -> npt.NDArray[np.int32]:
        """The dashboards that must show a message of this room: see `must_show`."""
        mine = np.arange(self.edges[room], self.edges[room + 1])
        return self.dashboard[mine[self.must_show(mine, at, within)]]


def memberships_of(rooms: Rooms, dashboards: int, seed: int, senders: int) -> Memberships:
    """Draws the members of each room, and the memberships that begin or end at each change.

    Each dashboard is a member of as many rooms as any other, or of one less. `senders`: with senders that are members,
    these first dashboards have a room if there are enough places, and their memberships never end. Raises ValueError if
    a change cannot be made.
    """
    draw = random.Random(f"chatswarm {seed} rooms")
    if rooms.fixed is not None:
        members = [sorted(inside) for _, inside in rooms.fixed]
    else:
        members = _deal(draw, rooms.count, dashboards if rooms.members is None else rooms.members, dashboards)
    spans = {(room, dashboard): _ALWAYS for room, inside in enumerate(members) for dashboard in inside}
    changed: set[tuple[int, int]] = set()
    for change in sorted(rooms.changes, key=lambda each: each.at):
        _end_some(draw, change, spans, changed, rooms.kept(senders))
        _begin_some(draw, change, spans, changed, rooms.count, dashboards)
    return of_rows(rooms.count, [(*key, *span) for key, span in spans.items()])


def members_by_name(rooms: Mapping[str, Collection[str]], users: Sequence[str]) -> list[list[int]]:
    """The members of each room, in the order of `rooms`, as the numbers of dashboards: `users` names the users of the
    dashboards from number 0. Raises MembersError.
    """
    numbers = {name: number for number, name in enumerate(users)}
    problems = [] if rooms else ["rooms: expected at least one, got none"]
    if len(numbers) < len(users):
        twice = next(name for number, name in enumerate(users) if numbers[name] != number)
        problems.append(f"users: expected each user once, got {twice!r} twice")
    found = []
    for room, inside in rooms.items():
        unknown = [name for name in inside if name not in numbers]
        if unknown:
            others = f" and {len(unknown) - 1} others" if len(unknown) > 1 else ""
            problems.append(f"room {room!r}: expected members who are users of dashboards, got {unknown[0]!r}{others}")
        elif len(set(inside)) < len(inside):
            problems.append(f"room {room!r}: expected each member once, got {len(inside) - len(set(inside))} twice")
        found.append(sorted(numbers.get(name, -1) for name in inside))
    if problems:
        raise MembersError(problems)
    return found


def of_rows(rooms: int, rows: Sequence[tuple[int, int, float, float]]) -> Memberships:
    """Memberships from (room, dashboard, start, stop), in any order."""
    ordered = sorted(rows)
    room, dashboard, start, stop = zip(*ordered, strict=True) if ordered else ((), (), (), ())
    return Memberships(
        rooms=rooms,
        room=np.array(room, np.int32),
        dashboard=np.array(dashboard, np.int32),
        start=np.array(start, np.float64),
        stop=np.array(stop, np.float64),
    )


def _deal(draw: random.Random, rooms: int, size: int, dashboards: int) -> list[list[int]]:
    """Rooms of `size` different dashboards. The places that are left over go to the first dashboards."""
    deck = draw.sample(range(rest := rooms * size % dashboards), rest)
    dealt = []
    for _ in range(rooms):
        inside, deck = deck[:size], deck[size:]
        if missing := size - len(inside):
            # The next deck has everybody. Those who are in this room already stay in it for the rooms to come.
            fresh = draw.sample(range(dashboards), dashboards)
            already = set(inside)
            inside += [dashboard for dashboard in fresh if dashboard not in already][:missing]
            chosen = set(inside) - already
            deck = [dashboard for dashboard in fresh if dashboard not in chosen]
        dealt.append(sorted(inside))
    return dealt


def _end_some(
    draw: random.Random, change: MembershipChange, spans: dict[tuple[int, int], _Span],
    changed: set[tuple[int, int]], kept: int,
) -> None:  # fmt: skip
    """Ends memberships that do not change otherwise, of dashboards other than the first `kept`."""
    can_leave = sorted(key for key in spans if key not in changed and key[1] >= kept) if change.leave else []
    if change.leave > len(can_leave):
        raise ValueError(_cannot_leave(change, len(can_leave)))
    for key in draw.sample(can_leave, change.leave):
        spans[key] = (-np.inf, change.at)
        changed.add(key)


def _begin_some(
    draw: random.Random, change: MembershipChange, spans: dict[tuple[int, int], _Span],
    changed: set[tuple[int, int]], rooms: int, dashboards: int,
) -> None:  # fmt: skip
    """Begins memberships where there has never been one."""
    pairs = rooms * dashboards
    if change.join > (free := pairs - len(spans)):
        raise ValueError(_cannot_join(change, free))
    new: set[tuple[int, int]] = set()
    if 2 * (free - change.join) > pairs:
        # Most pairs are free, so this ends soon, and nobody has to list the free ones.
        while len(new) < change.join:
            if (key := divmod(draw.randrange(pairs), dashboards)) not in spans:
                new.add(key)
    elif change.join:
        every = (divmod(number, dashboards) for number in range(pairs))
        new.update(draw.sample([key for key in every if key not in spans], change.join))
    spans.update(dict.fromkeys(new, (change.at, np.inf)))
    changed |= new


def _cannot_leave(change: MembershipChange, can_leave: int) -> str:
    return (
        f"the change at {change.at:g}s: expected at most {can_leave} memberships to end (each changes only once, and "
        f"those of senders never), got {change.leave}"
    )


def _cannot_join(change: MembershipChange, free: int) -> str:
    return (
        f"the change at {change.at:g}s: expected at most {free} memberships to begin, the free pairs of a room and a "
        f"dashboard, got {change.join}"
    )
