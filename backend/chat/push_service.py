"""The push chat's service in one worker: publishes posts and changes of rooms to the rooms' hubs, in commit order.

commits of all workers ─► posts and changes, merged in commit order ─► each room's hub (frames) ─► acknowledgements

A membership that ends is part of the log like a post, so on every worker the frames of what came before it are written
first, and nothing that came after it is written to that user.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from chatswarm.backend.fanout.hub import Hub
from chatswarm.backend.fanout.sockets import Sockets
from chatswarm.backend.fanout.turns import Turns
from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.settings import Settings
from chatswarm.backend.store import rooms as writes
from chatswarm.backend.store.records import (
    Committed,
    OutcomeUnknownError,
    Position,
    Post,
    RoomChange,
    StoredRoom,
    StoreUnavailableError,
)
from chatswarm.backend.store.timestamps import age
from chatswarm.backend.workers.supervisor import WorkerContext

from .line_printer import LinePrinter
from .rooms import Room
from .worker_service import WorkerService

_NO_MEMBER: Final = "room: expected one that you are a member of, got {!r}"
_NO_ROOM: Final = "room: expected the name of a room, got {!r}"


class PostRefusedError(Exception):
    """A post was refused. `status` is that of an HTTP response, `retry_after` is in seconds."""

    def __init__(self, status: int, reason: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class PushService(WorkerService):
    """The rooms, their members and their hubs."""

    def __init__(
        self, settings: Settings, sockets: Sockets, metrics: BackendMetrics, worker: WorkerContext | None = None
    ) -> None:
        super().__init__(settings, sockets, metrics, worker)
        self.lines = LinePrinter()
        self.head = 0
        """The id of the last post in any room."""
        self.unacknowledged = 0
        """The number of sends over sockets that have no answer yet."""
        self._rooms: dict[str, Room] = {}
        self._turns = Turns()

    @property
    def unanswered(self) -> int:
        """The number of writes whose senders have no answer yet."""
        return self.store.waiting + self.unacknowledged

    def find_room(self, name: str) -> Room | None:
        """The room with that name, even if another worker has only just created it. Raises StoreUnavailableError."""
        room = self._rooms.get(name)
        if room is None:
            self.catch_up()
            room = self._rooms.get(name)
        return room

    def room_of(self, user: str, name: str) -> Room:
        """The room with that name, of which the user is a member now, according to all that any worker has committed.

        Raises PostRefusedError if there is no such room or the user is no member, StoreUnavailableError.
        """
        self.catch_up()
        room = self._rooms.get(name)
        if room is None:
            raise PostRefusedError(404, "no_chat", _NO_ROOM.format(name[:80]))
        if user not in room.members:
            raise PostRefusedError(403, "no_member", _NO_MEMBER.format(name[:80]))
        return room

    async def post(self, user: str, name: str, text: str, key: str | None) -> writes.Posted:
        """Store a post; returns its id once it is on disk, or the first one's if the key is known.

        Raises PostRefusedError, and counts it.
        """
        try:
            posted = await self._post(user, name, text, key)
        except PostRefusedError as refused:
            self.metrics.refused[refused.reason].inc()
            raise
        (self.metrics.accepted["user"] if posted.fresh else self.metrics.repeated).inc()
        return posted

    async def _post(self, user: str, name: str, text: str, key: str | None) -> writes.Posted:
        longest = self.settings.max_message_length
        if not text or text.isspace():
            raise PostRefusedError(400, "empty", "text: expected text, got nothing")
        if len(text) > longest:
            raise PostRefusedError(413, "too_long", f"text: expected at most {longest} characters, got {len(text)}")
        try:
            room = self.find_room(name)
            if room is None:
                raise PostRefusedError(404, "no_chat", _NO_ROOM.format(name[:80]))
            if self.rate is not None and (wait := self.rate.wait(user, asyncio.get_running_loop().time())):
                raise PostRefusedError(429, "rate", "Too many messages from this user", wait)
            # Who is a member is decided within the commit, whichever worker ended a membership just before.
            posted = await self.store.write(writes.post(room.row, name, user, text, key))
        except StoreUnavailableError as error:
            message = f"The store is not available, nothing was stored: {error}"
            raise PostRefusedError(503, "unavailable", message, 1) from error
        except OutcomeUnknownError as error:
            message = f"The store failed, the message may or may not be stored: {error}"
            raise PostRefusedError(500, "unknown", message) from error
        if posted is None:
            raise PostRefusedError(403, "no_member", _NO_MEMBER.format(name[:80]))
        return posted

    async def _load(self) -> Position:
        loaded = await self.log.rooms()
        for room in loaded.rooms:
            self._rooms[room.name] = Room(room, self._make_hub)
        self.head = loaded.position.posts
        self.metrics.rooms.set(len(self._rooms))
        return loaded.position

    def _make_hub(self, head: int) -> Hub:
        limit = self.settings.buffer_limit // 2
        return Hub(self.metrics, join_window=self.settings.join_window, held_limit=limit, head=head, turns=self._turns)

    def _publish(self, committed: Committed) -> None:
        now = time.monotonic()
        posts = [
            (post, now - age(post.at) if moment is None else moment)
            for post, moment in zip(committed.posts, committed.post_moments, strict=True)
        ]
        start = 0
        for change in committed.room_changes:
            end = start
            while end < len(posts) and posts[end][0].id <= change.after:
                end += 1
            self._publish_posts(posts[start:end])
            self._change(change)
            start = end
        self._publish_posts(posts[start:])

    def _publish_posts(self, posts: Iterable[tuple[Post, float]]) -> None:
        by_room: dict[str, list[tuple[Post, float]]] = {}
        for each in posts:
            by_room.setdefault(each[0].room, []).append(each)
            self.head = each[0].id
        for name, those in by_room.items():
            self._rooms[name].publish(those)

    def _change(self, change: RoomChange) -> None:
        if change.user is None:
            self._rooms[change.room] = Room(StoredRoom(change.row, change.room, 0, frozenset()), self._make_hub)
            self.metrics.rooms.set(len(self._rooms))
        elif change.member:
            self._rooms[change.room].members.add(change.user)
        else:
            self._rooms[change.room].remove(change.user)

    def _flush(self) -> None:
        for room in self._rooms.values():
            if room.hub is not None:
                room.hub.flush()
