"""What the backend's metrics cost: the CPU for counting a message, as a share of all CPU for the message.

Counting is measured on a hub with idle dashboards, in alternating blocks with and without it, because a few
microseconds would be lost in the noise of a whole backend. The message is measured in a whole backend at full rate.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from statistics import median

import uvloop

from chatswarm.backend.fanout.hub import Hub
from chatswarm.backend.metrics import loop_lag
from chatswarm.backend.metrics.histogram import FastHistogram
from chatswarm.backend.metrics.metrics import BackendMetrics
from chatswarm.backend.wire.frames import OutgoingFrame

from .chat_servers import reference_chat
from .driver import driving
from .figure import Figure, fresh

PERCENT = 3.0
DASHBOARDS = 300
RATE, COUNT = 100, 400
"""Messages per second, and how many."""
BLOCKS, BLOCK = 40, 200
"""Pairs of blocks with and without counting, and the messages in each block."""


def figures() -> Iterator[Figure]:
    for dashboards in (1, DASHBOARDS):
        counting = fresh("backend_metrics", str(dashboards))["seconds"]
        with reference_chat() as backend, driving(backend.port, backend.wire, dashboards) as driver:
            driver.send(RATE, COUNT)  # warm-up
            before = backend.cpu()
            driver.send(RATE, COUNT)
            rest = (backend.cpu() - before) / COUNT - counting
        name = f"backend's metrics: share of its CPU, dashboards: {dashboards}"
        yield Figure(name, 100 * counting / rest, PERCENT, "%")


class NullDashboard:
    """A subscriber that does nothing."""

    def write(self, _data: bytes) -> bool:
        return True

    def unsent(self) -> int:
        return 0


async def counting(dashboards: int) -> float:
    """CPU seconds for counting one message, each with its own commit and broadcast."""
    metrics = BackendMetrics()

    async def block(*, count: bool) -> float:
        hub = Hub(metrics, join_window=0.0, held_limit=0)
        for _ in range(dashboards):
            hub.subscribe(NullDashboard(), "x")
        begun = time.process_time()
        for number in range(1, BLOCK + 1):
            if count:
                metrics.accepted["user"].inc()
                metrics.commit_seconds.observe(0.001)
                metrics.commit_writes.observe(1)
            hub.publish([OutgoingFrame(number, b"x", time.monotonic())])
            for _ in range(dashboards // 200 + 1):
                await asyncio.sleep(0)
        return (time.process_time() - begun) / BLOCK

    observe, count_slice = FastHistogram.observe, Hub._count
    differences: list[float] = []
    for _ in range(BLOCKS):
        FastHistogram.observe, Hub._count = observe, count_slice  # type: ignore[method-assign]
        used = await block(count=True)
        FastHistogram.observe = Hub._count = lambda *_: None  # type: ignore[method-assign, assignment]
        differences.append(used - await block(count=False))
    FastHistogram.observe, Hub._count = observe, count_slice  # type: ignore[method-assign]
    expected = BLOCKS * BLOCK * dashboards
    assert metrics.registry.get_sample_value("chat_delivery_seconds_count") == expected
    return median(differences) + await _lag() / loop_lag.EVERY / RATE


async def _lag() -> float:
    """CPU seconds for one measurement of the loop's lag."""
    begun = time.process_time()
    for _ in range(BLOCK):
        await asyncio.sleep(0.001)
    return (time.process_time() - begun) / BLOCK


def main() -> None:
    """Runs in a fresh process."""
    print(json.dumps({"seconds": uvloop.run(counting(int(sys.argv[1])))}))


if __name__ == "__main__":
    main()
