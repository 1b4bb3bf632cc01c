"""How late the event loop is: the time that everything else waits for its turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

EVERY: Final = 0.1
"""Seconds between two looks."""


async def watch_lag(observe: Callable[[float], None]) -> None:
    """Tell `observe` again and again by how many seconds the loop was late. Ends when cancelled."""
    while True:
        # Not the loop's clock: uvloop's stands still during a turn and counts in milliseconds.
        due = time.monotonic() + EVERY
        await asyncio.sleep(EVERY)
        observe(max(0.0, time.monotonic() - due))
