"""The chat itself: what a commit sets off, in which order, and the parts that do it.

commit ─► list (so that every read from now on shows it) ─► hub (frames) ─► guide's log ─► answers to the senders
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from chatswarm.backend import schema
from chatswarm.backend.chatlist import TAIL, ChatList
from chatswarm.backend.frames import Frame, notification, text_frame
from chatswarm.backend.guide_log import SUBSCRIBERS, GuideLog
from chatswarm.backend.hub import Hub
from chatswarm.backend.log import Log
from chatswarm.backend.metrics import Metrics
from chatswarm.backend.rates import RateLimit
from chatswarm.backend.records import Committed
from chatswarm.backend.settings import Settings
from chatswarm.backend.sockets import Sockets
from chatswarm.backend.store import Store


class ChatService:
    """Everything behind the endpoints of one backend process. Belongs to the event loop."""

    def __init__(self, settings: Settings, sockets: Sockets, metrics: Metrics) -> None:
        self.settings = settings
        self.sockets = sockets
        self.metrics = metrics
        self.guide = GuideLog()
        self.list = ChatList(secrets.token_hex(4))
        self.log = Log(settings.database)
        self.store = Store(settings.database, self._committed, metrics)
        self.hub = Hub(metrics, join_window=settings.join_window, held_limit=settings.buffer_limit // 2)
        self.rate = RateLimit(settings.sends_per_second) if settings.sends_per_second else None
        self._watch: asyncio.Task[None] | None = None
        metrics.watch_unsent(sockets.unsent)
        sockets.on_cut = lambda reason: metrics.cut[reason].inc()
        sockets.on_idle = metrics.timeouts["idle"].inc
        sockets.on_tick = self._tick

    async def start(self) -> None:
        """Open the database and load what the list needs. Raises ForeignDatabaseError, sqlite3.Error."""
        await asyncio.to_thread(schema.prepare, self.settings.database)
        customers, chats, messages, head = await self.log.everything(TAIL)
        for customer in customers:
            self.list.add_customer(customer)
        for chat in chats:
            self.list.add_chat(chat)
        for message in messages:
            self.list.add_message(message)
        self.list.sort()
        self.hub.head = head
        self.store.start()
        self._watch = asyncio.get_running_loop().create_task(self.sockets.watch())

    async def close(self) -> None:
        """Finish what is waiting and close the database."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
            # The writer's connection closes last, because only that one can empty the write-ahead log.
            self.log.close()
            await self.store.close(self.settings.grace / 5)
        else:
            self.log.close()
        self.guide.close()

    def _committed(self, committed: Committed) -> None:
        """A commit is on disk: show it in the list first, so that no frame announces what a refetch does not show."""
        for customer in committed.customers:
            self.list.add_customer(customer)
        for chat in committed.chats:
            self.list.add_chat(chat)
        messages = committed.messages
        if not messages:
            return
        for message in messages:
            self.list.add_message(message)
        # Names of subscribers are only asked for while they are few enough for the guide's lines.
        few = [each.connection_id for each in self.hub.subscribers()] if len(self.hub) <= SUBSCRIBERS else []
        self.hub.publish(
            [
                Frame(each.id, text_frame(notification(each)), arrived)
                for each, arrived in zip(messages, committed.arrived, strict=True)
            ]
        )
        self.guide.messages(messages, few, len(self.hub))

    def _tick(self, lag: float) -> None:
        self.metrics.loop_lag.set(max(0.0, lag))
        self.guide.tick()
