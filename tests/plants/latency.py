"""Chats with a fixed delay in one stage, and otherwise clean. Delays are in seconds."""

import asyncio
import math
import random
from dataclasses import dataclass, field

from .chat import Chat, Dashboard, Message, Reader, Response


@dataclass
class Slow(Chat):
    """A chat with a delay somewhere."""

    delay: float = 0.0


class SlowFrames(Slow):
    """Stores, lists and responds at once, and sends every frame late."""

    def deliver(self, dashboard: Dashboard, chat_id: str, message: Message) -> None:
        asyncio.get_running_loop().call_later(self.delay, super().deliver, dashboard, chat_id, message)


@dataclass
class NoisyFrames(SlowFrames):
    """Sends every frame late, in each run by another delay: what `chatswarm compare` has to see through.

    The delays of the runs are log-normal around `typical`, with a relative standard deviation of about `noise`.
    """

    typical: float = 0.25
    noise: float = 0.08
    draws: random.Random = field(default_factory=random.Random)

    def welcome(self, dashboard: Dashboard) -> bool:
        if not self.dashboards:
            self.delay = self.typical * math.exp(self.draws.gauss(0, self.noise))
        return super().welcome(dashboard)


class SlowList(Slow):
    """Responds late to requests for the list, with the contents at the time of the request."""

    async def list_chats(self, reader: Reader) -> Response:
        response = await super().list_chats(reader)
        await asyncio.sleep(self.delay)
        return response


class SlowResponse(Slow):
    """Stores and announces a message at once, and responds late."""

    async def send(self, chat_id: str, text: str) -> Response:
        response = await super().send(chat_id, text)
        await asyncio.sleep(self.delay)
        return response


class SlowStore(Slow):
    """Stores a message late, and only then announces it and responds."""

    async def send(self, chat_id: str, text: str) -> Response:
        await asyncio.sleep(self.delay)
        return await super().send(chat_id, text)
