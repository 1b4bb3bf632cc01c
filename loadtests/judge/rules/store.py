"""Lost deliveries whose message is not in the store."""

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Ints

from .cases import Cases
from .claims import Claim
from .facts import Facts
from .words import many


def unacknowledged(facts: Facts, cases: Cases) -> Claim | None:
    """Written to a socket of a protocol without acknowledgements, and nobody has seen it."""
    promises = facts.ledger.manifest.promises
    if promises.accepted_by != "written" or facts.ledger.scenario.sends_over(promises) != "socket":
        return None
    seen = facts.ever_shown | facts.stored
    rows = np.flatnonzero(~seen[cases.message])
    return Claim("unacknowledged", rows, evidence=(_messages(cases, rows),)) if len(rows) else None


def never_stored(facts: Facts, cases: Cases) -> Claim | None:
    """Absent from a complete final read, and never shown to anybody."""
    rows = np.flatnonzero((facts.store_known & ~facts.stored & ~facts.ever_shown)[cases.message])
    if not len(rows):
        return None
    return Claim("never_stored", rows, evidence=(f"the final read lacks all of {_messages(cases, rows)}",))


def deleted(facts: Facts, cases: Cases) -> Claim | None:
    """Absent from a complete final read, although somebody was shown it."""
    rows = np.flatnonzero((facts.store_known & ~facts.stored & facts.ever_shown)[cases.message])
    if not len(rows):
        return None
    return Claim("deleted", rows, evidence=(f"the final read lacks all of {_messages(cases, rows)}",))


def _messages(cases: Cases, rows: Ints) -> str:
    return many(len(np.unique(cases.message[rows])), "message")
