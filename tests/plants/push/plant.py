"""The base classes of the push chat's plants, which record what they broke and which users it affects."""

from dataclasses import dataclass, field
from typing import ClassVar

from tests.plants.plant import Truth

from .chat import Post, PushChat, PushSocket


@dataclass
class PushPlant(PushChat):
    """A push chat with a defect."""

    victim: str = ""
    """The user that the defect affects, where it does not affect all: a name, or one up to its first dot. If empty, the
    second to join a room."""
    broken: set[int] = field(default_factory=set)  # the ids of the messages that the defect affected
    unseen: set[tuple[int, str]] = field(default_factory=set)  # deliveries that the defect prevented: ids and users
    finding: ClassVar[str] = ""
    cause: ClassVar[str] = ""  # as that of a `Plant`
    cause_of_lost: ClassVar[str] = ""
    viewers: dict[str, None] = field(default_factory=dict)  # the users who have joined a room, in this order

    def truth(self) -> Truth:
        """The counts that a verdict must have. Call it after the run."""
        return {self.finding: len(self.broken)}

    def subscribed(self, socket: PushSocket, room: str) -> None:
        self.viewers.setdefault(socket.user)
        if len(self.viewers) == 2:
            self.victim = self.victim or socket.user

    def nth(self, step: int) -> bool:
        """Whether the current send is a multiple of `step`."""
        return self.sends % step == 0

    def is_victim(self, user: str) -> bool:
        return bool(self.victim) and self.victim in (user, user.partition(".")[0])

    def hits(self, socket: PushSocket, step: int) -> bool:
        """Whether the current delivery is to the victim, and a multiple of `step` there."""
        return self.is_victim(socket.user) and socket.due % step == 0

    def lose(self, post: Post) -> None:
        """Notes that nobody in the room will see a message."""
        self.broken.add(post.id)
        self.unseen |= {(post.id, socket.user) for socket in self.joined(post.room)}

    def owed(self) -> int:
        """How many messages the victim should have been shown, which all are stored."""
        return sum(len(room.posts) for room in self.rooms.values() if any(map(self.is_victim, room.members)))
