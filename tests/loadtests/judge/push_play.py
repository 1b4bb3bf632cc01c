"""A chat that pushes texts to the members of rooms, acted out on paper like `Play`.

Widget w sends into room w modulo the number of rooms. A message is accepted 10 ms after it was sent, and its frame is
there after 20 ms, except as a test plants.
"""

from dataclasses import dataclass, field
from typing import Any

from chatswarm.loadtests.history.tables import ConnectionEvent, MembershipEvent, Sighting
from chatswarm.loadtests.judge.judge import judge
from chatswarm.loadtests.judge.ledger import Ledger, build, merge_histories
from chatswarm.loadtests.judge.verdict import Verdict
from chatswarm.loadtests.messages.identity import Condition
from chatswarm.loadtests.protocols.promises import Promises
from chatswarm.loadtests.scenario.rooms import memberships_of

from .play import ACCEPTED, INTACT, REJECTED, T0, UNKNOWN, Play, Stored

PUSH = Promises(visible="frame", accepted_by="ack", has_rooms=True, has_members=True, replays_once=True)
LIVE, REPLAYED, READ = Sighting.LIVE, Sighting.REPLAYED, Sighting.READ


@dataclass(frozen=True)
class PushPlant:
    """What goes otherwise with one message."""

    outcome: int = ACCEPTED
    stored: int = 1  # how many copies
    condition: Condition = INTACT  # of the stored text
    announced: Condition | None = None  # of the announced one; None: as stored
    unseen_by: frozenset[int] | set[int] = frozenset()
    slow: float = 0.0  # the frames come so much later


