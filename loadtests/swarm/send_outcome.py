"""Decides the outcome of a send from what was seen on its connection."""

from chatswarm.loadtests.history.tables import SendOutcome


def outcome_of(*, written: bool, status: int, complete: bool, unavailable_means_not_done: bool) -> SendOutcome:
    """The outcome of one send.

    `written`: TCP (and TLS) was connected, so some of the request may have gone out. `status`: of the response; 0 if
    none came, negative if that was the rig's fault. `complete`: the response was read to its end.
    `unavailable_means_not_done`: the target promises that of a 503.
    """
    if not written:
        return SendOutcome.REJECTED
    if not complete:
        return SendOutcome.UNKNOWN
    if 200 <= status < 300:
        return SendOutcome.ACCEPTED
    if (400 <= status < 500 and status != 408) or (status == 503 and unavailable_means_not_done):
        return SendOutcome.REJECTED
    return SendOutcome.UNKNOWN
