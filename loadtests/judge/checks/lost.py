"""`lost`: accepted, but not visible on an eligible dashboard by the end of the drain; counted per dashboard."""

import numpy as np
import numpy.typing as npt

from chatswarm.loadtests.judge.ledger.arrays import Ints, ints
from chatswarm.loadtests.judge.ledger.ledger import Ledger

from .check import WORST, CheckResult

_PARTS = ("middle", "prefix", "postfix", "all")
_PART_OF = np.array([[3, 1], [2, 0]], np.int8)
"""Indexed by whether the dashboard showed any of the sender's messages before it, and any after it."""
_MEANING = {
    "middle": "middle: this dashboard showed this sender's messages before and after it",
    "prefix": "prefix: this dashboard showed none of this sender's messages before it",
    "postfix": "postfix: this dashboard showed none of this sender's messages after it",
    "all": "all: this dashboard showed none of this sender's messages",
}


def lost(ledger: Ledger) -> CheckResult:
    """Losses in the middle are conclusive, so their examples come first; a postfix may only be slow."""
    found = np.flatnonzero(ledger.lost)
    if not len(found):
        return CheckResult(0)
    part = _parts(ledger, found)
    total = {name: int((part == number).sum()) for number, name in enumerate(_PARTS)}
    split = ", ".join(f"{count} {name}" for name, count in total.items() if count)
    eligible, missing = ledger.deliveries.sum(ledger.expected), ledger.deliveries.sum(ledger.lost)
    rows = ledger.deliveries.message[found]
    worst = np.lexsort((ledger.messages.intended[rows], -missing[rows], part))[:WORST]
    return CheckResult(
        len(found),
        [
            ledger.example_of(
                int(found[at]),
                f"{_MEANING[_PARTS[part[at]]]}; lost on {missing[rows[at]]} of {eligible[rows[at]]} dashboards "
                f"(of all: {split})",
            )
            for at in worst.tolist()
        ],
    )


def _parts(ledger: Ledger, found: Ints) -> npt.NDArray[np.int8]:
    """For each of these losses: its position among its sender's messages due on that dashboard."""
    messages, deliveries = ledger.messages, ledger.deliveries
    rank = np.empty(len(messages), np.int64)
    rank[np.argsort(messages.intended, kind="stable")] = np.arange(len(messages))
    widgets, sender = np.unique(messages.widget, return_inverse=True)
    losing = np.zeros(len(widgets), bool)
    losing[sender[deliveries.any(ledger.lost)]] = True
    seen = np.flatnonzero(ledger.delivered & deliveries.over(losing[sender]))
    # Per sender and dashboard: the first and the last message that the dashboard showed.
    lost_key, seen_key = (
        sender[deliveries.message[some]] * deliveries.dashboards + deliveries.dashboard[some] for some in (found, seen)
    )
    keys, which, size = _numbered(lost_key, seen_key, len(widgets) * deliveries.dashboards)
    first, last = np.full(size + 1, len(messages)), np.full(size + 1, -1)
    np.minimum.at(first, keys, rank[deliveries.message[seen]])
    np.maximum.at(last, keys, rank[deliveries.message[seen]])
    mine = rank[deliveries.message[found]]
    return _PART_OF[(first[which] < mine).astype(np.int8), (last[which] > mine).astype(np.int8)]


def _numbered(lost: Ints, seen: Ints, most: int) -> tuple[Ints, Ints, int]:
    """Numbers the keys below `most`: of `seen` (the highest number: not among `lost`), of `lost`, and how many."""
    if most <= 4 * (len(lost) + len(seen)):
        return seen, lost, most
    unique, which = np.unique(lost, return_inverse=True)
    at = np.searchsorted(unique, seen)
    return np.where(np.append(unique, -1)[at] == seen, at, len(unique)), ints(which), len(unique)
