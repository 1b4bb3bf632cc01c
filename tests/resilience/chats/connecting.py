"""Broken chats that handle connections badly: slowly, without limits, or without access control."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from weakref import WeakKeyDictionary

from websockets.protocol import State

from .chat import Chat, notification
from .dashboard import Dashboard
from .store import Message


@dataclass
class SlowHandshakes(Chat):
    """Broken: *handshakes are accepted at a bounded rate, and nobody waits for them*. Each one blocks the event loop.

    Such as a password hash checked in the handler, or a query by a synchronous driver. Nobody notices while dashboards
    connect one by one. When all reconnect at once, sends and refetches queue up with them. At 75 ms each, 300
    dashboards give up before their turn, try again, and it never ends.
    """

    handshake: ClassVar[float] = 0.025
    """Seconds."""

    def admits(self, headers: Mapping[str, str]) -> bool:
        # Sleeps instead of computing, which would starve the rig on the same machine.
        time.sleep(self.handshake)
        return super().admits(headers)


@dataclass
class NoLimits(Chat):
    """Broken: *idle connections shut nobody out*. They may stay for ever, until all 512 open files are used.

    The usual result of exposing a server with its defaults and a usual limit on open files.
    """

    request_timeout: ClassVar[float | None] = None
    max_waiting_connections: ClassVar[int] = 1 << 30
    max_open_files: ClassVar[int | None] = 512


@dataclass
class LetsEverybodyIn(Chat):
    """Broken: *strangers are refused at the handshake*. It checks neither the origin nor the token.

    `await websocket.accept()`, as in the tutorials. Few people know that CORS does not cover WebSockets.
    """

    def admits(self, headers: Mapping[str, str]) -> bool:
        return True

    def authorized(self, headers: Mapping[str, str]) -> bool:
        return True


@dataclass
class OneFrameInFlight(Chat):
    """Broken: *network latency only adds to the update latency*. Each frame waits for the pong to the previous one.

    `await ws.send(frame); await (await ws.ping())`, to be sure that a frame has arrived. With a round trip of 0.2 ms
    that is fast; with 250 ms it allows 4 frames per second, and faster messages pile up.
    """

    _waiting: WeakKeyDictionary[Dashboard, deque[bytes]] = field(default_factory=WeakKeyDictionary)

    async def announce(self, message: Message) -> None:
        frame = notification(message)
        for dashboard in tuple(self.dashboards):
            if not dashboard.subscribed:
                continue
            if (waiting := self._waiting.get(dashboard)) is not None:
                waiting.append(frame)
            else:
                self._waiting[dashboard] = deque()
                self._send_and_ping(dashboard, frame)

    def received_pong(self, dashboard: Dashboard) -> None:
        waiting = self._waiting.get(dashboard)
        if waiting:
            self._send_and_ping(dashboard, waiting.popleft())
        else:
            self._waiting.pop(dashboard, None)

    def _send_and_ping(self, dashboard: Dashboard, frame: bytes) -> None:
        dashboard.send(frame)
        if dashboard.protocol.state is State.OPEN:
            dashboard.protocol.send_ping(b"")
            dashboard.flush()
