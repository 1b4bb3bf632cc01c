"""Push chats that show wrong contents: `duplicated`, `reordered`, `phantom`, `vanished`, `corrupted`, `misplaced`."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tests.plants.plant import Truth
from tests.plants.wire import Response

from .chat import Post, PushSocket
from .plant import PushPlant

# duplicated


class PushesTwice(PushPlant):
    """Every eighth message that one member should get is sent to it twice."""

    finding = "duplicated"
    cause = "announced_twice"

    def deliver(self, socket: PushSocket, post: Post) -> None:
        super().deliver(socket, post)
        if self.hits(socket, 8):
            self.broken.add(post.id)
            super().deliver(socket, post)


@dataclass
class ReplaysAndPushes(PushPlant):
    """With every twentieth message, viewers are closed. One of them then gets the last replayed message live, too."""

    finding = "duplicated"
    cause = "replay_overlaps"
    closes_every: int = 20

    def missed(self, socket: PushSocket, room: str, after: int) -> Sequence[Post]:
        posts = super().missed(socket, room, after)
        if self.is_victim(socket.user):
            for post in posts[-1:]:
                self.broken.add(post.id)
                # Once the replay and its end have been sent.
                asyncio.get_running_loop().call_soon(super().deliver, socket, post)
        return posts


class KeepsTwice(PushPlant):
    """Every eighth message is stored twice, under two ids, and announced once."""

    finding = "duplicated"
    cause = "stored_twice"

    def announce(self, post: Post) -> None:
        super().announce(post)
        if self.nth(8):
            self.broken.add(self.store(post.user, post.room, post.text).id)


# reordered


@dataclass
class PushesOutOfOrder(PushPlant):
    """Every eighth message that one member should get is sent after the next one in its room, if any comes in 1.5 s."""

    finding = "reordered"
    cause = "announced_out_of_order"
    held: dict[str, tuple[Post, asyncio.TimerHandle]] = field(default_factory=dict)  # by room

    def deliver(self, socket: PushSocket, post: Post) -> None:
        if self.is_victim(socket.user) and post.room in self.held:
            before, timer = self.held.pop(post.room)
            timer.cancel()
            self.broken.add(before.id)
            super().deliver(socket, post)
            super().deliver(socket, before)
        elif self.hits(socket, 8):
            timer = asyncio.get_running_loop().call_later(1.5, self.release, socket, post.room)
            self.held[post.room] = post, timer
        else:
            super().deliver(socket, post)

    def release(self, socket: PushSocket, room: str) -> None:
        super().deliver(socket, self.held.pop(room)[0])

    def on_their_way(self) -> bool:
        return bool(self.held)


class KeepsOutOfOrder(PushPlant):
    """Every eighth message is stored before the previous one in its room, if that one is from the same user."""

    finding = "reordered"
    cause = "stored_out_of_order"

    def store(self, user: str, room: str, text: str) -> Post:
        post = super().store(user, room, text)
        posts = self.rooms[room].posts
        if self.nth(8) and len(posts) > 1 and posts[-2].user == user:
            posts[-2:] = [posts[-1], posts[-2]]
            self.broken.add(post.id)
        return post


# phantom


class PushesInventions(PushPlant):
    """After every tenth message, one that its user did not send is stored and announced."""

    finding = "phantom"
    cause = "never_sent"

    async def send(self, user: str, room: str, text: str) -> Response:
        response = await super().send(user, room, text)
        if self.nth(10):
            phantom = self.store(user, room, "Hello?")
            self.broken.add(phantom.id)
            self.announce(phantom)
        return response


class PushesRejectedSends(PushPlant):
    """Every tenth message is rejected with 422, but is stored and announced."""

    finding = "phantom"
    cause = "stored_though_rejected"

    async def send(self, user: str, room: str, text: str) -> Response:
        response = await super().send(user, room, text)
        if self.nth(10):
            self.broken.add(self.ids)
            return 422, {"error": "no"}
        return response

    def truth(self) -> Truth:
        return {"phantom": len(self.broken), "refused": len(self.broken)}


# vanished


class DeletesWhatItShowed(PushPlant):
    """Every seventh message is announced, and then deleted."""

    finding = "vanished"
    cause = "deleted"

    def announce(self, post: Post) -> None:
        super().announce(post)
        if self.nth(7):
            self.broken.add(post.id)
            self.rooms[post.room].posts.remove(post)

    def truth(self) -> Truth:
        return {"vanished": len(self.broken), "store_lost": len(self.broken)}


# corrupted


class WrapsInHtml(PushPlant):
    """Every eighth message is stored and announced as a paragraph of HTML."""

    finding = "corrupted"
    cause = "text_changed"

    def store(self, user: str, room: str, text: str) -> Post:
        if not self.nth(8):
            return super().store(user, room, text)
        post = super().store(user, room, f"<p>{text}</p>")
        self.broken.add(post.id)
        return post


class ChangesACharacter(PushPlant):
    """Every eighth message is announced with the character in its middle replaced. The store is correct."""

    finding = "corrupted"
    cause = "text_changed"

    def announce(self, post: Post) -> None:
        if self.nth(8):
            self.broken.add(post.id)
            middle = len(post.text) // 2
            post = replace(post, text=f"{post.text[:middle]}\ufffd{post.text[middle + 1 :]}")
        super().announce(post)


# misplaced


class PushesIntoAnotherRoom(PushPlant):
    """Every fifth message that one member should get is announced to it in another of its rooms."""

    finding = "misplaced"
    cause = "shown_in_another_chat"

    def deliver(self, socket: PushSocket, post: Post) -> None:
        others = sorted(socket.joined - {post.room})
        if self.hits(socket, 5) and others:
            self.broken.add(post.id)
            post = replace(post, room=others[0])
        super().deliver(socket, post)
