"""Breaks latency down into its parts, for all deliveries, the slowest ones, and those during a fault."""

from dataclasses import dataclass

import numpy as np

from chatswarm.loadtests.judge.ledger import Ledger
from chatswarm.loadtests.judge.ledger.arrays import Bools, Floats

PARTS = {
    "sending": "the rig, until the message was sent",
    "announcing": "the chat, until its frame reached the dashboard",
    "unannounced": "until a refetch began, if the frame is missing or cannot be matched",
    "waiting": "the dashboard, until its refetch began (its interval limits the rate)",
    "refetching": "the chat, until the dashboard had read the list with the message",
}
"""The parts of the update latency, in order, and what each is spent on. They add up to the whole latency."""
_BLOCK = 500  # messages per block, which bounds the memory


@dataclass(frozen=True, slots=True)
class LatencyBreakdown:
    """The total latency of a group of deliveries, split into the seconds that each part took."""

    label: str
    deliveries: int
    seconds: dict[str, float]  # by part

    @property
    def mean(self) -> float:
        """The mean latency, in seconds."""
        return sum(self.seconds.values()) / self.deliveries

    def share(self, part: str) -> float:
        """The part's share of the total; 0 if the total is 0."""
        whole = sum(self.seconds.values())
        return self.seconds[part] / whole if whole else 0.0


def breakdowns_of(ledger: Ledger) -> list[LatencyBreakdown]:
    """For all deliveries, the slowest 1 %, and those in flight during a fault. Lost deliveries are left out."""
    delivered = ledger.delivered & np.isfinite(ledger.messages.sent)[:, None]
    latency = ledger.visible - ledger.messages.intended[:, None]
    known = np.sort(latency[delivered])
    groups = {"all deliveries": delivered}
    if len(known) >= 100:
        slow = float(known[int(np.ceil(0.99 * len(known) - 1e-9)) - 1])
        groups["the slowest 1 %"] = delivered & (latency > slow)
    if ledger.observations.faults:
        affected = np.zeros_like(delivered)
        for fault in ledger.observations.faults:
            affected |= (ledger.messages.intended <= fault.stop)[:, None] & (ledger.visible >= fault.start)
        groups["during a fault"] = delivered & affected
    return [
        LatencyBreakdown(label, int(chosen.sum()), _seconds(ledger, chosen))
        for label, chosen in groups.items()
        if chosen.any()
    ]


def _seconds(ledger: Ledger, chosen: Bools) -> dict[str, float]:
    total = np.zeros(len(PARTS))
    began_at = np.append(ledger.reads.started, np.nan)
    for edge in range(0, len(chosen), _BLOCK):
        block = slice(edge, edge + _BLOCK)
        rows, columns = np.nonzero(chosen[block])
        rows += edge
        intended, sent = ledger.messages.intended[rows], ledger.messages.sent[rows]
        visible, notified = ledger.visible[rows, columns], ledger.announcements.notified[rows, columns]
        # A read that began before the message was sent may still show it.
        began = np.clip(began_at[ledger.visibility.read[rows, columns]], sent, visible)
        total += _parts(intended, sent, notified, began, visible)
    return dict(zip(PARTS, total.tolist(), strict=True))


def _parts(intended: Floats, sent: Floats, notified: Floats, began: Floats, visible: Floats) -> Floats:
    announced = np.isfinite(notified)
    # A frame that arrived after the refetch had begun did not trigger it.
    frame = np.clip(np.where(announced, notified, began), sent, began)
    return np.array(
        [
            (sent - intended).sum(),
            (frame - sent)[announced].sum(),
            (frame - sent)[~announced].sum(),
            (began - frame).sum(),
            (visible - began).sum(),
        ]
    )
