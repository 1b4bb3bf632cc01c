"""The bell over a broker: publish and subscribe on Redis or Valkey. It may be dead, silent or slow: nobody waits.

    ring ─► flag ─► publisher's connection ─► PUBLISH ─► broker ─► subscribers' connections ─► on_bell
                       (one at a time, so many rings become few)

Each of the two connections is kept by a task of its own: connected anew for ever, after pauses that grow to
RETRY_LONGEST and vary, and given up when an answer or a pong is missing for PATIENCE, as happens when packets vanish
without a word. The client library is used connection by connection: what it does by itself on a pool or a subscription
(health checks that read no answer, reconnects within a command) cannot be told when to give up.
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

PATIENCE: Final = 1.0
"""Seconds that the broker may take to answer, and that it may be silent before it is asked for a sign of life."""

RETRY_FIRST: Final = 0.1
RETRY_LONGEST: Final = 2.0

_log = logging.getLogger("chatswarm.backend.bus")


class BrokerBell:
    """A bell for all backends that name the same broker and database. Belongs to the event loop.

    `on_bell` is called for others' rings, not for its own.
    """

    def __init__(self, address: BusAddress, on_bell: Callable[[], None], metrics: BackendMetrics) -> None:
        self._address = address
        self._on_bell = on_bell
        self._metrics = metrics
        # Publish and subscribe knows no databases: their number is part of the channel's name instead.
        self._channel = f"chatswarm:{address.database}:bell"
        self._name = secrets.token_hex(8).encode()
        self._rung = asyncio.Event()
        self._up: set[str] = set()
        self._told: bool | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to connect; whether that works shows in the log and in the metric `chat_bus_connected`."""
        loop = asyncio.get_running_loop()
        for name, session in (("hear", self._hear), ("publish", self._publish)):
            self._tasks.append(loop.create_task(self._keep(name, session)))

    async def close(self) -> None:
        """Hang up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def ring(self) -> None:
        """Ring soon; rings that come while one is on its way are one."""
        self._rung.set()

    async def _keep(self, name: str, session: Callable[[Connection], Awaitable[None]]) -> None:
        """Connect and run the session, again and again."""
        pause = RETRY_FIRST
        while True:
            connection = Connection(
                host=self._address.host,
                port=self._address.port,
                username=self._address.username,
                password=self._address.password,
                socket_timeout=PATIENCE,
                socket_connect_timeout=PATIENCE,
                driver_info=None,
                protocol=2,
            )
            try:
                async with asyncio.timeout(3 * PATIENCE):
                    await connection.connect()
                await session(connection)
            except (RedisError, OSError, TimeoutError) as error:
                if name in self._up:
                    pause = RETRY_FIRST
                self._is(name, False, error)
            finally:
                with suppress(RedisError, OSError, TimeoutError):
                    await connection.disconnect(nowait=True)
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, RETRY_LONGEST)

    async def _hear(self, connection: Connection) -> None:
        await connection.send_command("SUBSCRIBE", self._channel)
        await connection.read_response()
        self._is("hear", True)
        # What was rung before this was not heard.
        self._on_bell()
        asked = False
        while True:
            said = await connection.read_response(timeout=PATIENCE)
            if said is None:
                if asked:
                    raise TimeoutError("it does not answer")
                await connection.send_command("PING")
                asked = True
                continue
            asked = False
            if said[0] == b"message" and said[2] != self._name:
                self._on_bell()

    async def _publish(self, connection: Connection) -> None:
        while True:
            # A connection alone says nothing: the kernel makes it, also to a broker that is stopped.
            await connection.send_command("PING")
            await connection.read_response()
            self._is("publish", True)
            while await self._is_rung():
                self._rung.clear()
                try:
                    await connection.send_command("PUBLISH", self._channel, self._name)
                    await connection.read_response()
                except (RedisError, OSError, TimeoutError):
                    self._metrics.rung["failed"].inc()
                    self._rung.set()
                    raise
                self._metrics.rung["sent"].inc()

    async def _is_rung(self) -> bool:
        """Whether somebody rings within PATIENCE seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                return await self._rung.wait()
        return False

    def _is(self, name: str, up: bool, why: Exception | None = None) -> None:
        """Take note of a connection that is up or down; tell each change of the whole once."""
        (self._up.add if up else self._up.discard)(name)
        connected = len(self._up) == 2
        self._metrics.bus_connected.set(connected)
        if connected and self._told is not True:
            _log.info("The bus %s is connected", self._address)
            self._told = True
        elif not up and self._told is not False:
            _log.warning("The bus %s is not connected, so the log is looked at more often: %s", self._address, why)
            self._told = False
