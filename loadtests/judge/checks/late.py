"""`late`: visible, but later than the update target after the message was intended."""

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Bools, Floats
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.system.units import human

from .check import WORST, CheckResult


def late(ledger: Ledger) -> CheckResult:
    """Each delivery once, latest first."""
    latency = ledger.visible - ledger.messages.intended[:, None]
    rows, dashboards = np.nonzero(ledger.late)
    worst = np.argsort(-latency[rows, dashboards], kind="stable")[:WORST]
    return CheckResult(
        len(rows),
        [
            ledger.example(row, dashboard, f"visible after {human(float(latency[row, dashboard]))}")
            for row, dashboard in zip(rows[worst].tolist(), dashboards[worst].tolist(), strict=True)
        ],
    )


def late_without(ledger: Ledger, delays: Floats) -> Bools:
    """Which deliveries (messages × dashboards) are late even without the rig's own delays."""
    return np.asarray(ledger.late & (ledger.visible - delays > ledger.deadline[:, None]))
