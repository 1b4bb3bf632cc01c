"""Time as the pipelines see it: a parameter, so that tests may turn it by hand."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol

_LONGEST = 3600.0  # seconds; a later alarm is set again when this has passed


class Cancellable(Protocol):
    """A call that is to come."""

    def cancel(self) -> None: ...


class Timers(Protocol):
    """A clock in seconds, and calls at a time of it: perhaps late, perhaps too early (look again), never at once."""

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
        # Loops tick in milliseconds and round to the nearest: rounding up spares us being called too early.
        return self._loop.call_later(math.ceil(min(wait, _LONGEST) * 1000) / 1000, call)
