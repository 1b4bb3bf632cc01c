"""One process of the swarm with users in it: what they share, from the plan to the closed history."""

import gc
import logging
import time
from collections.abc import Callable
from functools import lru_cache

import gevent
from gevent.event import AsyncResult, Event
from gevent.pool import Pool
from geventhttpclient.client import HTTPClient

from chatswarm.loadtests.schedule import intended_times
from chatswarm.loadtests.targets.target import Chat, Unreadable

from .http import Answer, client_for, exchange
from .listing import Listing, sight
from .live import Live
from .monitor import keep_books, watch_loop
from .plan import Plan
from .recorder import Recorder
from .rows import Rows
from .shown import Viewer

logger = logging.getLogger(__name__)

_FINAL_TRIES = 3
_FINAL_PARALLEL = 8


class Node:
    """The part of a run that happens in this process."""

    def __init__(self, plan: Plan, process: str, rows: Rows, ask_for_place: Callable[[str], None]) -> None:
        """`ask_for_place` asks the conductor for the number of one more `widget` or `dashboard`; see `grant`."""
        self.plan = plan
        self.process = process
        self.rows = rows
        self.scenario = plan.scenario()
        self.target = plan.target()
        self.recorder = Recorder(plan.path, plan.run, process)
        self.listing = Listing(self.target, plan.run, self.recorder, self._intended)
        self.progress = rows.progress
        self.live = Live(self.recorder, self.listing.messages, self.scenario, self._intended) if plan.watched else None
        self.start = float("inf")  # T0 in monotonic seconds; infinite until it is known
        self.started = Event()
        self.ending = Event()
        self.never = Event()  # what users wait for that have nothing left to do
        self.sends = Pool()
        self.chats: list[str] = []
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
            self._final_read()
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
        pool = Pool(_FINAL_PARALLEL)
        client = client_for(self.plan.base_url, _FINAL_PARALLEL)
        for chat_id in self.chats:
            pool.spawn(self._read_whole_chat, client, chat_id)
        pool.join()
        client.close()
        started, request = time.monotonic(), self.target.list_chats()
        answer = self._until_read(lambda: exchange(client_for(self.plan.base_url, 1), request))
        try:
            version = -1 if answer.problem else self.listing.version_of(answer.body)
        except Unreadable as error:
            logger.warning("final read: %s", error)
            version = -1
        self.recorder.refetch(-1, -1, started, answer, version)

    def _read_whole_chat(self, client: HTTPClient, chat_id: str) -> None:
        started, request = time.monotonic(), self.target.whole_chat(chat_id)
        answer = self._until_read(lambda: exchange(client, request))
        chat: Chat | None = None
        if not answer.problem:
            try:
                chat = self.target.read_whole_chat(answer.body)
            except Unreadable as error:
                answer = answer._replace(status=0, error=str(error))
        sights = [] if chat is None else [sight(text, self.plan.run) for text in chat.texts]
        self.recorder.final(chat_id, started, answer, chat, sights)

    def _until_read(self, read: Callable[[], Answer]) -> Answer:
        for attempt in range(_FINAL_TRIES):
            answer = read()
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
