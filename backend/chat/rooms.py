"""The push chat's rooms in memory: their members, and the hub of each room that somebody has joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from chatswarm.backend.fanout.hub import FrameSink, Hub, Subscriber
from chatswarm.backend.store.records import Post, StoredRoom
from chatswarm.backend.wire.frames import OutgoingFrame
from chatswarm.backend.wire.push_frames import post_frame


class JoinedRoom:
    """One connection of one user in one room. `on_removed` is called when the user's membership ends, after the frames
    of everything that came before.
    """

    __slots__ = ("on_removed", "room", "subscriber", "user")

    def __init__(self, room: Room, user: str, subscriber: Subscriber, on_removed: Callable[[], None]) -> None:
        self.room = room
        self.user = user
        self.subscriber = subscriber
        self.on_removed = on_removed


class Room:
    """One room. `last` is the id of its newest post. Belongs to the event loop."""

    __slots__ = ("_joined", "_make_hub", "hub", "last", "members", "name", "row")

    def __init__(self, stored: StoredRoom, make_hub: Callable[[int], Hub]) -> None:
        self.row = stored.row
        self.name = stored.name
        self.last = stored.last
        self.members = set(stored.members)
        self.hub: Hub | None = None
        self._make_hub = make_hub
        self._joined: dict[str, list[JoinedRoom]] = {}

    def join(
        self, user: str, sink: FrameSink, connection_id: str, on_removed: Callable[[], None], *, hold: bool
    ) -> JoinedRoom:
        """Register a member's connection at the room's newest post; later ones are due."""
        assert user in self.members
        if self.hub is None:
            self.hub = self._make_hub(self.last)
        joined = JoinedRoom(self, user, self.hub.subscribe(sink, connection_id, hold=hold), on_removed)
        self._joined.setdefault(user, []).append(joined)
        return joined

    def leave(self, joined: JoinedRoom) -> None:
        """Send nothing more to this connection. Idempotent."""
        if self.hub is not None:
            self.hub.unsubscribe(joined.subscriber)
        others = [each for each in self._joined.get(joined.user, ()) if each is not joined]
        if others:
            self._joined[joined.user] = others
        else:
            self._joined.pop(joined.user, None)
            if not self._joined:
                self.hub = None

    def publish(self, posts: Iterable[tuple[Post, float]]) -> None:
        """Send posts to all who have joined. Each comes with its commit time, on time.monotonic's clock."""
        posts = list(posts)
        self.last = posts[-1][0].id
        if self.hub is not None:
            self.hub.publish([OutgoingFrame(post.id, post_frame(post), moment) for post, moment in posts])

    def remove(self, user: str) -> None:
        """End a membership: the user's connections get what came before, and nothing after it."""
        self.members.discard(user)
        for joined in self._joined.get(user, []).copy():
            assert self.hub is not None
            self.hub.finish(joined.subscriber)
            self.leave(joined)
            joined.on_removed()
