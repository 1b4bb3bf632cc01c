"""Push chats that delay one part of a message's path by a constant time, and have no other defect."""

import asyncio
from dataclasses import dataclass

from tests.plants.wire import Response

from .chat import Post, PushChat


@dataclass
class SlowChat(PushChat):
    """Without a delay, the clean chat."""

    delay: float = 0.0  # seconds


class SlowPush(SlowChat):
    """Messages are announced late."""

    def announce(self, post: Post) -> None:
        asyncio.get_running_loop().call_later(self.delay, super().announce, post)


class SlowAnswer(SlowChat):
    """Sends are answered late, by a response or an acknowledgement."""

    async def send(self, user: str, room: str, text: str) -> Response:
        response = await super().send(user, room, text)
        await asyncio.sleep(self.delay)
        return response


class SlowStore(SlowChat):
    """Sends are stored late, and so are announced and answered late."""

    async def send(self, user: str, room: str, text: str) -> Response:
        await asyncio.sleep(self.delay)
        return await super().send(user, room, text)
