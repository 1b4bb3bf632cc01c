"""Which messages the push chat publishes to which users, and in which order, in one process and without a store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from chatswarm.backend.chat.push_service import PushService
from chatswarm.backend.fanout.sockets import Sockets
from chatswarm.backend.fanout.turns import SLICE
from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.settings import Settings
from chatswarm.backend.store.records import Committed, Position, Post, RoomChange
from tests.backend.servers import frames_in


class Sink:
    """A connection that records the texts and events it gets, in order."""

    def __init__(self) -> None:
        self.received: list[str] = []

    def write(self, data: bytes) -> bool:
        self.received += [json.loads(payload)["text"] for _, payload in frames_in(data)]
        return True

    def unsent(self) -> int:
        return 0

    def event(self, name: str) -> Callable[[], None]:
        return lambda: self.received.append(name)


class Published:
    """A service to which a test publishes commits. Frames are joined for a long time, so they stay pending."""

    def __init__(self, join_window: float = 1.0) -> None:
        settings = Settings(push=True, join_window=join_window)
        self.service = PushService(settings, Sockets(1 << 20, 5), BackendMetrics())
        self.posts = 0
        self.changes = 0
        self._entries: list[Post | RoomChange] = []

    def post(self, text: str, room: str = "a") -> None:
        self.posts += 1
        self._entries.append(Post(self.posts, room, "ann", text, "2026-01-31T12:00:00.000000Z"))

    def change(self, user: str | None, *, member: bool = True, room: str = "a") -> None:
        self.changes += 1
        self._entries.append(RoomChange(self.changes, self.posts, 1, room, user, int(member)))

    def publish(self) -> None:
        """Publish everything since the last time as one page of the log."""
        posts = [each for each in self._entries if isinstance(each, Post)]
        changes = [each for each in self._entries if isinstance(each, RoomChange)]
        self._entries = []
        committed = Committed(
            Position(), Position(), posts=posts, post_moments=[0.0] * len(posts), room_changes=changes
        )
        self.service._publish(committed)

    def join(self, user: str, sink: Sink, room: str = "a", *, hold: bool = False) -> None:
        joined = self.service.room_of(user, room)
        joined.join(user, sink, "id", sink.event(f"{user} left"), hold=hold)


@pytest.mark.parametrize("join_window", [0.0, 1.0])
def test_within_a_page_a_removed_member_gets_what_came_before_and_nothing_after(join_window: float) -> None:
    """Promise 4, and members only: posts and changes are applied in commit order."""

    async def scenario() -> None:
        it = Published(join_window)
        it.change(None)
        it.change("ann")
        it.change("bob")
        it.publish()
        ann, bob, bobs_other = Sink(), Sink(), Sink()
        for user, sink in (("ann", ann), ("bob", bob), ("bob", bobs_other)):
            it.join(user, sink)
        it.post("0")
        it.publish()
        it.post("1")
        it.publish()
        it.post("2")
        it.change("bob", member=False)
        it.post("3")
        it.change("bob")
        it.post("4")
        it.publish()
        it.service._flush()
        assert bob.received == bobs_other.received == ["0", "1", "2", "bob left"]
        assert ann.received == ["0", "1", "2", "3", "4"]
        # A member again, but not joined: the connection has to ask.
        it.join("bob", bob)
        it.post("5")
        it.publish()
        it.service._flush()
        assert bob.received[4:] == ["5"]
        assert bobs_other.received[4:] == []

    asyncio.run(scenario())


def test_a_removal_in_the_middle_of_a_broadcast_writes_each_message_once() -> None:
    async def scenario() -> None:
        it = Published(0.0)
        users = [f"user-{number}" for number in range(450)]
        it.change(None)
        for user in users:
            it.change(user)
        it.publish()
        sinks = {user: Sink() for user in users}
        for user in users:
            it.join(user, sinks[user])
        # The first slices are written at once, the others when the loop gets to them.
        it.post("0")
        it.publish()
        early, late = users[0], users[-1]
        assert (sinks[early].received, sinks[late].received) == (["0"], [])
        it.post("1")
        for user in (early, late):
            it.change(user, member=False)
        it.post("2")
        it.publish()
        for _ in range(20):
            await asyncio.sleep(0.01)
            it.service._flush()
        for user in (early, late):
            assert sinks[user].received == ["0", "1", f"{user} left"]
        assert all(sinks[user].received == ["0", "1", "2"] for user in users[1:-1])

    asyncio.run(scenario())


def test_a_removal_drops_what_is_held_back_during_a_replay() -> None:
    async def scenario() -> None:
        it = Published()
        it.change(None)
        it.change("bob")
        it.publish()
        bob = Sink()
        it.join("bob", bob, hold=True)
        it.post("held")
        it.change("bob", member=False)
        it.publish()
        it.service._flush()
        assert bob.received == ["bob left"]

    asyncio.run(scenario())


def test_a_message_reaches_only_its_room() -> None:
    async def scenario() -> None:
        it = Published()
        for room in ("a", "b"):
            it.change(None, room=room)
            it.change("ann", room=room)
        it.publish()
        of_a, of_b = Sink(), Sink()
        it.join("ann", of_a, "a")
        it.join("ann", of_b, "b")
        for number in range(4):
            it.post(str(number), "ab"[number % 2])
        it.publish()
        it.service._flush()
        assert (of_a.received, of_b.received) == (["0", "2"], ["1", "3"])

    asyncio.run(scenario())


def test_many_rooms_share_the_loop_and_each_gets_everything_in_order() -> None:
    """Promise 6: broadcasts are sliced, over all rooms together."""

    async def scenario() -> None:
        it = Published(0.0)
        rooms = [f"room-{number}" for number in range(100)]
        members = [f"user-{number}" for number in range(20)]
        sinks = {room: [Sink() for _ in members] for room in rooms}
        for room in rooms:
            it.change(None, room=room)
            for user in members:
                it.change(user, room=room)
        it.publish()
        for room in rooms:
            for user, sink in zip(members, sinks[room], strict=True):
                it.join(user, sink, room)
        for number in range(3):
            for room in rooms:
                it.post(str(number), room)
            it.publish()
        everybody = [sink for room in rooms for sink in sinks[room]]
        at_once = sum(len(sink.received) > 0 for sink in everybody)
        assert at_once == SLICE
        # Removed while its room waits for its turn.
        it.change("user-0", member=False, room=rooms[-1])
        it.publish()
        removed = sinks[rooms[-1]][0]
        assert removed.received == ["0", "1", "2", "user-0 left"]
        for _ in range(3 * len(everybody) // SLICE + 10):
            await asyncio.sleep(0)
        everybody.remove(removed)
        assert {tuple(sink.received) for sink in everybody} == {("0", "1", "2")}
        assert removed.received == ["0", "1", "2", "user-0 left"]

    asyncio.run(scenario())
