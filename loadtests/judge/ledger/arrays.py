"""Array types of the ledger, and helpers to look up, join and slice them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Small = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.generic]


def ints(values: npt.ArrayLike) -> Ints:
    """The values as int64."""
    return np.asarray(values, dtype=np.int64)


def small(values: npt.ArrayLike) -> Small:
    """The values as int32."""
    return np.asarray(values, dtype=np.int32)


def floats(values: npt.ArrayLike) -> Floats:
    """The values as float64."""
    return np.asarray(values, dtype=np.float64)


def joined(parts: Sequence[Ints]) -> Ints:
    """All parts in one array; empty if there are no parts."""
    return np.concatenate([np.zeros(0, np.int64), *parts])


def translated(numbers: Numbers, table: Ints) -> Ints:
    """Each number looked up in `table`; -1 for a number outside the table."""
    at = ints(numbers)
    out = np.full(len(at), -1, np.int64)
    known = (at >= 0) & (at < len(table))
    out[known] = table[at[known]]
    return out


def key_of(widget: Numbers, n: Numbers) -> Ints:
    """One integer per identity, ascending by widget and then by n; -1 where there is no identity."""
    key = (ints(widget) << 32) | ints(n)
    key[ints(widget) < 0] = -1
    return key


def found(keys: Ints, sorted_keys: Ints, owners: Ints) -> Ints:
    """For each key, the owner of the same key in `sorted_keys`, or -1."""
    if not len(sorted_keys):
        return np.full(len(keys), -1, np.int64)
    at = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    owner: Ints = np.where(sorted_keys[at] == keys, owners[at], -1)
    return owner


def starts_of(sorted_values: Numbers, count: int) -> Ints:
    """Where each of the numbers 0 to `count` starts in an ascending array: the edges of `count` slices."""
    return ints(np.searchsorted(sorted_values, np.arange(count + 1)))


def ranges(starts: Ints, counts: Ints) -> Ints:
    """All of `start`, `start` + 1, … up to `count` numbers of each, one after another."""
    ends = np.cumsum(counts)
    return ints(np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - counts), counts))
