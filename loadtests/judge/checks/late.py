"""`late`: visible, but after the update target, counted from when the message was intended."""

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Bools, Floats
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.system.units import human

from .check import WORST, Found


def late(ledger: Ledger) -> Found:
    """Each delivery once, the latest ones first."""
    latency = ledger.visible - ledger.messages.intended[:, None]
    rows, dashboards = np.nonzero(ledger.late)
    worst = np.argsort(-latency[rows, dashboards], kind="stable")[:WORST]
    return Found(
        len(rows),
        [
            ledger.example(row, dashboard, f"visible after {human(float(latency[row, dashboard]))}")
            for row, dashboard in zip(rows[worst].tolist(), dashboards[worst].tolist(), strict=True)
        ],
    )


def late_without(ledger: Ledger, delays: Floats) -> Bools:
    """Which are still late (messages × dashboards) if the rig's own delays are taken off."""
    return np.asarray(ledger.late & (ledger.visible - delays > ledger.deadline[:, None]))
