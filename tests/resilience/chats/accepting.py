"""Chats whose 2xx is not worth much."""

import asyncio
import itertools
import logging
import time
from dataclasses import dataclass, field

from .chat import Answer, Chat
from .store import Message, Room, Unavailable

_log = logging.getLogger(__name__)


@dataclass
class AnswersBeforeTheCommit(Chat):
    """Not kept: *a 2xx means that the message is on disk*. It is shown and answered at once; the commit follows.

    Written to take the disk's latency off the answer (a background task, write-behind, `BackgroundTasks.add_task`).
    Everything is well until the process is killed: then the last half a second was said to be there, and is not.
    """

    _ids: "itertools.count[int]" = field(default_factory=itertools.count)
    _commits: set[asyncio.Task[Message]] = field(default_factory=set)

    async def start(self) -> None:
        known = [message_id for room in self.rooms.values() for message_id in room.messages]
        self._ids = itertools.count(max(known, default=0) + 1)

    async def keep(self, room: Room, role: str, text: str) -> Message:
        message = Message(next(self._ids), room.id, role, text)
        commit = asyncio.create_task(self._commit_later(message))
        self._commits.add(commit)
        commit.add_done_callback(self._commits.discard)
        return message

    async def _commit_later(self, message: Message) -> Message:
        await asyncio.sleep(0.5)
        return await self.store.add_message(message.chat, message.role, message.text, message.id)

    async def finish(self) -> None:
        """A deploy loses nothing."""
        await asyncio.gather(*self._commits)


@dataclass
class DropsWhatWaited(Chat):
    """Not kept: *late, never lost*. What has waited while the process stood still is thrown away, and answered 2xx.

    Load shedding as so many have it: a timer that comes late tells that the event loop is "too busy", and requests are
    dropped until it comes in time again; with a 2xx, because an error would only make widgets send once more.
    """

    _ticked: float = field(default_factory=time.monotonic)
    _ticker: asyncio.Task[None] | None = None
    _busy: bool = False

    async def start(self) -> None:
        self._ticker = asyncio.create_task(self._tick())

    async def send(self, room: Room, role: str, text: str) -> Answer:
        if self._busy or time.monotonic() - self._ticked > _TOO_BUSY:
            return Answer(200, {"success": True, "message": "sent"})
        return await super().send(room, role, text)

    async def _tick(self) -> None:
        self._ticked = time.monotonic()
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            self._busy, self._ticked = now - self._ticked > _TOO_BUSY, now


_TICK, _TOO_BUSY = 0.2, 2.0  # seconds


@dataclass
class SwallowsStoreErrors(Chat):
    """Not kept: *503 where the store is locked or full*. It says 2xx, and writes into its log that this was not true.

    `except Exception: logger.exception(...)` around the insert, so that a problem of the database may not break the
    conversation.
    """

    async def send(self, room: Room, role: str, text: str) -> Answer:
        try:
            return await super().send(room, role, text)
        except Unavailable as error:
            _log.warning("could not store a message: %s", error)
            return Answer(200, {"success": True, "message": "sent"})
