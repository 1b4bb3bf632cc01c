"""The pipelines' clock and timers, as an interface, so that tests can control time."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol

_LONGEST = 3600.0  # seconds; a later call is scheduled again after this time


class Cancellable(Protocol):
    """A scheduled call."""

    def cancel(self) -> None: ...


class Timers(Protocol):
    """A clock in seconds, and calls scheduled by it. A call may come late or too early (check the clock again), but
    never synchronously.
    """

    def now(self) -> float: ...

    def call_at(self, when: float, call: Callable[[], None]) -> Cancellable: ...


class LoopTimers:
    """The event loop's timers, on the system's monotonic clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        return time.monotonic()

    def call_at(self, when: float, call: Callable[[], None]) -> Cancellable:
        wait = when - time.monotonic()
        if wait <= 0:
            return self._loop.call_soon(call)
        # The loop rounds to the nearest millisecond; rounding up avoids calls that come too early.
        return self._loop.call_later(math.ceil(min(wait, _LONGEST) * 1000) / 1000, call)
