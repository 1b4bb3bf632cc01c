"""The chat service of one worker: connects store, follower, list and hub, and publishes commits in order.

own commit ─► wake-up ─► follower ─► list (every read from now on shows it) ─► hub (frames) ─► responses to senders
others' commits ───────────┘
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
from chatswarm.backend.metrics.loop_lag import measure_lag
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
from chatswarm.backend.workers.supervisor import WorkerContext

from .chat_list import TAIL, ChatList
from .guide_log import SUBSCRIBERS, GuideLog
from .rate_limit import RateLimit

if TYPE_CHECKING:
    from chatswarm.backend.workers.broker import BrokerBus

METRICS_TIMEOUT: Final = 0.5
"""Seconds that the other workers have to report their metrics."""


class ChatService:
    """Everything behind the endpoints of one process, alone or one of several workers. Belongs to the event loop."""

    def __init__(
        self, settings: Settings, sockets: Sockets, metrics: BackendMetrics, worker: WorkerContext | None = None
    ) -> None:
        self.settings = settings
        self.sockets = sockets
        self.metrics = metrics
        shared = worker is not None or settings.bus is not None
        self.guide = GuideLog(alone=not shared)
        self.list = ChatList(secrets.token_hex(4))
        self.log = Log(settings.database)
        self.store = Store(settings.database, self._committed, metrics, shared=shared)
        self.hub = Hub(metrics, join_window=settings.join_window, held_limit=settings.buffer_limit // 2)
        self.rate = RateLimit(settings.sends_per_second) if settings.sends_per_second else None
        self._follower = Follower(settings.database, self._publish, metrics, shared=shared)
        self._datagrams = WorkerDatagrams(worker, self._on_wakeup, metrics) if worker is not None else None
        self._bus: BrokerBus | None = None
        if settings.bus is not None:
            # Imported here because the client library is slow to import.
            from chatswarm.backend.workers.broker import BrokerBus

            self._bus = BrokerBus(settings.bus, self._on_wakeup, metrics)
        self._notifier = self._bus or self._datagrams
        self._tasks: list[asyncio.Task[None]] = []
        metrics.set_unsent_source(sockets.unsent)
        sockets.on_cut = lambda reason: metrics.cut[reason].inc()
        sockets.on_idle = metrics.timeouts["idle"].inc
        sockets.on_tick = self.guide.tick

    async def start(self) -> None:
        """Open the database, load the list, start all tasks. Raises ForeignDatabaseError, sqlite3.Error."""
        await asyncio.to_thread(schema.prepare, self.settings.database)
        loaded = await self.log.everything(TAIL)
        self._show(loaded)
        self.hub.head = loaded.after.messages
        self._follower.position = loaded.after
        self.store.start()
        if self._datagrams is not None:
            self._datagrams.start()
        if self._bus is not None:
            self._bus.start()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self.sockets.check_forever()),
            loop.create_task(self._follower.poll_forever()),
            loop.create_task(measure_lag(self.metrics.loop_lag_seconds.observe)),
        ]

    async def close(self) -> None:
        """Finish pending writes and close the database."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._datagrams is not None:
            self._datagrams.close()
        if self._bus is not None:
            await self._bus.close()
        # The writer's connection closes last, because only that one can empty the write-ahead log.
        self.log.close()
        self._follower.close()
        if self._tasks:
            await self.store.close(self.settings.grace / 5)
        self.guide.close()

    def catch_up(self) -> None:
        """Publish everything that any worker has committed by now to the list and the hub.

        Call this before any read that must be current. Raises StoreUnavailableError if the log cannot be read.
        """
        self._follower.poll("request")

    def find_chat(self, chat_id: str) -> StoredChat | None:
        """The chat with that id, even if another worker has only just created it. Raises StoreUnavailableError."""
        chat = self.list.chat(chat_id)
        if chat is None:
            self.catch_up()
            chat = self.list.chat(chat_id)
        return chat

    def flush_announcements(self) -> None:
        """Before the shutdown: publish the last commits and write all pending frames."""
        with suppress(StoreUnavailableError):
            self.catch_up()
        self.hub.flush()

    async def exposition(self) -> bytes:
        """The metrics of all workers, in Prometheus' text format."""
        if self._datagrams is None:
            return self.metrics.exposition()
        return merged(await self._datagrams.collect_metrics(METRICS_TIMEOUT))

    def _committed(self, committed: Committed) -> None:
        """Publish a commit of this worker, which is now on disk, and wake the other workers."""
        if self._notifier is not None and committed.after != committed.before:
            self._notifier.wake_others()
        # If the log before it cannot be read now, the follower publishes it later.
        with suppress(StoreUnavailableError):
            self._follower.committed(committed)

    def _on_wakeup(self) -> None:
        """Another worker has committed something, or may have."""
        with suppress(StoreUnavailableError):
            self.metrics.wakeups_received["news" if self._follower.poll("bell") else "nothing"].inc()

    def _publish(self, committed: Committed) -> None:
        """Update the list before the hub, so that no frame announces a message that a refetch does not show."""
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
        # The guide's lines name the subscribers only while they are few.
        few = [each.connection_id for each in self.hub.subscribers()] if len(self.hub) <= SUBSCRIBERS else []
        own = [each for each, moment in zip(messages, committed.moments, strict=True) if moment is not None]
        others = [each for each, moment in zip(messages, committed.moments, strict=True) if moment is None]
        self.guide.log_own(own, few, len(self.hub))
        self.guide.log_remote(others, few, len(self.hub))

    def _show(self, committed: Committed) -> None:
        """Apply a commit to the list."""
        for customer in committed.customers:
            self.list.add_customer(customer)
        for chat in committed.chats:
            self.list.add_chat(chat)
        for message in committed.messages:
            self.list.add_message(message)
        if committed.chats and committed.messages:
            # A page may span several commits, so new chats must be sorted in among the chats with new messages.
            self.list.sort([chat.id for chat in committed.chats] + [message.chat_id for message in committed.messages])
