"""Fisher's exact test: do more runs of one side than of the other have something, such as a lost message?"""

import math


def fisher_p_value(with_base: int, base: int, with_new: int, new: int) -> float:
    """How likely shares this different are, either way, if both sides are the same: `with_…` of so many runs have it.

    Raises ValueError if more runs have it than there are.
    """
    if not (0 <= with_base <= base and 0 <= with_new <= new):
        raise ValueError(f"expected at most all runs, got {with_base} of {base} and {with_new} of {new}")
    both = with_base + with_new
    least, most = max(0, both - new), min(base, both)
    chances = {one: _log_ways(base, one) + _log_ways(new, both - one) for one in range(least, most + 1)}
    likely = chances[with_base] + 1e-9  # equal ones differ by rounding
    return min(1.0, sum(math.exp(each - _log_ways(base + new, both)) for each in chances.values() if each <= likely))


def _log_ways(runs: int, having: int) -> float:
    """The logarithm of the binomial coefficient: the number itself has hundreds of digits for many runs."""
    return math.lgamma(runs + 1) - math.lgamma(having + 1) - math.lgamma(runs - having + 1)
