"""One process of the swarm with users in it: what they share, from the plan to the closed history."""

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

from .list_versions import ListVersions, sight
from .live.newly_shown import Viewer
from .live.process_figures import Live
from .locust.stats_rows import StatsRows
from .loop_lag import keep_books, watch_loop
from .net.http import Client, Response, client_for, exchange
from .plan import RunPlan
from .recorder import Recorder

logger = logging.getLogger(__name__)

_FINAL_TRIES = 3
_FINAL_PARALLEL = 8
_UNSHOWN = 3  # reasons: of each fault there may be many that differ in a number


class Node:
    """The part of a run that happens in this process."""

    def __init__(self, plan: RunPlan, process: str, rows: StatsRows, ask_for_place: Callable[[str], None]) -> None:
        """`ask_for_place` asks the conductor for the number of one more `widget` or `dashboard`; see `grant`."""
        self.plan = plan
        self.process = process
        self.rows = rows
        self.scenario = plan.scenario()
        self.target = plan.target()
        self.recorder = Recorder(plan.path, plan.run, process)
        self.listing = ListVersions(self.target, plan.run, self.recorder, self._intended)
        self.progress = rows.progress
        self.live = Live(self.recorder, self.listing.messages, self.scenario, self._intended) if plan.watched else None
        self.start = float("inf")  # T0 in monotonic seconds; infinite until it is known
        self.started = Event()
        self.ending = Event()
        self.never = Event()  # what users wait for that have nothing left to do
        self.sends = Pool()
        self.chats: list[str] = []
        self._troubles: set[tuple[str, str]] = set()
        self._unshown: set[str] = set()
        self._clients: WeakSet[Client] = WeakSet()
        self._ask = ask_for_place
        self._waiting: dict[str, list[AsyncResult[int]]] = {"widget": [], "dashboard": []}
        self._schedule = lru_cache(maxsize=None)(self._times)
        self._greenlets = [
            gevent.spawn(watch_loop, self.recorder),
            gevent.spawn(keep_books, self.recorder, rows, self.live, self._count_in_flight),
        ]

    def place(self, kind: str) -> int:
        """A number that no other user of this kind in the whole swarm has. Blocks until the conductor gives one."""
        result: AsyncResult[int] = AsyncResult()
        self._waiting[kind].append(result)
        self._ask(kind)
        return int(result.get())

    def grant(self, kind: str, number: int) -> None:
        """The conductor's answer to one `ask_for_place`."""
        self._waiting[kind].pop(0).set(number)

    def begin(self, start: float) -> None:
        """T0 is known: a moment in the near future."""
        # Whatever was made up to here stays to the end: left to the collector, it would stop the loop now and again for
        # longer than a frame takes.
        gc.collect()
        gc.freeze()
        self.start = start
        if self.live is not None:
            self.live.begin(start)
        self.started.set()

    def shows(self, dashboard: int, viewer: Viewer, version: int, done: float) -> None:
        """A dashboard shows this version of the list since `done`: counts what is new to it."""
        for new in self.listing.messages.newly(viewer, version):
            self.rows.updates(done, self.listing.messages.intended[new.start : new.stop])
            if self.live is not None:
                self.live.saw(dashboard, done, new)

    def client(self, concurrency: int, place: str | None = None) -> Client:
        """HTTP connections to the target, through the proxy at that place if there is one."""
        plan = self.plan
        via = None if place is None else plan.via_of(place)
        client = client_for(
            plan.base_url, concurrency, via, origin=plan.origin, lane=place or "final", note=self.note
        )  # fmt: skip
        self._clients.add(client)
        return client

    def note(self, kind: str, detail: str) -> None:
        """Something worth knowing that is nobody's fault."""
        self.recorder.note(time.monotonic(), kind, detail)

    def limited(self, what: str, status: int, retry_after: str | None) -> None:
        """Notes that something was answered 429, if it was."""
        if status == 429:
            wait = "no Retry-After" if retry_after is None else f"Retry-After: {one_line(retry_after[:60])}"
            self.note("rate_limited", f"a {what} was answered 429: rate limiting ({wait})")

    def turned_away(self, status: int) -> None:
        """Notes what a handshake answered 401 or 403 may be short of."""
        if status in (401, 403):
            self.note(
                "turned_away",
                f"a handshake was answered {status}: the token in CHATSWARM_TOKEN or the --origin may be missing or "
                "wrong (chatswarm check tells which)",
            )

    def unshown(self, status: int, problem: str) -> None:
        """Notes why a refetch showed no list, for the first few reasons; `status` as it is recorded.

        What the rig's own limits and 429 prevented is told elsewhere.
        """
        told = (status < 0 and status != UNREADABLE_HERE) or status == 429 or problem in self._unshown
        if not told and len(self._unshown) < _UNSHOWN:
            self._unshown.add(problem)
            self.note("unshown", f"a refetch showed no list: {problem}")

    def trouble(self, kind: str, detail: str) -> None:
        """Something about the rig that a judge must know; the same only once."""
        if (kind, detail) not in self._troubles:
            self._troubles.add((kind, detail))
            self.recorder.trouble(time.monotonic(), kind, detail)

    def schedule(self, widget: int) -> list[float]:
        """When this widget means to send, in seconds after T0."""
        return self._schedule(widget)

    def finish(self, end: float) -> str | None:
        """Drains, makes the final read and closes the history. Returns why that is not whole, or None.

        `end`: when the measured part ended, in monotonic seconds. Takes the scenario's drain, or longer while sends are
        without an answer.
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
                # The history must be closed, whatever happens: without its end nothing in it counts.
                logger.exception("final read")
                self.trouble("final", f"the final read failed: {type(error).__name__}: {error}")
        gevent.killall(self._greenlets)
        self.rows.flush()
        if self.live is not None:
            self.live.look()
        return self.recorder.close()

    def leave(self, patience: float) -> str | None:
        """Closes the history before the run's end: this process is to end. Returns as `finish` does.

        Its users are to be stopped before. Waits at most `patience` seconds for sends that have no answer yet.
        """
        self.sends.join(timeout=patience)
        self.ending.set()
        self.sends.kill()
        gevent.killall(self._greenlets)
        self.rows.flush()
        return self.recorder.close()

    def _final_read(self) -> None:
        for other in list(self._clients):
            other.rest()  # where files ran out, this read needs some
        pool = Pool(_FINAL_PARALLEL)
        client = self.client(_FINAL_PARALLEL)
        for chat_id in self.chats:
            pool.spawn(self._read_whole_chat, client, chat_id)
        pool.join()
        started = time.monotonic()
        version, answer = -1, self._until_read(client, self.target.list_chats)
        try:
            if not answer.problem:
                version = self.listing.version_of(answer.body)
        except Unreadable as error:
            logger.warning("final read: %s", error)
            answer = unread(answer, error)
        self.recorder.refetch(-1, -1, started, answer, version)
        client.close()

    def _read_whole_chat(self, client: Client, chat_id: str) -> None:
        started = time.monotonic()
        answer = self._until_read(client, lambda: self.target.whole_chat(chat_id))
        chat: Chat | None = None
        sights: list[ParsedText] = []
        try:
            if not answer.problem:
                chat, sights = read(self._whole_chat, answer.body)
        except Unreadable as error:
            here = isinstance(error, UnreadableHere)
            answer = answer._replace(status=UNREADABLE_HERE if here else 0, error=str(error))
        self.recorder.final(chat_id, started, answer, chat, sights)

    def _whole_chat(self, body: bytes) -> tuple[Chat, list[ParsedText]]:
        chat = self.target.read_whole_chat(body)
        return chat, [sight(text, self.plan.run) for text in chat.texts]

    def _until_read(self, client: Client, request: Callable[[], Request]) -> Response:
        for attempt in range(_FINAL_TRIES):
            answer = asked(client, request)
            self.limited("final read", answer.status, answer.retry_after)
            if not answer.problem:
                break
            gevent.sleep(0.5 * (attempt + 1))
        return answer

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


def asked(client: Client, request: Callable[[], Request]) -> Response:
    """Makes a request, if the protocol can word it, and reads the answer. Raises nothing."""
    try:
        worded = request()
    except Exception as error:  # noqa: BLE001 - protocols are others' code, and there must be an outcome
        problem = f"the protocol failed: {type(error).__name__}: {error}"
        return Response(UNREADABLE_HERE, b"", False, float("nan"), time.monotonic(), problem)
    return exchange(client, worded)


def unread(answer: Response, error: Unreadable) -> Response:
    """What a read records of an answer that came and could not be read: nothing else, unless that was the rig's."""
    return answer._replace(status=UNREADABLE_HERE) if isinstance(error, UnreadableHere) else answer


def current() -> Node:
    """The node of the run that this process is part of. Raises RuntimeError if there is none."""
    if _node is None:
        raise RuntimeError("expected a run that has begun: these users need chatswarm's locustfile")
    return _node


def enter(node: Node) -> None:
    """From now on users of this process belong to that run."""
    global _node
    _node = node


_node: Node | None = None
