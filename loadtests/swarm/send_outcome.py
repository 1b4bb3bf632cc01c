"""Decides the outcome of a send from what was seen on its connection."""

from chatswarm.loadtests.history.tables import SendOutcome


def outcome_of_rejection(status: int, *, unavailable_means_not_done: bool) -> SendOutcome:
    """The outcome of a send over a socket that was rejected with a status as by HTTP; 0: with none.

    A rejection without a status is certain. One that has a status means what it means by HTTP, so with a 500 nobody
    knows.
    """
    if status == 0:
        return SendOutcome.REJECTED
    outcome = outcome_of(
        written=True, status=status, complete=True, unavailable_means_not_done=unavailable_means_not_done
    )
    return SendOutcome.REJECTED if outcome is SendOutcome.ACCEPTED else outcome


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
