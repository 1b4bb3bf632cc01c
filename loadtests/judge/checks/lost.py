"""`lost`: accepted, but not visible on an eligible dashboard by the end of the drain; counted per dashboard."""

import numpy as np
import numpy.typing as npt

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
    rows, dashboards = np.nonzero(ledger.lost)
    if not len(rows):
        return CheckResult(0)
    part = _parts(ledger)[rows, dashboards]
    total = {name: int((part == number).sum()) for number, name in enumerate(_PARTS)}
    split = ", ".join(f"{count} {name}" for name, count in total.items() if count)
    eligible, missing = ledger.expected.sum(axis=1), ledger.lost.sum(axis=1)
    worst = np.lexsort((ledger.messages.intended[rows], -missing[rows], part))[:WORST]
    return CheckResult(
        len(rows),
        [
            ledger.example(
                row,
                dashboard,
                f"{_MEANING[_PARTS[part[at]]]}; lost on {missing[row]} of {eligible[row]} dashboards (of all: {split})",
            )
            for at, row, dashboard in zip(worst.tolist(), rows[worst].tolist(), dashboards[worst].tolist(), strict=True)
        ],
    )


def _parts(ledger: Ledger) -> npt.NDArray[np.int8]:
    """For each loss (messages × dashboards): its position among its sender's messages due on that dashboard."""
    messages = ledger.messages
    part = np.zeros(ledger.lost.shape, np.int8)
    delivered = ledger.delivered
    for widget in np.unique(messages.widget[ledger.lost.any(axis=1)]).tolist():
        mine = np.flatnonzero(messages.widget == widget)
        mine = mine[np.argsort(messages.intended[mine], kind="stable")]
        seen = delivered[mine]
        before = np.logical_or.accumulate(seen, axis=0)
        after = np.logical_or.accumulate(seen[::-1], axis=0)[::-1]
        part[mine] = _PART_OF[before.astype(np.int8), after.astype(np.int8)]
    return part
