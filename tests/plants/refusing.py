"""Chats that refuse people, or do not speak to them: `silent_socket`, `refused`, `absent`; and harmless ones."""

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from .chat import NO_RESPONSE, Dashboard, Message, Response
from .plant import Plant, TracksConnections, Truth

# silent_socket


class FallsSilent(TracksConnections):
    """From the thirtieth message on, the second dashboard gets no frames."""

    finding = "silent_socket"
    cause = "silent_socket"
    cause_of_lost = "silent_socket"
    all_of_them: ClassVar[bool] = False

    def deliver(self, dashboard: Dashboard, chat_id: str, message: Message) -> None:
        if self.sends >= 30 and (dashboard.number == 2 or self.all_of_them):
            self.broken.add(message.number)
        else:
            super().deliver(dashboard, chat_id, message)

    def truth(self) -> Truth:
        sockets = self.audience if self.all_of_them else 1
        # The refetch after the last frame may show some more.
        assert len(self.broken) * sockets - 5 * sockets <= self.unseen() <= len(self.broken) * sockets
        return {"silent_socket": sockets, "lost": self.unseen()}


class FallsSilentForAll(FallsSilent):
    """From the thirtieth message on, 3 s after the first, no dashboard gets frames."""

    all_of_them = True


# refused


class RefusesEveryThirdSend(Plant):
    """Every third send gets a 429, and is not stored."""

    finding = "refused"
    cause = "rate_limited"

    async def send(self, chat_id: str, text: str) -> Response:
        if not self.nth(3):
            return await super().send(chat_id, text)
        self.broken.add(self.sends)
        return 429, {"detail": "no"}


class FailsThreeSendsInTen(Plant):
    """30 % of the sends get a 500, and are not stored."""

    finding = "refused"
    cause = "server_error"

    async def send(self, chat_id: str, text: str) -> Response:
        if self.sends % 10 not in (3, 6, 9):
            return await super().send(chat_id, text)
        self.broken.add(self.sends)
        return 500, {"detail": "no"}


class FailsAfterStoring(Plant):
    """Every eighth send is stored, listed and announced, and then alternately gets a 500 or no response."""

    finding = "refused"
    cause = "server_error or no_answer"

    async def send(self, chat_id: str, text: str) -> Response:
        response = await super().send(chat_id, text)
        if not self.nth(8):
            return response
        self.broken.add(self.messages)
        return NO_RESPONSE if self.nth(16) else (500, {"detail": "no"})

    def truth(self) -> Truth:
        return {"refused": len(self.broken), "recovered": len(self.broken)}


# absent


class AdmitsOneDashboardInTwo(Plant):
    """Every second of the first handshakes gets a 403, and every later one does."""

    finding = "absent"
    cause = "handshake_refused"
    cause_of_lost = "never_subscribed"

    def welcome(self, dashboard: Dashboard) -> bool:
        return dashboard.number <= self.audience and dashboard.number % 2 == 1

    def truth(self) -> Truth:
        return {"absent": self.audience // 2, "lost": self.audience // 2 * self.accepted}


class RefusesReconnects(TracksConnections):
    """With the thirtieth message, every second dashboard is closed, and no further handshake is accepted."""

    finding = "absent"
    cause = "handshake_refused"
    cause_of_lost = "never_reconnected"

    async def send(self, chat_id: str, text: str) -> Response:
        response = await super().send(chat_id, text)
        if self.sends == 30:
            self.broken = _close_every_second(self.dashboards)
        return response

    def welcome(self, dashboard: Dashboard) -> bool:
        return self.sends < 30

    def truth(self) -> Truth:
        return {"absent": len(self.broken), "lost": self.unseen()}


@dataclass
class ClosesAfterTheLastMessage(Plant):
    """Every second dashboard is closed 1.5 s after the last message, which it has shown, and may not reconnect."""

    finding = "absent"
    cause = "handshake_refused"
    closing: asyncio.TimerHandle | None = None

    async def send(self, chat_id: str, text: str) -> Response:
        if self.closing is not None:
            self.closing.cancel()
        self.closing = asyncio.get_running_loop().call_later(1.5, self.close)
        return await super().send(chat_id, text)

    def close(self) -> None:
        self.broken = _close_every_second(self.dashboards)

    def welcome(self, dashboard: Dashboard) -> bool:
        return not self.broken


class IgnoresSubscriptions(Plant):
    """Half of the dashboards can connect, but their subscriptions are neither confirmed nor served."""

    finding = "absent"
    cause = "handshake_refused"
    cause_of_lost = "never_subscribed"

    def subscribe(self, dashboard: Dashboard, channel: str) -> None:
        if dashboard.number <= self.audience and dashboard.number % 2 == 1:
            super().subscribe(dashboard, channel)

    def truth(self) -> Truth:
        return {"absent": self.audience // 2, "lost": self.audience // 2 * self.accepted}


# no finding


class RefusesEverySecondHandshake(Plant):
    """Every second handshake gets a 403. A retry succeeds, so only the time to connect shows it."""

    def welcome(self, dashboard: Dashboard) -> bool:
        if dashboard.number % 2 == 0:
            self.broken.add(dashboard.number)
            return False
        return True

    def truth(self) -> Truth:
        return {}


class ClosesAllPeriodically(Plant):
    """With every twentieth message, all dashboards are closed. They reconnect, and show everything in time."""

    async def send(self, chat_id: str, text: str) -> Response:
        response = await super().send(chat_id, text)
        if self.nth(20):
            self.broken.add(self.messages)
            for dashboard in list(self.dashboards):
                dashboard.close(1012)
        return response

    def truth(self) -> Truth:
        return {}


def _close_every_second(dashboards: list[Dashboard]) -> set[int]:
    closed = [dashboard for dashboard in dashboards if dashboard.number % 2 == 0]
    for dashboard in closed:
        dashboard.close(1012)
    return {dashboard.number for dashboard in closed}
