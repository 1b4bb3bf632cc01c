"""Chats with a planted limit: what `chatswarm capacity` must find."""

import asyncio
import time
from dataclasses import dataclass

from .chat import Chat, Dashboard, Message
from .wire import Response


@dataclass
class ServesAtAFixedRate(Chat):
    """One worker that takes the same time for each message, and lets the others wait."""

    rate: float = 137.0  # messages per second
    free_at: float = 0.0  # when the worker has nothing left to do

    async def send(self, chat_id: str, text: str) -> Response:
        now = time.monotonic()
        self.free_at = max(now, self.free_at) + 1 / self.rate
        await asyncio.sleep(self.free_at - now)
        return await super().send(chat_id, text)


@dataclass
class AdmitsSoManyDashboards(Chat):
    """A chat that refuses dashboards beyond a number."""

    most: int = 260

    def welcome(self, dashboard: Dashboard) -> bool:
        return len(self.dashboards) < self.most


@dataclass
class TellsSoManyDashboards(Chat):
    """A chat that tells only so many dashboards of a message: those beyond lose everything, which shows at once."""

    most: int = 2

    def announce(self, chat_id: str, message: Message) -> None:
        for dashboard in [each for each in self.dashboards if each.subscribed][: self.most]:
            self.deliver(dashboard, chat_id, message)
