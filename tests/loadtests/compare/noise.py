"""Runs as they vary on real machines: figures whose logarithms scatter from run to run."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from chatswarm.loadtests.compare.verdicts import MetricPairs

Draws = npt.NDArray[np.float64]

MEASURED = {"visible.p99": 0.005, "notified.p50": 0.1, "notified.p95": 0.25, "notified.p99": 0.49}
"""The run-to-run deviation of logarithms, at most, of metrics of the reference chat."""


def simulated_pairs(
    rng: np.random.Generator, pairs: int, deviation: float, ratio: float = 1.0, metric: str = "x"
) -> MetricPairs:  # fmt: skip
    """Pairs of runs of two sides, of which the new one's figures are so many times those of the base."""
    base = np.exp(rng.normal(0, deviation, pairs))
    new = np.exp(rng.normal(math.log(ratio), deviation, pairs))
    return MetricPairs(metric, base.tolist(), new.tolist())
