"""Chats that handle connections badly: slowly, without limits, or without a look at who comes."""

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
    """Not kept: *accepted at a bounded rate, and nobody waits for it*. Each handshake stops the event loop.

    A password hash that is checked right in the handler, or a query by a synchronous driver. Nobody notices with one
    dashboard after the other; when all come back at once, sends and refetches stand in line with them. With 75 ms and
    300 dashboards they give up before it is their turn, come again, and it never ends.
    """

    handshake: ClassVar[float] = 0.025
    """Seconds."""

    def welcome(self, headers: Mapping[str, str]) -> bool:
        # It sleeps, where the original works: on the tests' machine that work would starve the rig.
        time.sleep(self.handshake)
        return super().welcome(headers)


@dataclass
class NoLimits(Chat):
    """Not kept: *idle connections shut nobody out*. They may stay for ever, as many as there are files: 512.

    What nearly everybody has who puts the server on the net as it is, with a usual limit of open files.
    """

    longest_wait_for_a_request: ClassVar[float | None] = None
    most_without_a_request: ClassVar[int] = 1 << 30
    most_files: ClassVar[int | None] = 512


@dataclass
class LetsEverybodyIn(Chat):
    """Not kept: *strangers are refused at the handshake*. It looks neither at the origin nor at the token.

    `await websocket.accept()` as the tutorials have it: CORS does not cover WebSockets, and few know.
    """

    def welcome(self, headers: Mapping[str, str]) -> bool:
        return True

    def trusted(self, headers: Mapping[str, str]) -> bool:
        return True


@dataclass
class OneFrameInFlight(Chat):
    """Not kept: *latency adds to the update latency, no more*. The next frame waits for the answer to the one before.

    `await ws.send(frame); await (await ws.ping())`, to be sure that a frame has arrived. With 0.2 ms to the dashboards
    that is quick; with 250 ms it is 4 frames a second, and what comes faster piles up.
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
                self._say(dashboard, frame)

    def ponged(self, dashboard: Dashboard) -> None:
        waiting = self._waiting.get(dashboard)
        if waiting:
            self._say(dashboard, waiting.popleft())
        else:
            self._waiting.pop(dashboard, None)

    def _say(self, dashboard: Dashboard, frame: bytes) -> None:
        dashboard.say(frame)
        if dashboard.protocol.state is State.OPEN:
            dashboard.protocol.send_ping(b"")
            dashboard.flush()
