"""Replay of what a dashboard missed, with no gap and no duplicate before the live frames.

    registered at the head ──► pages of the log up to that head ──► frames held back meanwhile ──► live

Where that cannot be whole (too much was missed, too much came meanwhile, the log cannot be read, or the id is not of
this store), the dashboard is told to refetch instead, and goes on live from there. The frame for that is ours:

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
"""Messages that are replayed at most; whoever missed more is better served by one refetch."""

ReadPage = Callable[[int, int, int], Awaitable[Sequence[Message]]]
"""Messages with ids above the first argument, up to the second, at most as many as the third, in commit order."""


async def replay(
    hub: Hub, subscriber: Subscriber, after: int, read: ReadPage, metrics: BackendMetrics, *, room: int
) -> None:
    """Send everything after `after` to a subscriber that was registered with `hold`, then let it go live.

    At most about `room` bytes are left unsent at a time. Ends early if the connection does.
    """
    upto = subscriber.since
    whole = after <= upto <= after + LONGEST
    position = after
    while whole and position < upto and not subscriber.overflowed:
        try:
            page = await read(position, upto, PAGE)
        except StoreUnavailableError:
            page = []
        if not page:
            whole = False
            break
        if not await _room(subscriber, room):
            return
        if not subscriber.outlet.write(b"".join([text_frame(notification(message)) for message in page])):
            return
        metrics.replayed.inc(len(page))
        position = page[-1].id
    if whole and not await _room(subscriber, room):
        return
    if not whole or subscriber.overflowed:
        if subscriber.overflowed:
            # What was held back is gone, so it goes on from here; some of it may still be on its way through the hub.
            subscriber.since = hub.head
        metrics.refetch_told.inc()
        subscriber.outlet.write(refetch(CHAT_UPDATES, subscriber.since))
    for moment in subscriber.release():
        metrics.delivery_seconds.observe(time.monotonic() - moment)


async def _room(subscriber: Subscriber, room: int) -> bool:
    """Wait until no more than `room` bytes are unsent. False if the subscriber is gone."""
    # Asking again is cheap and rare; an event for it would have to be set by every write of the transport.
    while subscriber.active and subscriber.outlet.unsent() > room:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    return subscriber.active
