"""Push chats that do not show every message to every member: `lost`, `gap`, `store_lost`, `late`."""

import asyncio
import base64
import json
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.plants.plant import Truth
from tests.plants.stalling import UPDATE_TARGET
from tests.plants.wire import HttpRequest, Response

from .chat import Batches, Frame, Post, PushSocket
from .plant import PushPlant

# lost


class SkipsOneMember(PushPlant):
    """Every fifth message that one member should get is not sent to it."""

    finding = "lost"
    cause = "one_dashboard or frame_never_sent"

    def deliver(self, socket: PushSocket, post: Post) -> None:
        if self.hits(socket, 5):
            self.broken.add(post.id)
        else:
            super().deliver(socket, post)


@dataclass
class DropsOneOfABatch(PushPlant):
    """Each WebSocket frame that should hold several messages lacks the second."""

    finding = "lost"
    cause = "frame_never_sent"
    batches: Batches = "array"

    def batched(self, socket: PushSocket, frames: list[Frame]) -> list[Frame]:
        number = frames[1]["id"]
        assert isinstance(number, int)
        self.unseen.add((number, socket.user))
        return frames[:1] + frames[2:]

    def truth(self) -> Truth:
        return {"lost": len(self.unseen)}


class OneWorkerMissesMessages(PushPlant):
    """Of two workers, one never hears of what the other accepts, so its sockets are not sent that.

    Sockets are spread over them in turn. So are sends, but by their texts: no period of either tells the workers apart.
    """

    finding = "lost"
    cause = "one_worker"
    accepting: str = ""  # who serves the request that is being answered, which nothing waits for meanwhile

    def served_by(self, request: HttpRequest) -> str:
        number = self.handshakes if request.upgrades else zlib.crc32(request.body)
        self.accepting = f"worker-{number % 2}"
        return self.accepting

    def deliver(self, socket: PushSocket, post: Post) -> None:
        if self.accepting < socket.server:
            self.unseen.add((post.id, socket.user))
        else:
            super().deliver(socket, post)

    def truth(self) -> Truth:
        return {"lost": len(self.unseen)}


class ForgetsAMember(PushPlant):
    """With the twentieth message, one member is told that it has left its rooms, and is sent nothing more."""

    finding = "lost"
    cause = "not_a_member"

    def announce(self, post: Post) -> None:
        if self.sends >= 20:
            self.leave()
            self.unseen |= {(post.id, user) for user in self.rooms[post.room].members if self.is_victim(user)}
        super().announce(post)

    def leave(self) -> None:
        for socket in self.sockets:
            for room in sorted(socket.joined) if self.is_victim(socket.user) else ():
                self.end(socket.user, room)

    def truth(self) -> Truth:
        return {"lost": len(self.unseen)}


@dataclass
class AcceptsWhatIsWritten(PushPlant):
    """Sends over sockets are answered by nothing. Every tenth is neither stored nor announced."""

    finding = "lost"
    cause = "unacknowledged"
    acks: bool = False

    async def send(self, user: str, room: str, text: str) -> Response:
        if not self.nth(10):
            return await super().send(user, room, text)
        post = self.numbered(user, room, text)
        self.lose(post)
        return self.sent(post)

    def truth(self) -> Truth:
        return {"lost": len(self.unseen)}


class GarblesFrames(PushPlant):
    """Every tenth message that a socket should get comes compressed and encoded, which no client expects."""

    finding = "lost"
    cause = "unreadable_frames"

    def deliver(self, socket: PushSocket, post: Post) -> None:
        if socket.due % 10:
            super().deliver(socket, post)
        else:
            self.unseen.add((post.id, socket.user))
            socket.send_text(base64.b64encode(zlib.compress(json.dumps(self.frame(post)).encode())).decode())

    def truth(self) -> Truth:
        return {"lost": len(self.unseen)}


# gap


@dataclass
class ReplaysNothing(PushPlant):
    """With every twentieth message, viewers are closed. What is sent until they are back is never shown to them."""

    finding = "gap"
    cause = "no_replay"
    closes_every: int = 20
    last: dict[tuple[str, str], int] = field(default_factory=dict)  # by user and room: the id of the last message shown

    def deliver(self, socket: PushSocket, post: Post) -> None:
        super().deliver(socket, post)
        self.last[socket.user, post.room] = post.id

    def missed(self, socket: PushSocket, room: str, after: int) -> Sequence[Post]:
        return ()

    def subscribed(self, socket: PushSocket, room: str) -> None:
        super().subscribed(socket, room)
        shown = self.last.get((socket.user, room), 0)
        self.unseen |= {(post.id, socket.user) for post in super().missed(socket, room, shown)}

    def truth(self) -> Truth:
        return {"gap": len(self.unseen), "lost": len(self.unseen)}


class SaysRecovered(ReplaysNothing):
    """The same, to clients that ask for what they missed: they are told that there is nothing."""

    cause = "not_recovered"


# store_lost


