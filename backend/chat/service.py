"""The reference chat's service in one worker: publishes commits to the list and the hub, in order.

commits of all workers ─► list (every read from now on shows it) ─► hub (frames) ─► responses to senders
"""

from __future__ import annotations

import secrets
import time

from chatswarm.backend.fanout.hub import Hub
from chatswarm.backend.fanout.sockets import Sockets
from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.settings import Settings
from chatswarm.backend.store.records import Committed, Position, StoredChat
from chatswarm.backend.store.timestamps import age
from chatswarm.backend.wire.frames import OutgoingFrame, notification, text_frame
from chatswarm.backend.workers.supervisor import WorkerContext

from .chat_list import TAIL, ChatList
from .guide_log import SUBSCRIBERS, GuideLog
from .worker_service import WorkerService


class ChatService(WorkerService):
    """The chat list, and the hub to which every dashboard subscribes."""

    def __init__(
        self, settings: Settings, sockets: Sockets, metrics: BackendMetrics, worker: WorkerContext | None = None
    ) -> None:
        super().__init__(settings, sockets, metrics, worker)
        self.guide = self.lines = GuideLog(alone=not self.shared)
        self.list = ChatList(secrets.token_hex(4))
        self.hub = Hub(metrics, join_window=settings.join_window, held_limit=settings.buffer_limit // 2)
        sockets.on_tick = self.guide.tick

    def find_chat(self, chat_id: str) -> StoredChat | None:
        """The chat with that id, even if another worker has only just created it. Raises StoreUnavailableError."""
        chat = self.list.chat(chat_id)
        if chat is None:
            self.catch_up()
            chat = self.list.chat(chat_id)
        return chat

    async def _load(self) -> Position:
        loaded = await self.log.everything(TAIL)
        self._show(loaded)
        self.hub.head = loaded.after.messages
        return loaded.after

    def _flush(self) -> None:
        self.hub.flush()

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
