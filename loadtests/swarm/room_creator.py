"""Creates the rooms of a run, with their first members, before any user starts."""

import gevent
from gevent.pool import Pool

from chatswarm.loadtests.net.cookies import CookieJar
from chatswarm.loadtests.protocols.protocol import Creation, RefusedError, Request, Unreadable
from chatswarm.loadtests.scenario.scenario import Scenario

from .account import take_steps
from .net.http import Client, Response, client_for, exchange
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
        pool = Pool(_AT_ONCE)
        for room in range(len(self.ids)):
            if len(self._problems) >= _MOST_PROBLEMS:
                break
            pool.spawn(self._create_room, room)
        pool.join()
        shown = self._problems[:_MOST_PROBLEMS]
        more = sum(not name for name in self.ids) - len(shown)
        return [*shown, f"{more} more rooms were not created"] if shown and more > 0 else shown

    def _create_room(self, room: int) -> None:
        problem = ""
        for attempt in range(_TRIES):
            # Not shared: a room may be created by a user who logs in for that, and gets cookies.
            cookies = CookieJar()
            client = client_for(self._plan.base_url, 1, origin=self._plan.origin, traffic="rooms", cookies=cookies)
            responses: list[Response] = []

            def ask(request: Request, client: Client = client, responses: list[Response] = responses) -> Response:
                responses.append(exchange(client, request))
                return responses[-1]

            try:
                self._name(room, take_steps(self._steps(room), ask))
                return
            except RefusedError as error:
                problem = (responses[-1].problem if responses else "") or str(error)
                if error.status in _CERTAIN:
                    break
            except Unreadable as error:
                problem = str(error)
            except Exception as error:  # noqa: BLE001 - protocols are third-party code
                problem = f"the protocol failed: {type(error).__name__}: {error}"
            finally:
                client.close()
            gevent.sleep(0.3 * (attempt + 1))
        secrets = self._directory.user("dashboard", 0).variables
        self._problems.append(secrets.blanked(f"room {room}: expected the target to create it, got: {problem}"))

    def _steps(self, room: int) -> Creation:
        members = [self._directory.user("dashboard", index) for index in self._rooms.memberships.at_start(room)]
        members += [self._directory.user("widget", index) for index in self._rooms.senders(room, self._widgets)]
        return self._protocol.create_room(room, self._plan.run, members)

    def _name(self, room: int, chat_id: str) -> None:
        """Raises Unreadable."""
        if not chat_id or chat_id in self.ids:
            raise Unreadable(f"expected an id that no other room has, got {chat_id!r}")
        self.ids[room] = chat_id
