"""Wake-ups between backends over Redis or Valkey. A dead, silent or slow broker never blocks the chat.

    wake_others ─► flag ─► publisher's connection ─► PUBLISH ─► broker ─► subscribers' connections ─► on_wakeup
                             (one at a time, so wake-ups are merged)

Each of the two connections has its own task, which reconnects for ever with jittered back-off up to RETRY_LONGEST. It
drops a connection when a reply or a pong is missing for TIMEOUT, as happens when packets are dropped silently. The
client library is used only through single connections: what its pools and subscriptions do by themselves (health checks
that read no reply, reconnects within a command) has no deadline.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from redis.asyncio.connection import Connection
from redis.exceptions import RedisError

from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.settings import BusAddress

TIMEOUT: Final = 1.0
"""Seconds that the broker has to reply, and that it may be silent before it gets a ping."""

RETRY_FIRST: Final = 0.1
RETRY_LONGEST: Final = 2.0

_log = logging.getLogger("chatswarm.backend.bus")


class BrokerBus:
    """Wakes all backends that are configured with the same broker and database. Belongs to the event loop.

    `on_wakeup` is called for other backends' wake-ups, not for its own.
    """

    def __init__(self, address: BusAddress, on_wakeup: Callable[[], None], metrics: BackendMetrics) -> None:
        self._address = address
        self._on_wakeup = on_wakeup
        self._metrics = metrics
        # Redis channels span all databases, so the channel's name contains the database number.
        self._channel = f"chatswarm:{address.database}:bell"
        self._name = secrets.token_hex(8).encode()
        self._requested = asyncio.Event()
        self._connected: set[str] = set()
        self._reported: bool | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start connecting. The log and the metric `chat_bus_connected` show the result."""
        loop = asyncio.get_running_loop()
        for name, session in (("subscribe", self._subscribe), ("publish", self._publish)):
            self._tasks.append(loop.create_task(self._keep_connected(name, session)))

    async def close(self) -> None:
        """Close both connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def wake_others(self) -> None:
        """Send a wake-up soon. Requests made while one is being sent are merged."""
        self._requested.set()

    async def _keep_connected(self, name: str, session: Callable[[Connection], Awaitable[None]]) -> None:
        """Connect and run the session, reconnecting after every failure, until cancelled."""
        pause = RETRY_FIRST
        while True:
            connection = Connection(
                host=self._address.host,
                port=self._address.port,
                username=self._address.username,
                password=self._address.password,
                socket_timeout=TIMEOUT,
                socket_connect_timeout=TIMEOUT,
                driver_info=None,
                protocol=2,
            )
            try:
                async with asyncio.timeout(3 * TIMEOUT):
                    await connection.connect()
                await session(connection)
            except (RedisError, OSError, TimeoutError) as error:
                if name in self._connected:
                    pause = RETRY_FIRST
                self._set_connected(name, False, error)
            finally:
                with suppress(RedisError, OSError, TimeoutError):
                    await connection.disconnect(nowait=True)
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, RETRY_LONGEST)

    async def _subscribe(self, connection: Connection) -> None:
        await connection.send_command("SUBSCRIBE", self._channel)
        await connection.read_response()
        self._set_connected("subscribe", True)
        # Wake-ups from before the subscription were missed.
        self._on_wakeup()
        pinged = False
        while True:
            reply = await connection.read_response(timeout=TIMEOUT)
            if reply is None:
                if pinged:
                    raise TimeoutError("it does not reply")
                await connection.send_command("PING")
                pinged = True
                continue
            pinged = False
            if reply[0] == b"message" and reply[2] != self._name:
                self._on_wakeup()

    async def _publish(self, connection: Connection) -> None:
        while True:
            # Being connected proves nothing: the kernel accepts connections even for a stopped broker.
            await connection.send_command("PING")
            await connection.read_response()
            self._set_connected("publish", True)
            while await self._wakeup_requested():
                self._requested.clear()
                try:
                    await connection.send_command("PUBLISH", self._channel, self._name)
                    await connection.read_response()
                except (RedisError, OSError, TimeoutError):
                    self._metrics.wakeups_sent["failed"].inc()
                    self._requested.set()
                    raise
                self._metrics.wakeups_sent["sent"].inc()

    async def _wakeup_requested(self) -> bool:
        """Whether a wake-up is requested within TIMEOUT seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                return await self._requested.wait()
        return False

    def _set_connected(self, name: str, up: bool, why: Exception | None = None) -> None:
        """Record that one connection is up or down, and log each change of the overall state once."""
        (self._connected.add if up else self._connected.discard)(name)
        connected = len(self._connected) == 2
        self._metrics.bus_connected.set(connected)
        if connected and self._reported is not True:
            _log.info("The bus %s is connected", self._address)
            self._reported = True
        elif not up and self._reported is not False:
            _log.warning("The bus %s is not connected, so the log is looked at more often: %s", self._address, why)
            self._reported = False
