"""Shares the loop among the hubs of many rooms: after SLICE writes, the other broadcasts wait until it has run."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

SLICE: Final = 200
"""Writes between two yields to the loop: about 2 ms."""


class Turns:
    """Broadcasts begin in the order in which they asked. Belongs to the event loop."""

    def __init__(self) -> None:
        self._left = SLICE
        self._waiting: deque[tuple[Callable[[], None], int]] = deque()

    def take(self, broadcast: Callable[[], None], writes: int) -> None:
        """Call `broadcast`, which writes to `writes` sockets: now, or in a later pass of the loop, in its turn."""
        if self._waiting or self._left <= 0:
            self._waiting.append((broadcast, writes))
        else:
            self._run(broadcast, writes)

    def _run(self, broadcast: Callable[[], None], writes: int) -> None:
        if self._left == SLICE:
            asyncio.get_running_loop().call_soon(self._renew)
        self._left -= max(1, min(writes, SLICE))
        broadcast()

    def _renew(self) -> None:
        self._left = SLICE
        while self._waiting and self._left > 0:
            self._run(*self._waiting.popleft())
