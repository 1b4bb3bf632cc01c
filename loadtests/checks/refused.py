"""`refused`: a send that was rejected, or whose outcome is unknown, outside a fault's window."""

import numpy as np

from chatswarm.loadtests.history.schema import SendOutcome
from chatswarm.loadtests.ledger.ledger import Ledger

from .check import WORST, Found


def refused(ledger: Ledger) -> Found:
    """Each send once. There are no faults yet, so every one of them is outside their windows."""
    messages = ledger.messages
    rows = np.flatnonzero(messages.outcome != SendOutcome.ACCEPTED)
    return Found(len(rows), [ledger.example(row, detail=_why(ledger, row)) for row in rows[:WORST].tolist()])


def _why(ledger: Ledger, row: int) -> str:
    messages = ledger.messages
    outcome = SendOutcome(int(messages.outcome[row])).name.lower()
    status = int(messages.status[row])
    answer = f"status {status}" if status > 0 else "no answer"
    return f"{outcome}: {answer}" + (" (its widget never got a chat)" if messages.chat[row] < 0 else "")
