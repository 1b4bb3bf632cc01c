"""The bus between workers: a Redis or Valkey, whose publish/subscribe delivers at most once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

_CHANNEL = "chat"
_AGAIN = 0.5  # seconds between two tries to subscribe
_log = logging.getLogger(__name__)


class Bus:
    """What is published while the broker is away, or by somebody whom it does not hear, is never heard of again."""

    def __init__(self, url: str, hear: Callable[[bytes], Awaitable[None]]) -> None:
        self._client = Valkey.from_url(url, socket_connect_timeout=1, socket_timeout=1, health_check_interval=1)
        self._hear = hear
        self.subscribed = asyncio.Event()

    async def publish(self, data: bytes) -> None:
        """To all who listen just now. Raises nothing."""
        try:
            await self._client.publish(_CHANNEL, data)
        except (ValkeyError, OSError) as error:
            _log.warning("could not publish: %s", error)

    async def listen(self) -> None:
        """Hears whatever is published, and subscribes again whenever the broker was away. Never returns."""
        while True:
            try:
                async with self._client.pubsub() as heard:
                    await heard.subscribe(_CHANNEL)
                    self.subscribed.set()
                    while True:
                        message = await heard.get_message(ignore_subscribe_messages=True, timeout=1)
                        if message is not None:
                            await self._hear(message["data"])
            except (ValkeyError, OSError) as error:
                _log.warning("the broker is away: %s", error)
                await asyncio.sleep(_AGAIN)

    async def close(self) -> None:
        await self._client.aclose()
