"""What all users of one process share during a run, from the plan to the closed history."""

import gc
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from weakref import WeakSet

import gevent
from gevent.event import AsyncResult, Event
from gevent.lock import Semaphore
from gevent.pool import Pool

from chatswarm.loadtests.history.tables import UNREADABLE_HERE, Role
from chatswarm.loadtests.messages.identity import quotes_a_text
from chatswarm.loadtests.net.cookies import CookieJar
from chatswarm.loadtests.protocols.described import Described
from chatswarm.loadtests.protocols.protocol import DEFAULT
from chatswarm.loadtests.protocols.secrets import TOKEN
from chatswarm.loadtests.scenario.schedule import intended_times
from chatswarm.loadtests.system.text import one_line

from .account import Account
from .final_read import FinalRead
from .list_versions import ListVersions
from .live.live_audience import LiveAudience
from .live.newly_shown import Viewer
from .live.process_figures import ProcessFigures
from .locust.stats_rows import StatsRows
from .loop_lag import flush_every_second, record_lag
from .net.http import Client, Response, client_for
from .plan import RunPlan
from .recorder import Recorder
from .refetching import Crew
from .run_rooms import RunRooms
from .server_names import ServerNames

logger = logging.getLogger(__name__)

_LOGINS_AT_ONCE = 20  # more would be a storm that no real users make
_LONGEST_FRAME = 300  # bytes to show
_FEW = 3  # details to note: one fault may give many that differ only in a number or a name