class AcceptsWithoutStoring(PushPlant):
    """Every tenth message is accepted, and neither stored nor announced."""

    finding = "store_lost"
    cause = "every_kth"
    cause_of_lost = "never_stored"

    async def send(self, user: str, room: str, text: str) -> Response:
        if not self.nth(10):
            return await super().send(user, room, text)
        post = self.numbered(user, room, text)
        self.lose(post)
        return self.sent(post)

    def truth(self) -> Truth:
        return {"store_lost": len(self.broken), "lost": len(self.unseen)}


@dataclass
class AcceptsBeforeStoring(PushPlant):
    """Messages are accepted at once, and stored and announced 50 ms later. Every tenth time, the store fails."""

    finding = "store_lost"
    cause = "every_kth"
    cause_of_lost = "never_stored"
    accepts: deque[Post] = field(default_factory=deque)

    async def send(self, user: str, room: str, text: str) -> Response:
        post = self.numbered(user, room, text)
        self.accepts.append(post)
        asyncio.get_running_loop().call_later(0.05, self.commit)
        return self.sent(post)

    def commit(self) -> None:
        post = self.accepts.popleft()
        if post.id % 10 == 0:
            self.lose(post)
        else:
            self.rooms[post.room].posts.append(post)
            self.announce(post)

    def on_their_way(self) -> bool:
        return bool(self.accepts)

    def truth(self) -> Truth:
        return {"store_lost": len(self.broken), "lost": len(self.unseen)}


# late


@dataclass
class StallsRooms(PushPlant):
    """Every twelfth message is announced after 2.25 s, and what follows in its room waits behind it.

    What follows is late, too, or waits for less than 1.75 s. So none is near the update target of 2 s.
    """

    finding = "late"
    cause = "slow_notify"
    stalled: dict[str, deque[tuple[Post, float]]] = field(default_factory=dict)  # by room: messages, and how long
    held: set[int] = field(default_factory=set)  # the ids of all messages that waited
    _ends: dict[str, float] = field(default_factory=dict)  # by room, in the loop's time

    def announce(self, post: Post) -> None:
        now = asyncio.get_running_loop().time()
        wait = 2.25 if self.nth(12) else max(0.0, self._ends.get(post.room, 0) - now)
        if not wait and not self.stalled.get(post.room):
            super().announce(post)
            return
        if wait > 1.75:
            wait = max(2.25, wait)
        self._ends[post.room] = now + wait
        self.held.add(post.id)
        self.stalled.setdefault(post.room, deque()).append((post, wait))
        asyncio.get_running_loop().call_later(wait, self.release, post.room)

    def release(self, room: str) -> None:
        post, waited = self.stalled[room].popleft()
        if waited > 2:
            self.unseen |= {(post.id, socket.user) for socket in self.joined(room)}
        super().announce(post)

    def on_their_way(self) -> bool:
        return any(self.stalled.values())

    def truth(self) -> Truth:
        return {"late": len(self.unseen)}


@dataclass
class KeepsThemAway(PushPlant):
    """With every twentieth message, viewers are closed, and let back 2.85 s later. They are then sent the rest.

    What comes in the first 0.85 s is late.
    """

    finding = "late"
    cause = "away"
    closes_every: int = 20
    away: float = 2.85
    kept_at: dict[int, float] = field(default_factory=dict)  # by id, in the loop's time
    _waits: list[float] = field(default_factory=list)  # seconds, of each delivery that was replayed

    def store(self, user: str, room: str, text: str) -> Post:
        post = super().store(user, room, text)
        self.kept_at[post.id] = asyncio.get_running_loop().time()
        return post

    def missed(self, socket: PushSocket, room: str, after: int) -> Sequence[Post]:
        posts = super().missed(socket, room, after)
        self._waits += [asyncio.get_running_loop().time() - self.kept_at[post.id] for post in posts]
        return posts

    def truth(self) -> Truth:
        late, most = (sum(wait > least for wait in self._waits) for least in (UPDATE_TARGET, UPDATE_TARGET - 0.1))
        return {"late": range(late, most + 1)}


@dataclass
class AwaitsEachDashboardInTurn(PushPlant):
    """Each message is sent to one socket after the other, with a pause between two."""

    finding = "late"
    cause = "dashboards_in_turn"
    pause: float = 0.15  # seconds
    pending: int = 0
    nearly: int = 0  # deliveries that are in time by no more than a pause

    def announce(self, post: Post) -> None:
        loop = asyncio.get_running_loop()
        for position, socket in enumerate(self.joined(post.room)):
            socket.due += 1
            self.pending += 1
            wait = position * self.pause
            loop.call_later(wait, self.reach, socket, post)
            if wait >= UPDATE_TARGET:
                self.unseen.add((post.id, socket.user))
            elif wait >= UPDATE_TARGET - 1.5 * self.pause:
                self.nearly += 1

    def reach(self, socket: PushSocket, post: Post) -> None:
        self.pending -= 1
        self.deliver(socket, post)

    def on_their_way(self) -> bool:
        return self.pending > 0

    def truth(self) -> Truth:
        return {"late": range(len(self.unseen), len(self.unseen) + self.nearly + 1)}
