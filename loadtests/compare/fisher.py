"""Fisher's exact test: do more runs of one side than of the other have something, such as a lost message?"""

import numpy as np

from chatswarm.loadtests.judge.rules.statistics import log_choose


def fisher_p_value(with_base: int, base: int, with_new: int, new: int) -> float:
    """The two-sided p-value: how likely a difference at least this large is if both sides are the same. `with_base` of
    `base` runs have it, and `with_new` of `new`.

    Raises ValueError if more runs have it than there are.
    """
    if not (0 <= with_base <= base and 0 <= with_new <= new):
        raise ValueError(f"expected at most all runs, got {with_base} of {base} and {with_new} of {new}")
    both = with_base + with_new
    least, most = max(0, both - new), min(base, both)
    one = np.arange(least, most + 1, dtype=np.float64)
    logs = log_choose(base, one) + log_choose(new, both - one) - log_choose(base + new, both)
    likely = logs <= logs[with_base - least] + 1e-9  # equal ones differ by rounding
    return min(1.0, float(np.exp(logs[likely]).sum()))
