"""Promise 5: a subscriber with `after` gets what it missed, or is asked to refetch; never a silent gap."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

import pytest

from chatswarm.backend.fanout.hub import Hub, Subscriber
from chatswarm.backend.fanout.replay import LONGEST, PAGE, ChatUpdates, replay
from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.store.records import Message, StoreUnavailableError
from chatswarm.backend.wire.frames import OutgoingFrame, notification, text_frame
from tests.backend.servers import frames_in


def message(number: int) -> Message:
    return Message(number, "c", number, "user", "x", "t")


def frame(number: int) -> OutgoingFrame:
    return OutgoingFrame(number, text_frame(notification(message(number))), time.monotonic())


class Dashboard:
    """A sink that records what it receives: message ids, and ("refetch", id)."""

    def __init__(self) -> None:
        self.received: list[object] = []
        self.left = 0

    def write(self, data: bytes) -> bool:
        for _, payload in frames_in(data):
            value = json.loads(payload)
            is_refetch = value["type"] == "refetch"
            self.received.append(("refetch", value["last_message_id"]) if is_refetch else value["data"]["message_id"])
        return True

    def unsent(self) -> int:
        return self.left


class ReplaySetup:
    """A hub at a head, one dashboard that subscribes with `hold`, and a log whose behaviour a test can change."""

    def __init__(self, head: int, *, held_limit: int = 1 << 20) -> None:
        self.metrics = BackendMetrics()
        self.hub = Hub(self.metrics, join_window=0.0, held_limit=held_limit, head=head)
        self.dashboard = Dashboard()
        self.subscriber: Subscriber = self.hub.subscribe(self.dashboard, "d", hold=True)
        self.meanwhile: list[list[int]] = []
        """Messages that arrive while each page of the log is read."""
        self.fails_at: int | None = None
        self.pages = 0

    async def read(self, after: int, upto: int, limit: int) -> Sequence[Message]:
        self.pages += 1
        if self.pages == self.fails_at:
            raise StoreUnavailableError("made up")
        if self.meanwhile:
            self.say(*self.meanwhile.pop(0))
        return [message(number) for number in range(after + 1, min(upto, after + limit) + 1)]

    def say(self, *numbers: int) -> None:
        for number in numbers:
            self.hub.publish([frame(number)])
            self.hub.flush()

    async def replay(self, after: int) -> list[object]:
        await replay(self.hub, self.subscriber, after, ChatUpdates(self.read), self.metrics, max_unsent=1000)
        return self.dashboard.received


def test_log_pages_then_held_frames_then_live() -> None:
    async def scenario() -> None:
        it = ReplaySetup(head=2 * PAGE + 10)
        last = it.hub.head
        it.meanwhile = [[last + 1, last + 2], [], [last + 3]]
        assert await it.replay(after=5) == list(range(6, last + 4))
        assert it.pages == 3
        it.say(last + 4)
        assert it.dashboard.received[-1] == last + 4

    asyncio.run(scenario())


@pytest.mark.parametrize(("head", "after"), [(10, 11), (LONGEST + 6, 5), (0, 1)])
def test_an_id_of_another_store_or_too_many_missed_messages_cause_a_refetch(head: int, after: int) -> None:
    async def scenario() -> None:
        it = ReplaySetup(head)
        it.say(head + 1)
        assert await it.replay(after) == [("refetch", head), head + 1]
        assert it.pages == 0

    asyncio.run(scenario())


def test_the_longest_replay_is_complete() -> None:
    async def scenario() -> None:
        assert await ReplaySetup(LONGEST + 5).replay(after=5) == list(range(6, LONGEST + 6))

    asyncio.run(scenario())


def test_a_log_that_cannot_be_read_to_its_end_causes_a_refetch() -> None:
    async def scenario() -> None:
        it = ReplaySetup(head=2 * PAGE)
        it.fails_at = 2
        it.meanwhile = [[2 * PAGE + 1]]
        assert await it.replay(after=0) == [*range(1, PAGE + 1), ("refetch", 2 * PAGE), 2 * PAGE + 1]

    asyncio.run(scenario())


def test_too_many_held_frames_cause_a_refetch_and_it_goes_on_from_there() -> None:
    """The buffer for held frames is bounded."""

    async def scenario() -> None:
        it = ReplaySetup(head=10, held_limit=500)
        it.meanwhile = [[11, 12, 13, 14, 15, 16]]
        received = await it.replay(after=8)
        assert received == [9, 10, ("refetch", 16)]
        it.say(17)
        assert received == [9, 10, ("refetch", 16), 17]

    asyncio.run(scenario())


def test_the_replay_waits_for_a_dashboard_that_does_not_read_and_ends_when_it_leaves() -> None:
    async def scenario() -> None:
        it = ReplaySetup(head=10)
        it.dashboard.left = 1001
        task = asyncio.create_task(it.replay(after=0))
        await asyncio.sleep(0.1)
        assert (task.done(), it.dashboard.received) == (False, [])
        it.hub.unsubscribe(it.subscriber)
        assert await task == []

    asyncio.run(scenario())


def test_held_frames_count_as_delivered_and_older_ones_as_replayed() -> None:
    async def scenario() -> None:
        it = ReplaySetup(head=10)
        it.meanwhile = [[11, 12]]
        assert await it.replay(7) == [8, 9, 10, 11, 12]
        value = it.metrics.registry.get_sample_value
        assert value("chat_notifications_replayed_total") == 3
        assert value("chat_delivery_seconds_count") == 2

    asyncio.run(scenario())
