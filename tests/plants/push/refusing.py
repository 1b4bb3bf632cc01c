"""Push chats that refuse people, or do not speak to them: `silent_socket`, `refused`, `absent`."""

from dataclasses import dataclass

from tests.plants.plant import Truth
from tests.plants.wire import NO_RESPONSE, Response

from .chat import Post, PushSocket
from .plant import PushPlant

# silent_socket


class StopsPushing(PushPlant):
    """From the thirtieth message on, one member gets no messages."""

    finding = "silent_socket"
    cause = "silent_socket"
    cause_of_lost = "silent_socket"

    def deliver(self, socket: PushSocket, post: Post) -> None:
        if self.sends >= 30 and self.is_victim(socket.user):
            self.unseen.add((post.id, socket.user))
        else:
            super().deliver(socket, post)

    def truth(self) -> Truth:
        return {"silent_socket": 1, "lost": len(self.unseen)}


# refused


class LimitsSends(PushPlant):
    """Every third send is rejected with 429, and not stored."""

    finding = "refused"
    cause = "rate_limited"

    async def send(self, user: str, room: str, text: str) -> Response:
        if not self.nth(3):
            return await super().send(user, room, text)
        self.broken.add(-self.sends)
        return 429, {"error": "no"}


class FailsAfterPushing(PushPlant):
    """Every eighth send is stored and announced, and then alternately gets a 500 or no response."""

    finding = "refused"
    cause = "server_error or no_answer"

    async def send(self, user: str, room: str, text: str) -> Response:
        response = await super().send(user, room, text)
        if not self.nth(8):
            return response
        self.broken.add(self.ids)
        return NO_RESPONSE if self.nth(16) else (500, {"error": "no"})

    def truth(self) -> Truth:
        return {"refused": len(self.broken), "recovered": len(self.broken)}


class ReportsErrorsWith200(PushPlant):
    """Every eighth send by HTTP gets a 200 whose body is an error, and is not stored."""

    finding = "refused"
    cause = "turned_down"

    async def send(self, user: str, room: str, text: str) -> Response:
        if not self.nth(8):
            return await super().send(user, room, text)
        self.broken.add(-self.sends)
        return 200, {"error": "no"}


@dataclass
class LosesBeforeTheEcho(PushPlant):
    """Sends over sockets are accepted by their own frame. Every eighth is lost before it is stored and announced."""

    finding = "refused"
    cause = "no_answer"
    acks: bool = False

    async def send(self, user: str, room: str, text: str) -> Response:
        if not self.nth(8):
            return await super().send(user, room, text)
        self.broken.add(-self.sends)
        return NO_RESPONSE


# absent


@dataclass
class RefusesOneSocket(PushPlant):
    """All handshakes of one user get a 403. If none is named, it is the second user to connect."""

    finding = "absent"
    cause = "handshake_refused"
    cause_of_lost = "never_subscribed"

    def admits(self, user: str) -> bool:
        self.viewers.setdefault(user)
        if len(self.viewers) == 2:
            self.victim = self.victim or user
        return not self.is_victim(user)

    def truth(self) -> Truth:
        return {"absent": 1, "lost": self.owed()}


class RefusesOneLogin(PushPlant):
    """All logins of one user get a 403. If none is named, it is the second user to log in."""

    finding = "absent"
    cause = "handshake_refused"
    cause_of_lost = "never_subscribed"

    def login(self, user: str) -> Response:
        if self.logins == 2:
            self.victim = self.victim or user
        return (403, {"error": "no"}) if self.is_victim(user) else super().login(user)

    def truth(self) -> Truth:
        return {"absent": 1, "lost": self.owed()}
