"""The law by which CPU grows: so much for each second, message, delivery, read and refetch, and never less than 0."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

SECOND = "second"
"""The constant part: what a second of load costs, whatever happens in it."""


@dataclass(frozen=True)
class GrowthLaw:
    """CPU seconds for one of each; 0 for what costs nothing that can be seen."""

    costs: Mapping[str, float]

    def predict(self, counts: Mapping[str, float]) -> float:
        """The CPU seconds of what was counted."""
        return sum(cost * counts[name] for name, cost in self.costs.items())


def fit(counts: Sequence[Mapping[str, float]], cpu: Sequence[float]) -> GrowthLaw:
    """The law with the least squares, each error weighted by how uncertain a CPU time is: by its square root.

    All CPU is above 0. The least squares without negative costs are those of some of the terms alone, and there are few
    terms: all choices are tried.
    """
    names, wanted = list(counts[0]), np.sqrt(cpu)
    table = np.array([[each[name] for name in names] for each in counts]) / wanted[:, None]
    costs, least = dict.fromkeys(names, 0.0), float((wanted**2).sum())
    for size in range(1, len(names) + 1):
        for chosen in map(list, combinations(range(len(names)), size)):
            found = np.linalg.lstsq(table[:, chosen], wanted, rcond=None)[0]
            error = float(((table[:, chosen] @ found - wanted) ** 2).sum())
            if error < least and (found >= 0).all():
                costs = dict.fromkeys(names, 0.0) | {
                    names[at]: float(cost) for at, cost in zip(chosen, found, strict=True)
                }
                least = error
    return GrowthLaw(costs)
