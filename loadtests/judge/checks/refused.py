"""`refused`: a send that was rejected, or whose outcome is unknown, while no fault was active."""

import numpy as np

from chatswarm.loadtests.history.tables import SendOutcome
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.judge.rig import longest_sleeps

from .check import WORST, CaseKind, CheckResult, result_for_messages

_TOO_MANY, _FAILED = 429, 500
_SLEPT = 0.5  # the share of a send's time


def refused(ledger: Ledger) -> CheckResult:
    """Each send once, unless a fault was active between intended and the response, or the rig itself failed or slept.

    If the nemesis's history is incomplete, it cannot be known whether there was a fault.
    """
    messages = ledger.messages
    outside = (messages.outcome != SendOutcome.ACCEPTED) & ~messages.rig_failed
    # A send that only the uncertainty of the hosts' clocks puts outside may have been inside.
    bound = ledger.fault_bound
    for fault in ledger.observations.faults:
        outside &= (messages.intended > fault.stop + bound) | (ledger.answered < fault.start - bound)
    # What the load generator slept through may have been answered.
    silent = np.flatnonzero(outside & (messages.status == 0) & np.isfinite(messages.sent) & np.isfinite(messages.done))
    took = messages.done[silent] - messages.sent[silent]
    lag = longest_sleeps(ledger.observations, messages.process[silent], messages.sent[silent], messages.done[silent])
    outside[silent[lag > _SLEPT * took]] = False
    rows = np.flatnonzero(outside)
    if len(rows) and not ledger.observations.all_faults:
        return CheckResult(None)
    examples = [ledger.example(row, detail=_why(ledger, row)) for row in rows[:WORST].tolist()]
    return result_for_messages(ledger, rows, examples, kinds=list(map(_kind, messages.status[rows].tolist())))


def _kind(status: int) -> CaseKind:
    if status == _TOO_MANY:
        return CaseKind("rate_limited")
    if status >= _FAILED:
        return CaseKind("server_error", f"status {status}")
    return CaseKind("turned_down", f"status {status}") if status > 0 else CaseKind("no_answer")


def _why(ledger: Ledger, row: int) -> str:
    messages = ledger.messages
    outcome = SendOutcome(int(messages.outcome[row])).name.lower()
    status = int(messages.status[row])
    answer = f"status {status}" if status > 0 else "no answer"
    if status == _TOO_MANY:
        answer += ", rate limiting"
    return f"{outcome}: {answer}" + (" (its widget never got a chat)" if messages.chat[row] < 0 else "")
