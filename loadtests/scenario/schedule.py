"""When each widget is due to send: an open schedule, computed from the seed, the widget's number and the rates.

The target cannot influence it: a slow response delays no send, so a stalled target cannot hide its own latency
(coordinated omission). A run repeats message for message, whatever the number of processes.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Arrivals = Literal["poisson", "even"]


@dataclass(frozen=True, slots=True)
class Rates:
    """The rate over time, in steps: `rates[i]` messages per second from `edges[i]` to `edges[i + 1]` seconds."""

    edges: tuple[float, ...]
    rates: tuple[float, ...]

    @property
    def seconds(self) -> float:
        return self.edges[-1]

    @property
    def messages(self) -> float:
        """The expected number of messages, over all widgets."""
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
    """The intended times of widget number `widget` of `widgets`, in seconds after the start, ascending.

    Poisson: independent exponential gaps for each widget, which add up to one Poisson process. Even: the widgets take
    turns, so that together they send at equal intervals.
    """
    if not 0 <= widget < widgets:
        raise ValueError(f"widget: expected 0 to {widgets - 1}, got {widget}")
    return list(rates.times(_poisson(seed, widget, widgets) if arrivals == "poisson" else _even(widget, widgets)))


def _poisson(seed: int, widget: int, widgets: int) -> Iterator[float]:
    # Counted in messages over all widgets: the gaps of one widget are `widgets` on average.
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
