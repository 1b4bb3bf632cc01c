"""Measures how late the event loop runs its callbacks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

EVERY: Final = 0.1
"""Seconds between two measurements."""


async def measure_lag(observe: Callable[[float], None]) -> None:
    """Pass the loop's lag in seconds to `observe` every EVERY seconds, until cancelled."""
    while True:
        # Not the loop's clock: uvloop's stands still within one iteration and counts in milliseconds.
        due = time.monotonic() + EVERY
        await asyncio.sleep(EVERY)
        observe(max(0.0, time.monotonic() - due))
