"""The message bus between workers: Redis or Valkey publish/subscribe, which delivers at most once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

_CHANNEL = "chat"
_RETRY_DELAY = 0.5  # seconds between attempts to subscribe
_log = logging.getLogger(__name__)


class Bus:
    """What is published while the broker is down, or while a worker is not subscribed, is lost."""

    def __init__(self, url: str, on_message: Callable[[bytes], Awaitable[None]]) -> None:
        self._client = Valkey.from_url(url, socket_connect_timeout=1, socket_timeout=1, health_check_interval=1)
        self._on_message = on_message
        self.subscribed = asyncio.Event()

    async def publish(self, data: bytes) -> None:
        """Publishes to all current subscribers. Raises nothing."""
        try:
            await self._client.publish(_CHANNEL, data)
        except (ValkeyError, OSError) as error:
            _log.warning("could not publish: %s", error)

    async def listen(self) -> None:
        """Receives messages, and subscribes again whenever the connection is lost. Never returns."""
        while True:
            try:
                async with self._client.pubsub() as pubsub:
                    await pubsub.subscribe(_CHANNEL)
                    self.subscribed.set()
                    while True:
                        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=1)
                        if message is not None:
                            await self._on_message(message["data"])
            except (ValkeyError, OSError) as error:
                _log.warning("the broker is unreachable: %s", error)
                await asyncio.sleep(_RETRY_DELAY)

    async def close(self) -> None:
        await self._client.aclose()
