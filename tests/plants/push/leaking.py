"""Push chats that show messages to people who are not members of the room: `leaked`."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.plants.plant import Truth

from .chat import Post, PushSocket
from .plant import PushPlant


class PushesToAStranger(PushPlant):
    """Every eighth message is also sent to one user, unless that user is a member of its room."""

    finding = "leaked"
    cause = "never_a_member"

    def announce(self, post: Post) -> None:
        super().announce(post)
        if self.nth(8) and not any(map(self.is_victim, self.rooms[post.room].members)):
            for socket in self.sockets:
                if self.is_victim(socket.user) and socket.joined:
                    self.broken.add(post.id)
                    self.push(socket, self.frame(post))


@dataclass
class LetsStrangersRead(PushPlant):
    """Everybody who is logged in can read every room's messages. Each text that strangers are shown counts once."""

    finding = "leaked"
    cause = "stranger_let_in"
    shown: set[str] = field(default_factory=set)

    def may_read(self, user: str, room: str) -> bool:
        return True

    def showing(self, user: str, room: str, posts: Sequence[Post]) -> None:
        if not super().may_read(user, room):
            self.shown |= {post.text for post in posts}

    def truth(self) -> Truth:
        return {"leaked": len(self.shown)}


@dataclass
class LetsStrangersJoin(PushPlant):
    """Everybody can join every room, and then gets its messages.

    Each room that a stranger joins counts, and each text that strangers are sent counts once.
    """

    finding = "leaked"
    cause = "stranger_let_in"
    let_in: set[tuple[str, str]] = field(default_factory=set)  # users and rooms
    shown: set[str] = field(default_factory=set)

    def may_join(self, user: str, room: str) -> bool:
        if not super().may_join(user, room):
            self.let_in.add((user, room))
        return True

    def deliver(self, socket: PushSocket, post: Post) -> None:
        super().deliver(socket, post)
        if not super().may_join(socket.user, post.room):
            self.shown.add(post.text)

    def truth(self) -> Truth:
        return {"leaked": len(self.let_in) + len(self.shown)}


@dataclass
class PushesToFormerMembers(PushPlant):
    """Sockets keep their subscriptions when their user's membership ends.

    Counts the deliveries of messages that were sent more than 2 s later, as nearer ones count for nobody.
    """

    finding = "leaked"
    cause = "former_member"
    grace: float = 2.0  # seconds
    ended: dict[tuple[str, str], float] = field(default_factory=dict)  # by user and room, in the loop's time
    shown: set[tuple[int, str]] = field(default_factory=set)

    def end(self, user: str, room: str) -> None:
        self.ended[user, room] = asyncio.get_running_loop().time()

    def deliver(self, socket: PushSocket, post: Post) -> None:
        super().deliver(socket, post)
        if socket.user not in self.rooms[post.room].members:
            since = asyncio.get_running_loop().time() - self.ended[socket.user, post.room]
            if since >= self.grace:
                self.shown.add((post.id, socket.user))

    def truth(self) -> Truth:
        return {"leaked": len(self.shown)}