@dataclass
class PushPlay(Play):
    """The stage. `members` of each room are drawn as in a real run; None: everybody is a member of every room."""

    dashboards: int = 4
    room_count: int = 2
    members: int | None = 2
    changes: list[dict[str, Any]] = field(default_factory=list)
    promises: Promises = PUSH
    push_plants: dict[tuple[int, int], PushPlant] = field(default_factory=dict)
    offline: dict[int, tuple[float, float]] = field(default_factory=dict)  # dashboards that are cut off: from, until
    final_rooms: set[int] | None = None  # those that are read at the end; None: all of them
    in_turn: bool = False  # sender 0 sends into all rooms in turn, and the others into room 0; else each into one

    fixed: dict[str, list[int]] | None = None  # rooms that exist already, with their members
    answered: bool = True  # the target makes the changes of memberships when they are planned, and says so

    def __post_init__(self) -> None:
        super().__post_init__()
        self.manifest.promises = self.promises
        self.rooms = {"count": self.room_count}
        if self.members is not None:
            self.rooms["members"] = self.members
        if self.changes:
            self.rooms["change"] = self.changes
        if self.fixed is not None:
            self.rooms = {"fixed": self.fixed}
        self.store = {room: [] for room in range(self.room_count)}

    def spans(self, room: int) -> dict[int, tuple[float, float]]:
        """The members of a room, and from when until when, in seconds after the start."""
        scenario = self.scenario
        assert scenario.rooms is not None
        drawn = memberships_of(scenario.rooms, self.dashboards, self.manifest.seed, self.widgets)
        rows = zip(
            drawn.room.tolist(), drawn.dashboard.tolist(), drawn.start.tolist(), drawn.stop.tolist(), strict=True
        )
        return {dashboard: (start, stop) for at, dashboard, start, stop in rows if at == room}

    def inside(self, room: int, at: float | None = None) -> list[int]:
        """The members of a room at a moment; without one, those that are members throughout."""
        return [
            dashboard
            for dashboard, (start, stop) in self.spans(room).items()
            if (start <= at < stop if at is not None else (start, stop) == (float("-inf"), float("inf")))
        ]

    def room_of(self, widget: int, n: int) -> int:
        """The room that a message goes to."""
        if self.in_turn:
            return 0 if widget else n % self.room_count
        return widget % self.room_count

    def stranger(self, room: int) -> int:
        """A dashboard that is never a member of the room."""
        return next(dashboard for dashboard in range(self.dashboards) if dashboard not in self.spans(room))

    def perform(self) -> "PushPlay":
        first = self.manifest.processes[0]
        for process in self.manifest.processes[: self.processes]:
            for room in range(self.room_count):
                self.row(process, "chat", room, -1, f"room-{room}", room)
            for step in range(int((self.seconds + 5) * 100)):
                self.row(process, "lag", T0 + step / 100, self.lag)
            self.row(process, "cpu", T0 + 1, 0.2, 1)
        for dashboard in range(self.dashboards):
            if dashboard in self.never_connected:
                self.event(dashboard, dashboard, ConnectionEvent.OPENING, T0 - 2)
                self.event(dashboard, dashboard, ConnectionEvent.FAILED, T0 - 1.9, 503)
                continue
            self.come(dashboard, dashboard, T0 - 2)
            if dashboard in self.offline:
                gone, back = self.offline[dashboard]
                self.event(dashboard, dashboard, ConnectionEvent.CLOSED, T0 + gone, 1001)
                self.come(dashboard + 100, dashboard, T0 + back - 0.05)
        if self.answered:
            self.change_memberships()
        for at, widget, n in self.schedule():
            self.send(T0 + at, widget, n, self.push_plants.get((widget, n), PushPlant()))
        for dashboard in set(range(self.dashboards)) - set(self.never_connected):
            connection = dashboard + 100 if dashboard in self.offline else dashboard
            self.event(connection, dashboard, ConnectionEvent.STOPPED, self.last, 1000)
        for room, texts in self.store.items():
            if self.final_rooms is None or room in self.final_rooms:
                status = self.final_status.get(room, 200)
                self.row(first, "final", room, status, len(texts), self.last + 0.1, self.last + 0.2, "")
                for position, text in enumerate(texts if status == 200 else [], 1):
                    self.row(first, "final_text", room, position, text.widget, text.n, text.condition, text.id)
        return self

    def change_memberships(self) -> None:
        """The target answers each change of a membership at once."""
        for room in range(self.room_count):
            for dashboard, (start, stop) in self.spans(room).items():
                if start >= 0:
                    self.membership(-1, dashboard, room, MembershipEvent.ADDED, T0 + start)
                if stop < self.seconds:
                    self.membership(-1, dashboard, room, MembershipEvent.REMOVED, T0 + stop)

    def come(self, connection: int, dashboard: int, at: float) -> None:
        """Connects a dashboard and joins its rooms, which are in force 50 ms later."""
        self.connect(connection, dashboard, at)
        for room in range(self.room_count):
            start, stop = self.spans(room).get(dashboard, (float("inf"), 0.0))
            if T0 + start <= at + 0.05 < T0 + stop:
                self.membership(connection, dashboard, room, MembershipEvent.JOINED, at + 0.05)

    def membership(
        self, connection: int, dashboard: int, room: int, event: MembershipEvent, at: float, detail: str = ""
    ) -> None:
        self.row(self.home(dashboard), "membership", connection, dashboard, room, event, at, detail)

    def connected(self, dashboard: int, at: float) -> int | None:
        """The connection of a dashboard at a moment."""
        if dashboard in self.never_connected:
            return None
        gone, back = self.offline.get(dashboard, (float("inf"), float("inf")))
        return dashboard if at < T0 + gone else dashboard + 100 if at >= T0 + back else None

    def send(self, at: float, widget: int, n: int, plant: PushPlant) -> None:
        room = self.room_of(widget, n)
        copies = []
        for _ in range(plant.stored):
            self._ids += 1
            copies.append(Stored(widget, n, plant.condition, self._ids))
        self.store[room] += copies
        status = {ACCEPTED: 200, REJECTED: 400, UNKNOWN: 500}[plant.outcome]  # type: ignore[index]
        self.row(self.manifest.processes[0], "send", widget, n, room, at, at, at + 0.001, at + 0.01, plant.outcome,
                 status, self._ids if plant.outcome == ACCEPTED else -1)  # fmt: skip
        came = at + 0.02 + plant.slow
        for dashboard in self.inside(room, at - T0) if plant.stored else []:
            connection = self.connected(dashboard, came)
            if connection is not None and dashboard not in plant.unseen_by:
                condition = plant.condition if plant.announced is None else plant.announced
                self.show(dashboard, widget, n, came, connection=connection, condition=condition)

    def show(
        self, dashboard: int, widget: int, n: int, at: float, *, how: Sighting = LIVE, room: int | None = None,
        condition: Condition = INTACT, connection: int | None = None,
    ) -> None:  # fmt: skip
        """A text comes to a dashboard. `at`: seconds on the clock, not after the start."""
        process = self.home(dashboard)
        number = self._announcements[process]
        self._announcements[process] += 1
        chat = self.room_of(widget, n) if room is None else room
        self.row(process, "announcement", number, chat, 1, -1, widget, n, condition, how)
        self.row(process, "frame", dashboard if connection is None else connection, number, at)

    def judge(self, slos: list[str] | None = None) -> Verdict:
        return judge(self.write(), slos)

    def ledger(self) -> Ledger:
        folder = self.write()
        return build(merge_histories(folder, self.manifest), self.manifest, self.scenario, T0, T0 + self.seconds)
