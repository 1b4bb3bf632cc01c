"""`store_lost` and `recovered`: what the final read of whole chats says about sends."""

import numpy as np

from chatswarm.loadtests.history.tables import SendOutcome
from chatswarm.loadtests.judge.ledger.ledger import Ledger

from .check import WORST, Found, about
from .wrongly_shown import shown_elsewhere


def store_lost(ledger: Ledger) -> Found:
    """Accepted, but absent from the final read. A copy that was damaged or misplaced counts as stored."""
    messages, copies = ledger.messages, ledger.copies
    read = np.append(copies.read, False)[messages.chat]
    gone = messages.accepted & read & (copies.of_message < 0) & ~shown_elsewhere(ledger)
    rows = np.flatnonzero(gone)
    return about(ledger, rows, [ledger.example(row) for row in rows[:WORST].tolist()])


def recovered(ledger: Ledger) -> Found:
    """A send of unknown outcome that was stored or shown after all. Either way is fine; it is counted."""
    shown = np.zeros(len(ledger.messages), bool)
    message = ledger.lists.text_message
    shown[message[message >= 0]] = True
    seen = shown | (ledger.copies.of_message >= 0)
    rows = np.flatnonzero((ledger.messages.outcome == SendOutcome.UNKNOWN) & seen)
    return about(ledger, rows, [ledger.example(row) for row in rows[:WORST].tolist()])
