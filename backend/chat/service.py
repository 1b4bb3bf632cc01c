"""The chat itself: what a commit sets off, in which order, and the parts that do it.

own commit ─► bell ─► follower ─► list (so that every read from now on shows it) ─► hub (frames) ─► answers to senders
others' commits ────────┘
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from chatswarm.backend.fanout.hub import Hub
from chatswarm.backend.fanout.sockets import Sockets
from chatswarm.backend.metrics.exposition import merged
from chatswarm.backend.metrics.loop_lag import watch_lag
from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.settings import Settings
from chatswarm.backend.store import schema
from chatswarm.backend.store.log import Log
from chatswarm.backend.store.records import Committed, StoredChat, StoreUnavailableError
from chatswarm.backend.store.store import Store
from chatswarm.backend.store.timestamps import age
from chatswarm.backend.wire.frames import OutgoingFrame, notification, text_frame
from chatswarm.backend.workers.datagrams import WorkerDatagrams
from chatswarm.backend.workers.follower import Follower
from chatswarm.backend.workers.supervisor import WorkerPlace

from .chat_list import TAIL, ChatList
from .guide_log import SUBSCRIBERS, GuideLog
from .rate_limit import RateLimit

if TYPE_CHECKING:
    from chatswarm.backend.workers.broker import BrokerBell

METRICS_PATIENCE: Final = 0.5
"""Seconds that another worker may take to tell its metrics."""


class ChatService:
    """Everything behind the endpoints of one process, alone or one of several workers. Belongs to the event loop."""

    def __init__(
        self, settings: Settings, sockets: Sockets, metrics: BackendMetrics, place: WorkerPlace | None = None
    ) -> None:
        self.settings = settings
        self.sockets = sockets
        self.metrics = metrics
        shared = place is not None or settings.bus is not None
        self.guide = GuideLog(alone=not shared)
        self.list = ChatList(secrets.token_hex(4))
        self.log = Log(settings.database)
        self.store = Store(settings.database, self._committed, metrics, shared=shared)
        self.hub = Hub(metrics, join_window=settings.join_window, held_limit=settings.buffer_limit // 2)
        self.rate = RateLimit(settings.sends_per_second) if settings.sends_per_second else None
        self._follower = Follower(settings.database, self._publish, metrics, shared=shared)
        self._intercom = WorkerDatagrams(place, self._heard, metrics) if place is not None else None
        self._bus: BrokerBell | None = None
        if settings.bus is not None:
            # Only here, because the client library is slow to import.
            from chatswarm.backend.workers.broker import BrokerBell

            self._bus = BrokerBell(settings.bus, self._heard, metrics)
        self._bell = self._bus or self._intercom
        self._tasks: list[asyncio.Task[None]] = []
        metrics.watch_unsent(sockets.unsent)
        sockets.on_cut = lambda reason: metrics.cut[reason].inc()
        sockets.on_idle = metrics.timeouts["idle"].inc
        sockets.on_tick = self.guide.tick

    async def start(self) -> None:
        """Open the database and load what the list needs. Raises ForeignDatabaseError, sqlite3.Error."""
        await asyncio.to_thread(schema.prepare, self.settings.database)
        loaded = await self.log.everything(TAIL)
        self._show(loaded)
        self.hub.head = loaded.after.messages
        self._follower.position = loaded.after
        self.store.start()
        if self._intercom is not None:
            self._intercom.start()
        if self._bus is not None:
            self._bus.start()
        loop = asyncio.get_running_loop()
        watches = (self.sockets.watch(), self._follower.watch(), watch_lag(self.metrics.loop_lag_seconds.observe))
        self._tasks = [loop.create_task(watch) for watch in watches]

    async def close(self) -> None:
        """Finish what is waiting and close the database."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._intercom is not None:
            self._intercom.close()
        if self._bus is not None:
            await self._bus.close()
        # The writer's connection closes last, because only that one can empty the write-ahead log.
        self.log.close()
        self._follower.close()
        if self._tasks:
            await self.store.close(self.settings.grace / 5)
        self.guide.close()

    def look(self) -> None:
        """See to it that all that was committed by now, by any worker, is in the list and has gone to the hub.

        To be called before anything that must not be old. Raises StoreUnavailableError if that cannot be known.
        """
        self._follower.look("request")

    def find_chat(self, chat_id: str) -> StoredChat | None:
        """The chat with that id, also if another worker has only just made it. Raises StoreUnavailableError."""
        chat = self.list.chat(chat_id)
        if chat is None:
            self.look()
            chat = self.list.chat(chat_id)
        return chat

    def announce_the_last(self) -> None:
        """Before the end: write all frames that are due."""
        with suppress(StoreUnavailableError):
            self.look()
        self.hub.flush()

    async def exposition(self) -> bytes:
        """The metrics in Prometheus' text format, those of all workers."""
        if self._intercom is None:
            return self.metrics.exposition()
        return merged(await self._intercom.everybodys_metrics(METRICS_PATIENCE))

    def _committed(self, committed: Committed) -> None:
        """A commit of this worker is on disk."""
        if self._bell is not None and committed.after != committed.before:
            self._bell.ring()
        # If the log cannot be read up to it now, it is published as soon as it can.
        with suppress(StoreUnavailableError):
            self._follower.committed(committed)

    def _heard(self) -> None:
        """Another worker rang."""
        with suppress(StoreUnavailableError):
            self.metrics.heard["news" if self._follower.look("bell") else "nothing"].inc()

    def _publish(self, committed: Committed) -> None:
        """Show it in the list first, so that no frame announces what a refetch does not show."""
        self._show(committed)
        messages = committed.messages
        if not messages:
            return
        now = time.monotonic()
        self.hub.publish(
            [
                OutgoingFrame(each.id, text_frame(notification(each)), now - age(each.at) if moment is None else moment)
                for each, moment in zip(messages, committed.moments, strict=True)
            ]
        )
        # Names of subscribers are only asked for while they are few enough for the guide's lines.
        few = [each.connection_id for each in self.hub.subscribers()] if len(self.hub) <= SUBSCRIBERS else []
        own = [each for each, moment in zip(messages, committed.moments, strict=True) if moment is not None]
        others = [each for each, moment in zip(messages, committed.moments, strict=True) if moment is None]
        self.guide.messages(own, few, len(self.hub))
        self.guide.others(others, few, len(self.hub))

    def _show(self, committed: Committed) -> None:
        """Bring the list up to date."""
        for customer in committed.customers:
            self.list.add_customer(customer)
        for chat in committed.chats:
            self.list.add_chat(chat)
        for message in committed.messages:
            self.list.add_message(message)
        if committed.chats and committed.messages:
            # They may come from several commits, and a new chat then stands where its time is.
            self.list.sort([chat.id for chat in committed.chats] + [message.chat_id for message in committed.messages])
