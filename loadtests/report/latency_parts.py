"""Where the time of a delivery went: each stage's share of it, for all deliveries and for the slowest of them."""

from dataclasses import dataclass

import numpy as np

from chatswarm.loadtests.judge.ledger import Ledger
from chatswarm.loadtests.judge.ledger.arrays import Bools, Floats

STAGES = {
    "sending": "the rig, until the message's bytes went out",
    "announcing": "the chat, until its frame was on the dashboard",
    "unannounced": "until a refetch began; no frame, or nobody knows which it was",
    "waiting": "the dashboard, until its refetch began (it refetches only so often)",
    "refetching": "the chat, until the list with the message was read",
}
"""The parts of an update latency, in their order, and whose time each is. Together they are all of it."""
_BLOCK = 500  # so many messages at once


@dataclass(frozen=True, slots=True)
class Shares:
    """Some deliveries, and how many seconds of their latencies, all together, each stage took."""

    label: str
    deliveries: int
    seconds: dict[str, float]

    @property
    def mean(self) -> float:
        """The mean latency, in seconds."""
        return sum(self.seconds.values()) / self.deliveries

    def share(self, stage: str) -> float:
        """Of the whole time; 0 where there was none."""
        whole = sum(self.seconds.values())
        return self.seconds[stage] / whole if whole else 0.0


def shares_of(ledger: Ledger) -> list[Shares]:
    """All deliveries, the slowest 1 % of them, and those that met a fault on their way. What never came has no time."""
    delivered = ledger.delivered & np.isfinite(ledger.messages.sent)[:, None]
    latency = ledger.visible - ledger.messages.intended[:, None]
    known = np.sort(latency[delivered])
    groups = {"all deliveries": delivered}
    if len(known) >= 100:
        slow = float(known[int(np.ceil(0.99 * len(known) - 1e-9)) - 1])
        groups["the slowest 1 %"] = delivered & (latency > slow)
    if ledger.evidence.faults:
        met = np.zeros_like(delivered)
        for fault in ledger.evidence.faults:
            met |= (ledger.messages.intended <= fault.stop)[:, None] & (ledger.visible >= fault.start)
        groups["during a fault"] = delivered & met
    return [
        Shares(label, int(chosen.sum()), _seconds(ledger, chosen)) for label, chosen in groups.items() if chosen.any()
    ]


def _seconds(ledger: Ledger, chosen: Bools) -> dict[str, float]:
    total = np.zeros(len(STAGES))
    began_at = np.append(ledger.reads.started, np.nan)
    for edge in range(0, len(chosen), _BLOCK):
        part = slice(edge, edge + _BLOCK)
        rows, columns = np.nonzero(chosen[part])
        rows += edge
        intended, sent = ledger.messages.intended[rows], ledger.messages.sent[rows]
        visible, notified = ledger.visible[rows, columns], ledger.announced.notified[rows, columns]
        # A read that began before the message was sent may show it all the same.
        began = np.clip(began_at[ledger.sight.read[rows, columns]], sent, visible)
        total += _parts(intended, sent, notified, began, visible)
    return dict(zip(STAGES, total.tolist(), strict=True))


def _parts(intended: Floats, sent: Floats, notified: Floats, began: Floats, visible: Floats) -> Floats:
    told = np.isfinite(notified)
    # A frame that came after the refetch had begun did not cause it.
    frame = np.clip(np.where(told, notified, began), sent, began)
    return np.array(
        [
            (sent - intended).sum(),
            (frame - sent)[told].sum(),
            (frame - sent)[~told].sum(),
            (began - frame).sum(),
            (visible - began).sum(),
        ]
    )
