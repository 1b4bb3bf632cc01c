"""`reordered`: shown the other way round than they were sent, or in another order than other reads show them."""

import numpy as np

from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.judge.ledger.messages import Explanation

from .check import WORST, Found, about


def reordered(ledger: Ledger) -> Found:
    """Each message once that stands on the wrong side of another one."""
    rows = _in_store(ledger) | _in_lists(ledger)
    return about(ledger, list(rows), [ledger.example(row, detail=text) for row, text in list(rows.items())[:WORST]])


def _in_store(ledger: Ledger) -> dict[int, str]:
    """A message that was sent after another one of its sender had been answered, and stored before it."""
    messages, copies = ledger.messages, ledger.copies
    chat, position = copies.place()
    right = np.zeros(len(messages), bool)
    placed = np.flatnonzero(copies.of_message >= 0)
    right[placed] = copies.explanation[copies.of_message[placed]] != Explanation.CORRUPTED
    right &= chat == messages.chat
    out: dict[int, str] = {}
    for widget in np.unique(messages.widget[right]).tolist():
        mine = np.flatnonzero(right & (messages.widget == widget))
        answered = mine[messages.accepted[mine]]
        answered = answered[np.argsort(messages.done[answered], kind="stable")]
        if not len(answered):
            continue
        highest = np.maximum.accumulate(position[answered])
        before = np.searchsorted(messages.done[answered], messages.sent[mine])
        wrong = (before > 0) & (highest[before - 1] > position[mine])
        for row in mine[wrong].tolist():
            out[row] = f"stored at position {position[row]}, before an earlier message of its sender"
    return out


def _in_lists(ledger: Ledger) -> dict[int, str]:
    """A text that a list showed after one that the final read has behind it."""
    lists = ledger.lists
    final = lists.text_position
    known = np.flatnonzero((final >= 0) & (lists.text_message >= 0) & (lists.text_end > lists.text_row))
    first, second = known[:-1], known[1:]
    together = (lists.text_chat[first] == lists.text_chat[second]) & (lists.text_end[first] > lists.text_row[second])
    # A copy of the same text is `duplicated`.
    wrong = together & (final[first] > final[second])
    return {
        int(lists.text_message[text]): "a list showed it behind a message that the final read has after it"
        for text in second[wrong]
    }