class Node:
    """This process's side of a run: connections, the schedule, sends in flight and the recorder."""

    def __init__(
        self, plan: RunPlan, process: str, rows: StatsRows, request_number: Callable[[str], None],
        report_wrong: Callable[[str], object] = lambda _: None,
    ) -> None:  # fmt: skip
        """`request_number` asks the conductor for the number of one more `widget` or `dashboard`: see `grant`;
        `report_wrong` tells it why the protocol's file is wrong. Raises OSError, UsersFileError and ProtocolError.
        """
        self.plan = plan
        self.process = process
        self.rows = rows
        self.scenario = plan.scenario()
        self.protocol = plan.chat_protocol()
        self.rooms = RunRooms.planned(self.scenario, self.protocol.promises, plan.seed)
        self.directory = plan.directory(self.scenario, self.protocol)
        self._logins = Semaphore(_LOGINS_AT_ONCE)
        self._dashboards: dict[int, Account] = {}
        self.recorder = Recorder(plan.path, plan.run, process)
        self._servers = ServerNames(self.protocol.server_header, self.recorder.server)
        self.listing = ListVersions(self.protocol, plan.run, self.recorder, self._intended)
        self.progress = rows.progress
        self.live = self._live_figures()
        self.start = float("inf")  # T0 in monotonic seconds; infinite until it is known
        self.started = Event()
        self.ending = Event()
        self.never = Event()  # never set: users with nothing left to do wait for it
        self.sends = Pool()
        self.crew = Crew()
        self.chats: dict[str, Account] = {}  # that this process created, each with who reads it at the end
        self._troubles: set[tuple[str, str]] = set()
        self._few: dict[str, set[str]] = {}  # by kind: details that were noted
        self._clients: WeakSet[Client] = WeakSet()
        self._request_number = request_number
        self._report_wrong = report_wrong
        self._shows_texts = True  # as far as is known, the protocol's file finds the text in each frame that has one
        self._waiting: dict[str, list[AsyncResult[int]]] = {"widget": [], "dashboard": []}
        self._schedule = lru_cache(maxsize=None)(self._times)
        self._greenlets = [
            gevent.spawn(record_lag, self.recorder),
            gevent.spawn(flush_every_second, self.recorder, rows, self.live, self._count_in_flight),
        ]

    def _live_figures(self) -> ProcessFigures | None:
        """For whoever watches, and for Locust's rows where frames carry texts."""
        plan, promises = self.plan, self.protocol.promises
        if not plan.watched and promises.visible == "refetch":
            return None
        return ProcessFigures(
            self.recorder, self.listing.messages, self.scenario, self._intended,
            LiveAudience(self.scenario, promises, seed=plan.seed),
            self.rows.shown if promises.visible == "frame" else None, watched=plan.watched,
        )  # fmt: skip

    def number_for(self, role: str) -> int:
        """A number that no other user of this role has in the whole swarm. Blocks until the conductor grants one."""
        result: AsyncResult[int] = AsyncResult()
        self._waiting[role].append(result)
        self._request_number(role)
        return int(result.get())

    def grant(self, role: str, number: int) -> None:
        """The conductor's reply to one `request_number`."""
        self._waiting[role].pop(0).set(number)

    def name_rooms(self, ids: Sequence[str]) -> None:
        """Takes what the target calls the scenario's rooms, before any user starts."""
        if self.rooms is not None:
            self.rooms.ids = ids
            for room, chat_id in enumerate(ids):
                self.recorder.chat(chat_id, room=room)

    def account(self, role: Role, index: int, concurrency: int, route: str) -> Account:
        """The account of a dashboard or widget; its requests take this route."""
        cookies = CookieJar()
        client = self.client(concurrency, route, cookies)
        user = self.directory.user(role.name.lower(), index)
        account = Account(self.protocol, user, client, cookies, self._logins, self._count_login)
        if role is Role.DASHBOARD:
            self._dashboards[index] = account
        return account

    def _count_login(self, started: float, response: Response) -> None:
        self.rows.response("LOGIN", "login", started, response)
        self.note_rate_limit("login", response.status, response.retry_after)

    def begin(self, start: float) -> None:
        """Takes T0, in monotonic seconds, shortly before it."""
        # All objects made so far live to the end. If the collector kept scanning them, it would stop the loop longer
        # than a frame takes.
        gc.collect()
        gc.freeze()
        self.start = start
        if self.live is not None:
            self.live.begin(start)
        self.started.set()

    def on_shown(self, dashboard: int, viewer: Viewer, version: int, done: float) -> None:
        """A dashboard has shown this version of the list since `done`: counts the messages that are new to it."""
        for new in self.listing.messages.newly(viewer, version):
            self.rows.updates(done, new, self.listing.messages.intended)
            if self.live is not None:
                self.live.add_shown(dashboard, done, new)

    def client(self, concurrency: int, route: str | None = None, cookies: CookieJar | None = None) -> Client:
        """HTTP connections to the target, through the route's fault proxy if there is one."""
        plan = self.plan
        via = None if route is None else plan.via_of(route)
        client = client_for(
            plan.base_url, concurrency, via, origin=plan.origin, traffic=route or "final", note=self.note,
            cookies=cookies,
        )  # fmt: skip
        self._clients.add(client)
        return client

    def server_of(self, response: Response) -> int:
        """The number of the server that a response came from."""
        return self._servers.number(response.peer, response.raw_head) if response.peer else -1

    def server_named(self, address: str, name: str | None) -> int:
        """The number of the server at an address, with the name that it gave for itself."""
        return self.recorder.server(address, name or "")

    def note(self, kind: str, detail: str) -> None:
        """Records something worth knowing that is nobody's fault."""
        self.recorder.note(time.monotonic(), kind, detail)

    def note_few(self, kind: str, detail: str) -> None:
        """The same, for the first few details of this kind only."""
        noted = self._few.setdefault(kind, set())
        if len(noted) < _FEW and detail not in noted:
            noted.add(detail)
            self.note(kind, detail)

    def note_unknown_frame(self, data: bytes) -> None:
        """A frame came that the protocol does not know. It may have had to be answered."""
        self.note_few("unknown_frame", f"a frame met no rule of the protocol: {_excerpt(data)}")
        self.note_text_not_shown(data)

    def note_text_not_shown(self, data: bytes) -> None:
        """The protocol shows no text of this run in a frame. If there is one, its file is wrong, and nothing can be
        measured.
        """
        described = self.protocol.description if isinstance(self.protocol, Described) else None
        if described is None or not self._shows_texts or not quotes_a_text(data, self.plan.run):
            return
        self._shows_texts = False
        self._report_wrong(
            f"{self.plan.protocol}: {described.place_of_rules}: expected a rule that shows the text in each frame with "
            f"a text of this run, got none for {_excerpt(data)}"
        )

    def note_rate_limit(self, what: str, status: int, retry_after: str | None) -> None:
        """Notes a status of 429."""
        if status == 429:
            wait = "no Retry-After" if retry_after is None else f"Retry-After: {one_line(retry_after[:60])}"
            self.note("rate_limited", f"a {what} was answered 429: rate limiting ({wait})")

    def note_unauthorized(self, status: int) -> None:
        """Notes the possible causes of a handshake refused with 401 or 403."""
        if status in (401, 403):
            credentials = f"the token in {TOKEN}" if self.protocol.name == DEFAULT else "what its login gave"
            self.note(
                "turned_away",
                f"a handshake was answered {status}: {credentials} or the --origin may be missing or wrong (chatswarm "
                "check tells which)",
            )

    def note_unshown(self, status: int, problem: str) -> None:
        """Notes why a refetch showed no list, for the first few reasons; `status` as it is recorded.

        The rig's own limits and 429 are recorded elsewhere.
        """
        if (status >= 0 or status == UNREADABLE_HERE) and status != 429:
            self.note_few("unshown", f"a refetch showed no list: {problem}")

    def trouble(self, role: str, detail: str) -> None:
        """Records a problem of the rig that the judge must know, each once."""
        if (role, detail) not in self._troubles:
            self._troubles.add((role, detail))
            self.recorder.trouble(time.monotonic(), role, detail)

    def schedule(self, widget: int) -> list[float]:
        """This widget's intended times, in seconds after T0."""
        return self._schedule(widget)

    def finish(self, end: float) -> str | None:
        """Drains, makes the final read and closes the history. Returns why it is incomplete, or None.

        `end`: when the measured part ended, in monotonic seconds. Takes as long as the scenario's drain, or longer if
        sends still wait for their responses.
        """
        self.ending.set()
        if self.live is not None:
            self.live.end = end
        self.sends.join()
        gevent.sleep(max(0.0, end + self.scenario.drain - time.monotonic()))
        if self.start < float("inf"):
            try:
                self.final_read()
            except Exception as error:
                # Close the history whatever happens: without its end nothing in it counts.
                logger.exception("final read")
                self.trouble("final", f"the final read failed: {type(error).__name__}: {error}")
        gevent.killall(self._greenlets)
        if self.live is not None:
            self.live.collect()
        self.rows.flush()
        return self.recorder.close()

    def leave(self, patience: float) -> str | None:
        """Closes the history before the run ends, because this process exits. Returns as `finish` does.

        Stop its users first. Waits up to `patience` seconds for the responses to sends.
        """
        self.sends.join(timeout=patience)
        self.ending.set()
        self.sends.kill()
        gevent.killall(self._greenlets)
        if self.live is not None:
            self.live.collect()
        self.rows.flush()
        return self.recorder.close()

    def final_read(self) -> None:
        """Reads what this process is to read of the target at the end."""
        for other in list(self._clients):
            other.close_idle()  # if open files ran out, this read needs some
        final = FinalRead(
            self.plan, self.protocol, self.recorder, self.client, self.note_rate_limit, deflate=self.scenario.deflate
        )
        final.read_chats(self._chats_to_read())
        if self.protocol.promises.visible == "refetch":
            final.read_list(self._dashboards.get(0) or self.account(Role.DASHBOARD, 0, 1, "final"), self.listing)

    def _chats_to_read(self) -> Mapping[str, Account]:
        """The chats that this process reads at the end, each with a user who may.

        A room is read where its first member is, by the first member there who is logged in.
        """
        if self.rooms is None:
            return self.chats
        chats = {}
        for room, members in self.rooms.lasting_members().items():
            if members[0] in self._dashboards:
                here = [self._dashboards[member] for member in members if member in self._dashboards]
                chats[room] = next((account for account in here if account.is_logged_in), here[0])
        return chats

    def _times(self, widget: int) -> list[float]:
        scenario = self.scenario
        return intended_times(self.plan.seed, widget, scenario.widgets, scenario.rates, scenario.arrivals)

    def _intended(self, widget: int, n: int) -> float | None:
        if not 0 <= widget < self.scenario.widgets:
            return None
        times = self._schedule(widget)
        return self.start + times[n] if 0 <= n < len(times) else None

    def _count_in_flight(self) -> int:
        self.progress.in_flight = len(self.sends)
        return self.progress.in_flight


def _excerpt(data: bytes) -> str:
    """A frame, for people."""
    shown = one_line(data[:_LONGEST_FRAME].decode("utf-8", "replace"))
    return f"{shown}…" if len(data) > _LONGEST_FRAME else shown


def current() -> Node:
    """The node of the run that this process is part of. Raises RuntimeError if there is none."""
    if _node is None:
        raise RuntimeError("expected a run that has begun: these users need chatswarm's locustfile")
    return _node


def enter(node: Node) -> None:
    """Makes users of this process belong to that run from now on."""
    global _node
    _node = node


_node: Node | None = None
