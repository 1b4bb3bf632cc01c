"""`reordered`: messages stored in another order than they were sent, or listed in another order than stored."""

import numpy as np

from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.judge.ledger.messages import Explanation

from .check import WORST, CheckResult, result_for_messages


def reordered(ledger: Ledger) -> CheckResult:
    """Each message that is on the wrong side of another, once."""
    rows = _in_store(ledger) | _in_lists(ledger)
    return result_for_messages(
        ledger, list(rows), [ledger.example(row, detail=text) for row, text in list(rows.items())[:WORST]]
    )


def _in_store(ledger: Ledger) -> dict[int, str]:
    """Messages stored before an earlier one of the same sender whose response came before they were sent."""
    messages, copies = ledger.messages, ledger.copies
    chat, position = copies.locations()
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
    """Texts that a list showed after one that follows them in the final read."""
    lists = ledger.lists
    final = lists.text_position
    known = np.flatnonzero((final >= 0) & (lists.text_message >= 0) & (lists.text_end > lists.text_row))
    first, second = known[:-1], known[1:]
    together = (lists.text_chat[first] == lists.text_chat[second]) & (lists.text_end[first] > lists.text_row[second])
    # Copies of the same text are `duplicated`.
    wrong = together & (final[first] > final[second])
    return {
        int(lists.text_message[text]): "a list showed it after a message that follows it in the final read"
        for text in second[wrong]
    }
