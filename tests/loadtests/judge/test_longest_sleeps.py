"""The longest sleep in each span, compared with a plain loop over made-up samples."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from chatswarm.loadtests.history.manifest import PROXY
from chatswarm.loadtests.judge.ledger.observations import Observations
from chatswarm.loadtests.judge.rig import longest_sleeps


@pytest.mark.parametrize("seed", range(30))
def test_it_is_that_of_the_process_and_of_the_proxy(seed: int) -> None:
    draws = np.random.default_rng(seed)
    names = ["swarm-0", "swarm-1", PROXY][: 1 + seed % 3]
    samples = []
    for name in names:
        # A loop sleeps, wakes, and is due again 10 ms later.
        lag = draws.exponential(0.1, draws.integers(0, 60))
        samples.append(SimpleNamespace(name=name, lag_time=np.cumsum(lag + 0.01), lag=lag))
    process, starts = draws.integers(0, len(names), 20), draws.uniform(-1, 8, 20)
    ends = starts + draws.exponential(1, 20)
    observations = cast("Observations", SimpleNamespace(processes=names, samples=samples))
    found = longest_sleeps(observations, process, starts, ends)
    for span, longest in enumerate(found.tolist()):
        slept = [
            max((nap for woke, nap in zip(each.lag_time, each.lag, strict=True)
                 if woke >= starts[span] and woke - nap <= ends[span]), default=0.0)
            for number, each in enumerate(samples)
            if number == process[span] or each.name == PROXY
        ]  # fmt: skip
        assert longest == pytest.approx(sum(slept))
