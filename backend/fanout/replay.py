"""Replays the messages that a dashboard missed, then goes live, with no gap and no duplicate.

    registered at the head ──► pages of the log up to that head ──► frames held back meanwhile ──► live

If the replay cannot be complete (too many messages missed, too many arriving meanwhile, an unreadable log, or an id
from another store), the dashboard is asked to refetch instead and goes live from there. That frame is an extension:

    {"type": "refetch", "subscription_type": "chat_updates", "last_message_id": <frames after this one follow>}
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.store.records import Message, StoreUnavailableError
from chatswarm.backend.wire.frames import CHAT_UPDATES, notification, refetch, text_frame

from .hub import Hub, Subscriber

PAGE: Final = 256
LONGEST: Final = 20_000
"""At most this many messages are replayed; beyond that, one refetch is cheaper."""

ReadPage = Callable[[int, int, int], Awaitable[Sequence[Message]]]
"""Reads messages with `after` < id ≤ `upto`, in commit order, at most `limit`: the three arguments."""


async def replay(
    hub: Hub, subscriber: Subscriber, after: int, read: ReadPage, metrics: BackendMetrics, *, max_unsent: int
) -> None:
    """Send all messages after `after` to a subscriber that was registered with `hold`, then let it go live.

    Keeps at most about `max_unsent` bytes unsent. Ends early if the connection closes.
    """
    upto = subscriber.since
    complete = after <= upto <= after + LONGEST
    position = after
    while complete and position < upto and not subscriber.overflowed:
        try:
            page = await read(position, upto, PAGE)
        except StoreUnavailableError:
            page = []
        if not page:
            complete = False
            break
        if not await _drained(subscriber, max_unsent):
            return
        if not subscriber.sink.write(b"".join([text_frame(notification(message)) for message in page])):
            return
        metrics.replayed.inc(len(page))
        position = page[-1].id
    if complete and not await _drained(subscriber, max_unsent):
        return
    if not complete or subscriber.overflowed:
        if subscriber.overflowed:
            # The held frames are gone, so go on from the current head; the hub may still be broadcasting older ones.
            subscriber.since = hub.head
        metrics.refetch_told.inc()
        subscriber.sink.write(refetch(CHAT_UPDATES, subscriber.since))
    for moment in subscriber.release():
        metrics.delivery_seconds.observe(time.monotonic() - moment)


async def _drained(subscriber: Subscriber, max_unsent: int) -> bool:
    """Wait until no more than `max_unsent` bytes are unsent. False if the subscriber is gone."""
    # Polling is cheap and rare here; an event would have to be set on every write of the transport.
    while subscriber.active and subscriber.sink.unsent() > max_unsent:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    return subscriber.active
