"""The hub's bookkeeping, tested with sinks that record every write."""

from __future__ import annotations

import asyncio
import time

from chatswarm.backend.fanout.hub import Hub
from chatswarm.backend.fanout.turns import SLICE
from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.wire.frames import OutgoingFrame


class Notes:
    """A sink that records each write separately; each takes `slow` seconds."""

    def __init__(self, slow: float = 0.0) -> None:
        self.writes: list[bytes] = []
        self.slow = slow

    def write(self, data: bytes) -> bool:
        if self.slow:
            time.sleep(self.slow)
        self.writes.append(data)
        return True

    def unsent(self) -> int:
        return 0


def frames(*numbers: int) -> list[OutgoingFrame]:
    return [OutgoingFrame(number, b"<%d>" % number, time.monotonic()) for number in numbers]


def hub(join_window: float = 0.2, held_limit: int = 1000) -> Hub:
    return Hub(BackendMetrics(), join_window=join_window, held_limit=held_limit)


def test_a_lone_frame_is_written_before_publish_returns() -> None:
    async def scenario() -> None:
        it, sink = hub(), Notes()
        it.subscribe(sink, "a")
        it.publish(frames(1))
        assert sink.writes == [b"<1>"]

    asyncio.run(scenario())


def test_frames_within_the_window_share_a_write_in_order() -> None:
    async def scenario() -> None:
        it, sink = hub(), Notes(slow=0.02)
        it.subscribe(sink, "a")
        it.publish(frames(1))
        await asyncio.sleep(0)
        for number in range(2, 6):
            it.publish(frames(number))
        assert sink.writes == [b"<1>"]
        await asyncio.sleep(0.3)
        assert sink.writes == [b"<1>", b"<2><3><4><5>"]

    asyncio.run(scenario())


def test_a_subscriber_that_joins_while_frames_wait_gets_only_later_ones() -> None:
    async def scenario() -> None:
        it, old, new = hub(), Notes(slow=0.02), Notes()
        it.subscribe(old, "old")
        it.publish(frames(1))
        await asyncio.sleep(0)
        it.publish(frames(2, 3))
        subscriber = it.subscribe(new, "new")
        assert subscriber.since == 3
        it.publish(frames(4))
        await asyncio.sleep(0.3)
        assert (b"".join(old.writes), new.writes) == (b"<1><2><3><4>", [b"<4>"])
        it.publish(frames(5))
        await asyncio.sleep(0.3)
        assert new.writes == [b"<4>", b"<5>"]

    asyncio.run(scenario())


def test_a_broadcast_to_many_yields_to_the_loop() -> None:
    """Promise 6: broadcasts are sliced."""

    async def scenario() -> None:
        it, sinks = hub(), [Notes() for _ in range(3 * SLICE)]
        subscribers = [it.subscribe(sink, str(number)) for number, sink in enumerate(sinks)]
        it.publish(frames(1))
        assert sum(len(sink.writes) for sink in sinks) == SLICE
        # Meanwhile one subscriber leaves, one joins, and the next message arrives.
        it.unsubscribe(subscribers[-1])
        late = Notes()
        it.subscribe(late, "late")
        it.publish(frames(2))
        await asyncio.sleep(0.3)
        assert sinks[-1].writes == []
        assert {b"".join(sink.writes) for sink in sinks[:-1]} == {b"<1><2>"}
        assert late.writes == [b"<2>"]

    asyncio.run(scenario())


def test_held_frames_follow_the_replay_and_too_many_are_dropped() -> None:
    async def scenario() -> None:
        it, patient, slow = hub(held_limit=10), Notes(), Notes()
        it.publish(frames(7))
        first = it.subscribe(patient, "patient", hold=True)
        it.publish(frames(8))
        second = it.subscribe(slow, "slow", hold=True)
        for number in range(100, 103):
            it.publish(frames(number))
            it.flush()
        assert (first.since, second.since) == (7, 8)
        assert (patient.writes, slow.writes) == ([], [])
        assert (first.overflowed, second.overflowed) == (True, True)
        third = it.subscribe(again := Notes(), "again", hold=True)
        it.publish(frames(200))
        it.flush()
        third.release()
        it.publish(frames(201))
        it.flush()
        assert b"".join(again.writes) == b"<200><201>"

    asyncio.run(scenario())


def test_flush_writes_everything_at_once() -> None:
    async def scenario() -> None:
        it, sinks = hub(), [Notes() for _ in range(2 * SLICE)]
        for number, sink in enumerate(sinks):
            it.subscribe(sink, str(number))
        it.publish(frames(1))
        it.publish(frames(2))
        it.flush()
        assert {b"".join(sink.writes) for sink in sinks} == {b"<1><2>"}
        await asyncio.sleep(0.1)
        assert {b"".join(sink.writes) for sink in sinks} == {b"<1><2>"}

    asyncio.run(scenario())
