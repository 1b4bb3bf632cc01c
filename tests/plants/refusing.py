"""Chats that refuse people, or do not speak to them: `silent_socket`, `refused`, `absent`; and harmless ones."""

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from .chat import NO_ANSWER, Answer, Dashboard, Message
from .plant import Places, Plant, Truth

# silent_socket


class FallsSilent(Places):
    """From the thirtieth message on the second dashboard gets no frames."""

    finding = "silent_socket"
    all_of_them: ClassVar[bool] = False

    def deliver(self, dashboard: Dashboard, chat_id: str, message: Message) -> None:
        if self.sends >= 30 and (dashboard.number == 2 or self.all_of_them):
            self.broken.add(message.number)
        else:
            super().deliver(dashboard, chat_id, message)

    def truth(self) -> Truth:
        sockets = self.audience if self.all_of_them else 1
        # The refetch after the last frame may bring some more.
        assert len(self.broken) * sockets - 5 * sockets <= self.unseen() <= len(self.broken) * sockets
        return {"silent_socket": sockets, "lost": self.unseen()}


class FallsSilentAltogether(FallsSilent):
    """From the thirtieth message on, 3 s after the first, nobody gets frames."""

    all_of_them = True


# refused


class RefusesEveryThirdSend(Plant):
    """Every third send is answered 429, and not stored."""

    finding = "refused"

    async def send(self, chat_id: str, text: str) -> Answer:
        if not self.nth(3):
            return await super().send(chat_id, text)
        self.broken.add(self.sends)
        return 429, {"detail": "no"}


class FailsThreeSendsInTen(Plant):
    """30 % of the sends are answered 500, and not stored."""

    finding = "refused"

    async def send(self, chat_id: str, text: str) -> Answer:
        if self.sends % 10 not in (3, 6, 9):
            return await super().send(chat_id, text)
        self.broken.add(self.sends)
        return 500, {"detail": "no"}


class FailsAfterStoring(Plant):
    """Every eighth send is stored, listed and announced, and then answered 500, or in turn not at all."""

    finding = "refused"

    async def send(self, chat_id: str, text: str) -> Answer:
        answer = await super().send(chat_id, text)
        if not self.nth(8):
            return answer
        self.broken.add(self.messages)
        return NO_ANSWER if self.nth(16) else (500, {"detail": "no"})

    def truth(self) -> Truth:
        return {"refused": len(self.broken), "recovered": len(self.broken)}


# absent


class AdmitsOneDashboardInTwo(Plant):
    """Of the first handshakes every second one is answered 403, and after them all."""

    finding = "absent"

    def welcome(self, dashboard: Dashboard) -> bool:
        return dashboard.number <= self.audience and dashboard.number % 2 == 1

    def truth(self) -> Truth:
        return {"absent": self.audience // 2, "lost": self.audience // 2 * self.accepted}


class NeverLetsBack(Places):
    """With the thirtieth message every second dashboard is closed, and no handshake is accepted any more."""

    finding = "absent"

    async def send(self, chat_id: str, text: str) -> Answer:
        answer = await super().send(chat_id, text)
        if self.sends == 30:
            self.broken = _close_every_second(self.dashboards)
        return answer

    def welcome(self, dashboard: Dashboard) -> bool:
        return self.sends < 30

    def truth(self) -> Truth:
        return {"absent": len(self.broken), "lost": self.unseen()}


@dataclass
class ClosesAfterTheLast(Plant):
    """Every second dashboard is closed 1.5 s after the last message, which it has seen, and never let back."""

    finding = "absent"
    closing: asyncio.TimerHandle | None = None

    async def send(self, chat_id: str, text: str) -> Answer:
        if self.closing is not None:
            self.closing.cancel()
        self.closing = asyncio.get_running_loop().call_later(1.5, self.close)
        return await super().send(chat_id, text)

    def close(self) -> None:
        self.broken = _close_every_second(self.dashboards)

    def welcome(self, dashboard: Dashboard) -> bool:
        return not self.broken


class IgnoresSubscriptions(Plant):
    """Half of the dashboards can connect as often as they like: their subscriptions are never confirmed, nor heeded."""

    finding = "absent"

    def subscribe(self, dashboard: Dashboard, channel: str) -> None:
        if dashboard.number <= self.audience and dashboard.number % 2 == 1:
            super().subscribe(dashboard, channel)

    def truth(self) -> Truth:
        return {"absent": self.audience // 2, "lost": self.audience // 2 * self.accepted}


# nothing


class RefusesEverySecondHandshake(Plant):
    """Every second handshake is answered 403. Whoever tries again gets in, so only the time to connect shows it."""

    def welcome(self, dashboard: Dashboard) -> bool:
        if dashboard.number % 2 == 0:
            self.broken.add(dashboard.number)
            return False
        return True

    def truth(self) -> Truth:
        return {}


class ClosesAllNowAndThen(Plant):
    """With every twentieth message all dashboards are closed. They come back and see all in time: nothing to find."""

    async def send(self, chat_id: str, text: str) -> Answer:
        answer = await super().send(chat_id, text)
        if self.nth(20):
            self.broken.add(self.messages)
            for dashboard in list(self.dashboards):
                dashboard.close(1012)
        return answer

    def truth(self) -> Truth:
        return {}


def _close_every_second(dashboards: list[Dashboard]) -> set[int]:
    closed = [dashboard for dashboard in dashboards if dashboard.number % 2 == 0]
    for dashboard in closed:
        dashboard.close(1012)
    return {dashboard.number for dashboard in closed}
