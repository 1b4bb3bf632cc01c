"""Array types of the ledger, and helpers to look up, join and slice them."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Small = npt.NDArray[np.int32]
Indexes = npt.NDArray[np.signedinteger[Any]]  # whichever of these is enough
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.generic]
_Any = TypeVar("_Any", bound=np.generic)

_BLOCK = 1 << 16
"""Rows per step. What a step needs stays in the cache; new arrays for millions of rows cost more than the work."""


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


def kind_below(limit: int) -> np.dtype[np.signedinteger[Any]]:
    """int32 if it holds all numbers below the limit, else int64: half as many bytes take half the time."""
    return np.dtype(np.int32 if limit <= 1 << 31 else np.int64)


def blocks(rows: int, width: int = 1) -> Iterator[slice]:
    """All of `rows`, each of up to `width` numbers, a part at a time."""
    step = max(1, _BLOCK // max(1, width))
    return (slice(edge, min(edge + step, rows)) for edge in range(0, rows, step))


def looked_up(table: npt.NDArray[_Any], at: Indexes) -> npt.NDArray[_Any]:
    """`table[at]` for millions of places, without a copy of these as int64."""
    out = np.empty(len(at), table.dtype)
    for part in blocks(len(at)):
        out[part] = table.take(at[part])
    return out


def present(numbers: Indexes, count: int) -> Bools:
    """Which of the numbers below `count` are among `numbers`."""
    out = np.zeros(count, bool)
    for part in blocks(len(numbers)):
        out[numbers[part]] = True
    return out


def grouped(groups: Indexes, count: int) -> tuple[Indexes, Ints]:
    """The rows by their group, a number below `count`, otherwise in their order; and where each group starts."""
    bits = len(groups).bit_length()
    # Group and row in one integer: that sorts much faster than the rows by their groups.
    kind = np.uint32 if bits + count.bit_length() <= 32 else np.uint64
    packed = np.left_shift(groups, bits, dtype=kind, casting="unsafe")
    for part in blocks(len(groups)):
        packed[part] |= np.arange(part.start, part.stop, dtype=kind)
    packed.sort()
    edges = np.searchsorted(packed, np.left_shift(np.arange(count + 1), bits, dtype=kind, casting="unsafe"))
    packed &= kind((1 << bits) - 1)
    return packed.view(np.int32 if kind is np.uint32 else np.int64), ints(edges)


def starts_of(sorted_values: Numbers, count: int) -> Ints:
    """Where each of the numbers 0 to `count` starts in an ascending array: the edges of `count` slices."""
    return ints(np.searchsorted(sorted_values, np.arange(count + 1, dtype=sorted_values.dtype)))


def ranges(starts: Ints, counts: Ints) -> Ints:
    """All of `start`, `start` + 1, … up to `count` numbers of each, one after another."""
    ends = np.cumsum(counts)
    return ints(np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - counts), counts))


def placed(group: Ints, value: Floats, wanted: Indexes, moment: Floats, *, after: bool = False) -> Ints:
    """Where in rows that are sorted by group and then by value each wanted group's first one from a moment on is, or
    would be; with `after`, its first one after that moment.
    """
    every = np.sort(value)
    size = len(every) + 1
    keys = group * size + np.searchsorted(every, value, side="right")
    rank = np.searchsorted(every, moment, side="right" if after else "left")
    return ints(np.searchsorted(keys, ints(wanted) * size + rank, side="right"))
