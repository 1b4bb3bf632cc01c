"""Creates the rooms of a run, with their first members, before any user starts."""

import gevent
from gevent.pool import Pool

from chatswarm.loadtests.protocols.protocol import Request, Unreadable, read
from chatswarm.loadtests.scenario.scenario import Scenario

from .account import try_exchange
from .net.http import Client, client_for
from .plan import RunPlan
from .run_rooms import RunRooms

_AT_ONCE = 8
_TRIES = 3
_CERTAIN = (400, 401, 403, 404)  # statuses that another try does not change
_MOST_PROBLEMS = 3  # to list; after as many, no more rooms are tried


class RoomCreator:
    """Creates all rooms of one run. `ids`: what the target calls them, once they are created."""

    def __init__(self, plan: RunPlan, scenario: Scenario, rooms: RunRooms) -> None:
        """Raises UsersFileError."""
        self._plan = plan
        self._protocol = plan.chat_protocol()
        self._directory = plan.directory(scenario, self._protocol)
        self._widgets = scenario.widgets
        self._rooms = rooms
        self._problems: list[str] = []
        self.ids: list[str] = [""] * rooms.rooms.count

    def create(self) -> list[str]:
        """Creates them. Returns why some could not be created; empty if all were."""
        client = client_for(self._plan.base_url, _AT_ONCE, origin=self._plan.origin, traffic="rooms")
        pool = Pool(_AT_ONCE)
        for room in range(len(self.ids)):
            if len(self._problems) >= _MOST_PROBLEMS:
                break
            pool.spawn(self._create_room, client, room)
        pool.join()
        client.close()
        shown = self._problems[:_MOST_PROBLEMS]
        more = sum(not name for name in self.ids) - len(shown)
        return [*shown, f"{more} more rooms were not created"] if shown and more > 0 else shown

    def _create_room(self, client: Client, room: int) -> None:
        problem = ""
        for attempt in range(_TRIES):
            try:
                response = try_exchange(client, lambda: self._request(room))
                problem = response.problem
                if not problem:
                    self._name(room, read(self._protocol.read_created, response.body))
                    return
            except Unreadable as error:
                problem = str(error)
            if response.complete and response.status in _CERTAIN:
                break
            gevent.sleep(0.3 * (attempt + 1))
        secrets = self._directory.user("dashboard", 0).variables
        self._problems.append(secrets.blanked(f"room {room}: expected the target to create it, got: {problem}"))

    def _request(self, room: int) -> Request:
        members = [self._directory.user("dashboard", index) for index in self._rooms.memberships.at_start(room)]
        members += [self._directory.user("widget", index) for index in self._rooms.senders(room, self._widgets)]
        return self._protocol.create_room(room, self._plan.run, members)

    def _name(self, room: int, chat_id: str) -> None:
        """Raises Unreadable."""
        if not chat_id or chat_id in self.ids:
            raise Unreadable(f"expected an id that no other room has, got {chat_id!r}")
        self.ids[room] = chat_id
