"""`late`: visible, but later than the update target after the message was intended."""

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Bools, Floats
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.system.units import human

from .check import WORST, CheckResult


def late(ledger: Ledger) -> CheckResult:
    """Each delivery once, latest first."""
    found = np.flatnonzero(ledger.late)
    if not len(found):
        return CheckResult(0)
    latency = ledger.visible[found] - ledger.messages.intended[ledger.deliveries.message[found]]
    worst = np.argsort(-latency, kind="stable")[:WORST]
    return CheckResult(
        len(found),
        [
            ledger.example_of(delivery, f"visible after {human(took)}")
            for delivery, took in zip(found[worst].tolist(), latency[worst].tolist(), strict=True)
        ],
    )


def late_without(ledger: Ledger, delays: Floats) -> Bools:
    """Which deliveries are late even without the rig's own delays: one per delivery, or one for all."""
    return np.asarray(ledger.late & ledger.deliveries.apply(np.greater, ledger.visible - delays, ledger.deadline))
