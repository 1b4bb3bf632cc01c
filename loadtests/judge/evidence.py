"""How strong the words of a verdict are for this kind of chat."""

import numpy as np

from .ledger import Ledger
from .verdict import Evidence


def evidence_of(ledger: Ledger) -> Evidence:
    """What the target's protocol promises, and what this run could see."""
    promises, deflate = ledger.manifest.promises, ledger.observations.connections.deflate
    asked = ledger.store_asked & ledger.observations.own_chats
    failed = bool((asked & ~ledger.copies.read).any())
    return Evidence(
        visible=promises.visible,
        # What the protocol promises of sends over sockets; by HTTP it is always the response.
        accepted_by=promises.accepted_by if ledger.scenario.sends_over(promises) == "socket" else "status",
        subscribed="confirmed" if promises.confirms_subscriptions else "asked",
        store="failed" if failed else "read" if asked.any() and ledger.reads_store else "not read",
        audience="members" if ledger.audience.limited else "everybody",
        deflate=int((deflate > 0).sum()) if np.any(deflate >= 0) else None,
    )
