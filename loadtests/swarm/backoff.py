"""The back-off of a dashboard that reconnects."""

from collections.abc import Callable, Iterator

from chatswarm.loadtests.scenario.scenario import Reconnect

FIRST, CAP = 0.25, 2.0  # seconds


def delays(policy: Reconnect, uniform: Callable[[float, float], float]) -> Iterator[float]:
    """The seconds to wait after each consecutive failure, drawn by `uniform`. Ends where the policy gives up.

    jitter: full jitter below a bound that doubles from 250 ms to 2 s, for ever. origin: 1, 2, 4, 8 and 16 s, then never
    again, as the original's page does.
    """
    if policy == "origin":
        yield from (1.0, 2.0, 4.0, 8.0, 16.0)
        return
    bound = FIRST
    while True:
        yield uniform(0, bound)
        bound = min(CAP, 2 * bound)
