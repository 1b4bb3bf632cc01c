"""`store_lost` and `recovered`: sends compared with the final read of whole chats."""

import numpy as np

from chatswarm.loadtests.history.tables import SendOutcome
from chatswarm.loadtests.judge.ledger.ledger import Ledger

from .check import WORST, CheckResult, result_for_messages
from .wrongly_shown import shown_elsewhere


def store_lost(ledger: Ledger) -> CheckResult:
    """Accepted, but absent from the final read. A damaged or misplaced copy counts as stored."""
    messages, copies = ledger.messages, ledger.copies
    read = np.append(copies.read, False)[messages.chat]
    gone = messages.accepted & read & (copies.of_message < 0) & ~shown_elsewhere(ledger)
    rows = np.flatnonzero(gone)
    if not len(rows) and not ledger.reads_store:
        return CheckResult(None, applies=False)
    return result_for_messages(ledger, rows, [ledger.example(row) for row in rows[:WORST].tolist()])


def recovered(ledger: Ledger) -> CheckResult:
    """Sends of unknown outcome that were stored or shown after all. Counted for information."""
    if not ledger.reads_store:
        return CheckResult(None, applies=False)
    shown = np.zeros(len(ledger.messages), bool)
    message = ledger.lists.text_message
    shown[message[message >= 0]] = True
    if ledger.sightings is not None:
        shown[ledger.sightings.known.message] = True
    seen = shown | (ledger.copies.of_message >= 0)
    rows = np.flatnonzero((ledger.messages.outcome == SendOutcome.UNKNOWN) & seen)
    return result_for_messages(ledger, rows, [ledger.example(row) for row in rows[:WORST].tolist()])
