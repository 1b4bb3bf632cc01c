"""`lost`: accepted, but not visible on an eligible dashboard by the end of the drain; counted per dashboard."""

import numpy as np

from chatswarm.loadtests.ledger.arrays import Ints
from chatswarm.loadtests.ledger.ledger import Ledger

from .check import WORST, Found

_PARTS = ("middle", "prefix", "postfix", "all")
_MEANING = {
    "middle": "middle: this dashboard showed this sender's messages before and after it",
    "prefix": "prefix: this dashboard showed none of this sender's messages before it",
    "postfix": "postfix: this dashboard showed none of this sender's messages after it",
    "all": "all: this dashboard showed none of this sender's messages",
}


def lost(ledger: Ledger) -> Found:
    """Middle losses are damning and come first among the examples; a postfix may be slowness."""
    rows, dashboards = np.nonzero(ledger.lost)
    if not len(rows):
        return Found(0)
    part = _parts(ledger, rows, dashboards)
    total = {name: int((part == number).sum()) for number, name in enumerate(_PARTS)}
    split = ", ".join(f"{count} {name}" for name, count in total.items() if count)
    eligible, missing = ledger.expected.sum(axis=1), ledger.lost.sum(axis=1)
    worst = np.lexsort((ledger.messages.intended[rows], -missing[rows], part))[:WORST]
    return Found(
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


def _parts(ledger: Ledger, rows: Ints, dashboards: Ints) -> Ints:
    """For each loss, where it is among the messages of its sender that its dashboard should have shown."""
    messages = ledger.messages
    part = np.empty(len(rows), np.int64)
    delivered = ledger.delivered
    for widget in np.unique(messages.widget[rows]).tolist():
        mine = np.flatnonzero(messages.widget == widget)
        mine = mine[np.argsort(messages.intended[mine], kind="stable")]
        rank = np.full(len(messages), -1)
        rank[mine] = np.arange(len(mine))
        seen = delivered[mine]
        before = np.logical_or.accumulate(seen, axis=0)
        after = np.logical_or.accumulate(seen[::-1], axis=0)[::-1]
        here = np.flatnonzero(messages.widget[rows] == widget)
        cell = (rank[rows[here]], dashboards[here])
        part[here] = np.select(
            [before[cell] & after[cell], after[cell], before[cell]],
            [_PARTS.index("middle"), _PARTS.index("prefix"), _PARTS.index("postfix")],
            _PARTS.index("all"),
        )
    return part
