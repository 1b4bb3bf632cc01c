"""The rooms of a run, as each process of the swarm knows them: their ids at the target, and who is a member when."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from chatswarm.loadtests.protocols.promises import Promises
from chatswarm.loadtests.scenario.rooms import Memberships, Rooms
from chatswarm.loadtests.scenario.scenario import Scenario


@dataclass(frozen=True, slots=True)
class OwnRoom:
    """One membership of a dashboard. Times are seconds after the start; infinite: from the beginning, to the end."""

    room: str
    start: float
    stop: float


@dataclass(slots=True)
class RunRooms:
    """`ids`: what the target calls each room; the conductor says so before any user starts."""

    rooms: Rooms
    memberships: Memberships
    ids: Sequence[str] = ()
    _of_sender: dict[int, list[int]] = field(default_factory=dict)

    @classmethod
    def planned(cls, scenario: Scenario, promises: Promises, seed: int) -> "RunRooms | None":
        """The rooms of a scenario with such a chat; None if the chat has none."""
        rooms, memberships = scenario.rooms_for(promises), scenario.memberships_for(promises, seed)
        return None if rooms is None or memberships is None else cls(rooms, memberships)

    def of_sender(self, sender: int, n: int) -> int:
        """The room that a sender's `n`-th message goes to; -1: none."""
        if self.rooms.senders == "widgets":
            return self.rooms.of_sender(sender, n, self.memberships)
        own = self._of_sender.get(sender)
        if own is None:
            own = self._of_sender[sender] = self.memberships.throughout(sender)
        return own[n % len(own)] if own else -1

    def of_dashboard(self, dashboard: int) -> list[OwnRoom]:
        """A dashboard's memberships."""
        return [OwnRoom(self.ids[room], start, stop) for room, start, stop in self.memberships.of_dashboard(dashboard)]

    def senders(self, room: int, widgets: int) -> range:
        """The widgets that send into a room; empty if its members do."""
        return range(room, widgets, self.rooms.count) if self.rooms.senders == "widgets" else range(0)

    def lasting_members(self) -> dict[str, list[int]]:
        """By room: the dashboards that are members at the end of the run, ascending."""
        lasting = self.memberships.stop == float("inf")
        out: dict[str, list[int]] = {}
        for room, dashboard in zip(
            self.memberships.room[lasting].tolist(), self.memberships.dashboard[lasting].tolist(), strict=True
        ):
            out.setdefault(self.ids[room], []).append(dashboard)
        return out
