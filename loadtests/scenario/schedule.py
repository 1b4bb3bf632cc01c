"""When each widget means to send: an open schedule, a pure function of the seed, the widget's number and the rates.

The target has no say in it. A slow answer delays no send, and a run can be repeated message for message whatever the
number of processes. That is what keeps a stalled target from hiding its own latency (coordinated omission).
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Arrivals = Literal["poisson", "even"]


@dataclass(frozen=True, slots=True)
class Rates:
    """The rate over time, as steps: from `edges[i]` to `edges[i + 1]` seconds it is `rates[i]` messages per second."""

    edges: tuple[float, ...]
    rates: tuple[float, ...]

    @property
    def seconds(self) -> float:
        return self.edges[-1]

    @property
    def messages(self) -> float:
        """How many messages all widgets together mean to send, on average."""
        return sum(rate * (end - start) for (start, end), rate in zip(pairwise(self.edges), self.rates, strict=True))

    def times(self, counts: Iterator[float]) -> Iterator[float]:
        """The second at which the expected number of messages reaches each of the ascending `counts`."""
        reached = 0.0
        steps = zip(pairwise(self.edges), self.rates, strict=True)
        (start, end), rate = next(steps)
        for count in counts:
            while rate == 0 or reached + rate * (end - start) <= count:
                reached += rate * (end - start)
                try:
                    (start, end), rate = next(steps)
                except StopIteration:
                    return
            yield start + (count - reached) / rate


def intended_times(seed: int, widget: int, widgets: int, rates: Rates, arrivals: Arrivals) -> list[float]:
    """The seconds after the start at which widget number `widget` of `widgets` means to send, ascending.

    Poisson: independent exponential gaps for each widget, which together make one Poisson stream. Even: all widgets
    take turns, so that together they send at equal distances.
    """
    if not 0 <= widget < widgets:
        raise ValueError(f"widget: expected 0 to {widgets - 1}, got {widget}")
    return list(rates.times(_poisson(seed, widget, widgets) if arrivals == "poisson" else _even(widget, widgets)))


def _poisson(seed: int, widget: int, widgets: int) -> Iterator[float]:
    # In units of messages over all widgets: one widget's share of them has gaps of `widgets` on average.
    draw = random.Random(f"chatswarm {seed} {widget}")
    count = 0.0
    while True:
        count += draw.expovariate(1 / widgets)
        yield count


def _even(widget: int, widgets: int) -> Iterator[float]:
    count = widget + 0.5
    while True:
        yield count
        count += widgets
