"""Replays the messages that a subscriber missed, then goes live, with no gap and no duplicate.

    registered at the head ──► pages of the log up to that head ──► frames held back meanwhile ──► live

If the replay cannot be complete (too many messages missed, too many arriving meanwhile, an unreadable log, or an id
from another store), the subscriber is told so instead and goes live from there. A dashboard is asked to refetch by a
frame that is an extension:

    {"type": "refetch", "subscription_type": "chat_updates", "last_message_id": <frames after this one follow>}
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Protocol

from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.store.records import Message, StoreUnavailableError
from chatswarm.backend.wire.frames import CHAT_UPDATES, notification, refetch, text_frame

from .hub import Hub, Subscriber

PAGE: Final = 256
LONGEST: Final = 20_000
"""At most this many messages are replayed to a dashboard; beyond that, one refetch is cheaper."""


class ReplaySource(Protocol):
    """What can be replayed from one log, and how its frames look."""

    async def fits(self, after: int, upto: int) -> bool:
        """Whether the messages with `after` < id ≤ `upto` can be replayed. Raises StoreUnavailableError."""

    async def page(self, after: int, upto: int, limit: int) -> tuple[int, list[bytes]]:
        """The frames of the messages with `after` < id ≤ `upto`, in commit order, at most `limit`, and the last id.

        Raises StoreUnavailableError.
        """

    def finished(self, last: int, *, complete: bool) -> bytes:
        """The frame that ends the replay, after which those after the message `last` follow; b"" for none."""


ReadPage = Callable[[int, int, int], Awaitable[Sequence[Message]]]
"""Reads messages with `after` < id ≤ `upto`, in commit order, at most `limit`: the three arguments."""


class ChatUpdates:
    """The announcements of all messages of all chats, for dashboards."""

    def __init__(self, read: ReadPage) -> None:
        self._read = read

    async def fits(self, after: int, upto: int) -> bool:
        """Ids have no gaps, so they tell how much was missed."""
        return after <= upto <= after + LONGEST

    async def page(self, after: int, upto: int, limit: int) -> tuple[int, list[bytes]]:
        """A page of announcements."""
        messages = await self._read(after, upto, limit)
        return messages[-1].id if messages else after, [text_frame(notification(each)) for each in messages]

    def finished(self, last: int, *, complete: bool) -> bytes:
        """A complete replay has no last frame."""
        return b"" if complete else refetch(CHAT_UPDATES, last)


async def replay(
    hub: Hub, subscriber: Subscriber, after: int, source: ReplaySource, metrics: BackendMetrics, *, max_unsent: int
) -> None:
    """Send all messages after `after` to a subscriber that was registered with `hold`, then let it go live.

    Keeps at most about twice `max_unsent` bytes unsent. Ends early if the connection closes.
    """
    upto = subscriber.since
    position = after
    try:
        complete = await source.fits(after, upto)
        while complete and position < upto and not subscriber.overflowed:
            position, frames = await source.page(position, upto, PAGE)
            if not frames:
                complete = False
                break
            for piece in _pieces(frames, max_unsent):
                if not await _drained(subscriber, max_unsent) or not subscriber.sink.write(piece):
                    return
            metrics.replayed.inc(len(frames))
    except StoreUnavailableError:
        complete = False
    if complete and not await _drained(subscriber, max_unsent):
        return
    complete = complete and not subscriber.overflowed
    if not complete:
        if subscriber.overflowed:
            # The held frames are gone, so go on from the current head; the hub may still be broadcasting older ones.
            subscriber.since = hub.head
        metrics.refetch_told.inc()
    end = source.finished(subscriber.since, complete=complete)
    if end:
        subscriber.sink.write(end)
    for moment in subscriber.release():
        metrics.delivery_seconds.observe(time.monotonic() - moment)


def _pieces(frames: Sequence[bytes], size: int) -> Iterator[bytes]:
    """The frames, joined into pieces of at most `size` bytes, or of one frame."""
    piece: list[bytes] = []
    length = 0
    for frame in frames:
        if piece and length + len(frame) > size:
            yield b"".join(piece)
            piece, length = [], 0
        piece.append(frame)
        length += len(frame)
    if piece:
        yield b"".join(piece)


async def _drained(subscriber: Subscriber, max_unsent: int) -> bool:
    """Wait until no more than `max_unsent` bytes are unsent. False if the subscriber is gone."""
    # Polling is cheap and rare here; an event would have to be set on every write of the transport.
    while subscriber.active and subscriber.sink.unsent() > max_unsent:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    return subscriber.active
