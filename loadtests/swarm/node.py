"""What all users of one process share during a run, from the plan to the closed history."""

import gc
import logging
import time
from collections.abc import Callable
from functools import lru_cache
from weakref import WeakSet

import gevent
from gevent.event import AsyncResult, Event
from gevent.pool import Pool

from chatswarm.loadtests.history.tables import UNREADABLE_HERE
from chatswarm.loadtests.messages.identity import ParsedText
from chatswarm.loadtests.protocols.protocol import Chat, Request, Unreadable, UnreadableHere, read
from chatswarm.loadtests.scenario.schedule import intended_times
from chatswarm.loadtests.system.text import one_line

from .list_versions import ListVersions, parse_text
from .live.newly_shown import Viewer
from .live.process_figures import ProcessFigures
from .locust.stats_rows import StatsRows
from .loop_lag import flush_every_second, record_lag
from .net.http import Client, Response, client_for, exchange
from .plan import RunPlan
from .recorder import Recorder

logger = logging.getLogger(__name__)

_FINAL_TRIES = 3
_FINAL_PARALLEL = 8
_UNSHOWN = 3  # reasons to note: one fault may give many that differ only in a number


class Node:
    """This process's side of a run: connections, the schedule, sends in flight and the recorder."""

    def __init__(self, plan: RunPlan, process: str, rows: StatsRows, request_number: Callable[[str], None]) -> None:
        """`request_number` asks the conductor for the number of one more `widget` or `dashboard`: see `grant`."""
        self.plan = plan
        self.process = process
        self.rows = rows
        self.scenario = plan.scenario()
        self.protocol = plan.chat_protocol()
        self.recorder = Recorder(plan.path, plan.run, process)
        self.listing = ListVersions(self.protocol, plan.run, self.recorder, self._intended)
        self.progress = rows.progress
        self.live = (
            ProcessFigures(self.recorder, self.listing.messages, self.scenario, self._intended)
            if plan.watched
            else None
        )
        self.start = float("inf")  # T0 in monotonic seconds; infinite until it is known
        self.started = Event()
        self.ending = Event()
        self.never = Event()  # never set: users with nothing left to do wait for it
        self.sends = Pool()
        self.chats: list[str] = []
        self._troubles: set[tuple[str, str]] = set()
        self._unshown: set[str] = set()
        self._clients: WeakSet[Client] = WeakSet()
        self._request_number = request_number
        self._waiting: dict[str, list[AsyncResult[int]]] = {"widget": [], "dashboard": []}
        self._schedule = lru_cache(maxsize=None)(self._times)
        self._greenlets = [
            gevent.spawn(record_lag, self.recorder),
            gevent.spawn(flush_every_second, self.recorder, rows, self.live, self._count_in_flight),
        ]

    def number_for(self, role: str) -> int:
        """A number that no other user of this role has in the whole swarm. Blocks until the conductor grants one."""
        result: AsyncResult[int] = AsyncResult()
        self._waiting[role].append(result)
        self._request_number(role)
        return int(result.get())

    def grant(self, role: str, number: int) -> None:
        """The conductor's reply to one `request_number`."""
        self._waiting[role].pop(0).set(number)

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
            self.rows.updates(done, self.listing.messages.intended[new.start : new.stop])
            if self.live is not None:
                self.live.add_shown(dashboard, done, new)

    def client(self, concurrency: int, route: str | None = None) -> Client:
        """HTTP connections to the target, through the route's fault proxy if there is one."""
        plan = self.plan
        via = None if route is None else plan.via_of(route)
        client = client_for(
            plan.base_url, concurrency, via, origin=plan.origin, traffic=route or "final", note=self.note
        )  # fmt: skip
        self._clients.add(client)
        return client

    def note(self, role: str, detail: str) -> None:
        """Records something worth knowing that is nobody's fault."""
        self.recorder.note(time.monotonic(), role, detail)

    def note_rate_limit(self, what: str, status: int, retry_after: str | None) -> None:
        """Notes a status of 429."""
        if status == 429:
            wait = "no Retry-After" if retry_after is None else f"Retry-After: {one_line(retry_after[:60])}"
            self.note("rate_limited", f"a {what} was answered 429: rate limiting ({wait})")

    def note_unauthorized(self, status: int) -> None:
        """Notes the possible causes of a handshake refused with 401 or 403."""
        if status in (401, 403):
            self.note(
                "turned_away",
                f"a handshake was answered {status}: the token in CHATSWARM_TOKEN or the --origin may be missing or "
                "wrong (chatswarm check tells which)",
            )

    def note_unshown(self, status: int, problem: str) -> None:
        """Notes why a refetch showed no list, for the first few reasons; `status` as it is recorded.

        The rig's own limits and 429 are recorded elsewhere.
        """
        recorded_elsewhere = (status < 0 and status != UNREADABLE_HERE) or status == 429 or problem in self._unshown
        if not recorded_elsewhere and len(self._unshown) < _UNSHOWN:
            self._unshown.add(problem)
            self.note("unshown", f"a refetch showed no list: {problem}")

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
                self._final_read()
            except Exception as error:
                # Close the history whatever happens: without its end nothing in it counts.
                logger.exception("final read")
                self.trouble("final", f"the final read failed: {type(error).__name__}: {error}")
        gevent.killall(self._greenlets)
        self.rows.flush()
        if self.live is not None:
            self.live.collect()
        return self.recorder.close()

    def leave(self, patience: float) -> str | None:
        """Closes the history before the run ends, because this process exits. Returns as `finish` does.

        Stop its users first. Waits up to `patience` seconds for the responses to sends.
        """
        self.sends.join(timeout=patience)
        self.ending.set()
        self.sends.kill()
        gevent.killall(self._greenlets)
        self.rows.flush()
        return self.recorder.close()

    def _final_read(self) -> None:
        for other in list(self._clients):
            other.close_idle()  # if open files ran out, this read needs some
        pool = Pool(_FINAL_PARALLEL)
        client = self.client(_FINAL_PARALLEL)
        for chat_id in self.chats:
            pool.spawn(self._read_whole_chat, client, chat_id)
        pool.join()
        started = time.monotonic()
        version, response = -1, self._until_read(client, self.protocol.list_chats)
        try:
            if not response.problem:
                version = self.listing.version_of(response.body)
        except Unreadable as error:
            logger.warning("final read: %s", error)
            response = as_unread(response, error)
        self.recorder.refetch(-1, -1, started, response, version)
        client.close()

    def _read_whole_chat(self, client: Client, chat_id: str) -> None:
        started = time.monotonic()
        response = self._until_read(client, lambda: self.protocol.whole_chat(chat_id))
        chat: Chat | None = None
        parsed: list[ParsedText] = []
        try:
            if not response.problem:
                chat, parsed = read(self._whole_chat, response.body)
        except Unreadable as error:
            here = isinstance(error, UnreadableHere)
            response = response._replace(status=UNREADABLE_HERE if here else 0, error=str(error))
        self.recorder.final(chat_id, started, response, chat, parsed)

    def _whole_chat(self, body: bytes) -> tuple[Chat, list[ParsedText]]:
        chat = self.protocol.read_whole_chat(body)
        return chat, [parse_text(text, self.plan.run) for text in chat.texts]

    def _until_read(self, client: Client, request: Callable[[], Request]) -> Response:
        for attempt in range(_FINAL_TRIES):
            response = try_exchange(client, request)
            self.note_rate_limit("final read", response.status, response.retry_after)
            if not response.problem:
                break
            gevent.sleep(0.5 * (attempt + 1))
        return response

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


def try_exchange(client: Client, request: Callable[[], Request]) -> Response:
    """Builds a request and makes it. Raises nothing: if the protocol fails to build it, the response says so."""
    try:
        built = request()
    except Exception as error:  # noqa: BLE001 - protocols are third-party code, and there must be an outcome
        problem = f"the protocol failed: {type(error).__name__}: {error}"
        return Response(UNREADABLE_HERE, b"", False, float("nan"), time.monotonic(), problem)
    return exchange(client, built)


def as_unread(response: Response, error: Unreadable) -> Response:
    """The response to record for a failed read: with UNREADABLE_HERE if the rig could not read it, else unchanged."""
    return response._replace(status=UNREADABLE_HERE) if isinstance(error, UnreadableHere) else response


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
