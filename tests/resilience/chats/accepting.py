"""Broken chats that accept messages which they then lose."""

import asyncio
import itertools
import logging
import time
from dataclasses import dataclass, field

from .chat import Chat, JsonResponse
from .store import Conversation, Message, Unavailable

_log = logging.getLogger(__name__)


@dataclass
class AnswersBeforeTheCommit(Chat):
    """Broken: *a 2xx means that the message is on disk*. The response comes before the commit.

    A common optimization to hide the disk's latency (a background task, write-behind, `BackgroundTasks.add_task`).
    All is well until the process is killed: then the messages of the last half second were accepted, and are lost.
    """

    _ids: "itertools.count[int]" = field(default_factory=itertools.count)
    _commits: set[asyncio.Task[Message]] = field(default_factory=set)

    async def start(self) -> None:
        known = [message_id for conversation in self.conversations.values() for message_id in conversation.messages]
        self._ids = itertools.count(max(known, default=0) + 1)

    async def persist(self, conversation: Conversation, role: str, text: str) -> Message:
        message = Message(next(self._ids), conversation.id, role, text)
        commit = asyncio.create_task(self._commit_later(message))
        self._commits.add(commit)
        commit.add_done_callback(self._commits.discard)
        return message

    async def _commit_later(self, message: Message) -> Message:
        await asyncio.sleep(0.5)
        return await self.store.add_message(message.chat, message.role, message.text, message.id)

    async def finish(self) -> None:
        """Waits for the commits, so that a deployment loses nothing."""
        await asyncio.gather(*self._commits)


@dataclass
class DropsWhatWaited(Chat):
    """Broken: *late, never lost*. Sends that waited while the process was paused are dropped, with a 2xx.

    A common kind of load shedding: a late timer means that the event loop is "too busy", and sends are dropped until
    the timer is on time again. They get a 2xx, because an error would only make widgets send again.
    """

    _ticked: float = field(default_factory=time.monotonic)
    _ticker: asyncio.Task[None] | None = None
    _busy: bool = False

    async def start(self) -> None:
        self._ticker = asyncio.create_task(self._tick())

    async def send(self, conversation: Conversation, role: str, text: str) -> JsonResponse:
        if self._busy or time.monotonic() - self._ticked > _TOO_BUSY:
            return JsonResponse(200, {"success": True, "message": "sent"})
        return await super().send(conversation, role, text)

    async def _tick(self) -> None:
        self._ticked = time.monotonic()
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            self._busy, self._ticked = now - self._ticked > _TOO_BUSY, now


_TICK, _TOO_BUSY = 0.2, 2.0  # seconds


@dataclass
class SwallowsStoreErrors(Chat):
    """Broken: *503 while the store is locked or full*. It responds with 2xx, and only logs the error.

    `except Exception: logger.exception(...)` around the insert, so that database problems do not interrupt the chat.
    """

    async def send(self, conversation: Conversation, role: str, text: str) -> JsonResponse:
        try:
            return await super().send(conversation, role, text)
        except Unavailable as error:
            _log.warning("could not store a message: %s", error)
            return JsonResponse(200, {"success": True, "message": "sent"})
