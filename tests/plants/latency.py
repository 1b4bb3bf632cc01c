"""Chats that are slow in one stage by a fixed time, and well otherwise. Delays are in seconds."""

import asyncio
from dataclasses import dataclass

from .chat import Answer, Chat, Dashboard, Message, Reader


@dataclass
class Slow(Chat):
    """A chat with a delay somewhere."""

    delay: float = 0.0


class SlowFrames(Slow):
    """Stored, listed and answered at once; every frame goes out late."""

    def deliver(self, dashboard: Dashboard, chat_id: str, message: Message) -> None:
        asyncio.get_running_loop().call_later(self.delay, super().deliver, dashboard, chat_id, message)


class SlowList(Slow):
    """The list is answered late, with what it held when it was asked for."""

    async def list_chats(self, reader: Reader) -> Answer:
        answer = await super().list_chats(reader)
        await asyncio.sleep(self.delay)
        return answer


class SlowAnswer(Slow):
    """A send is stored and announced at once, and answered late."""

    async def send(self, chat_id: str, text: str) -> Answer:
        answer = await super().send(chat_id, text)
        await asyncio.sleep(self.delay)
        return answer


class SlowStore(Slow):
    """A send is stored late, and announced and answered only then."""

    async def send(self, chat_id: str, text: str) -> Answer:
        await asyncio.sleep(self.delay)
        return await super().send(chat_id, text)
