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
    "replaying": "until a replay, or a read after reconnecting, showed the message whose frame was missed",
}
"""The parts of the update latency, in order, and what each is spent on. They add up to the whole latency."""
_BLOCK = 1 << 18  # deliveries per block, which bounds the memory


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
    delivered = ledger.delivered & ledger.deliveries.over(np.isfinite(ledger.messages.sent))
    latency = ledger.latency
    known = np.sort(latency[delivered])
    groups = {"all deliveries": delivered}
    if len(known) >= 100:
        slow = float(known[int(np.ceil(0.99 * len(known) - 1e-9)) - 1])
        groups["the slowest 1 %"] = delivered & (latency > slow)
    if ledger.observations.faults:
        affected = np.zeros_like(delivered)
        for fault in ledger.observations.faults:
            begun = ledger.deliveries.over(ledger.messages.intended <= fault.stop)
            affected |= begun & (ledger.visible >= fault.start)
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
        mine = np.flatnonzero(chosen[edge : edge + _BLOCK]) + edge
        rows = ledger.deliveries.message[mine]
        intended, sent = ledger.messages.intended[rows], ledger.messages.sent[rows]
        visible, notified = ledger.visible[mine], ledger.announcements.notified[mine]
        # A read that began before the message was sent may still show it. What a frame showed needed no read.
        by_read = ledger.visibility.read[mine] >= 0
        began = np.where(by_read, np.clip(began_at[ledger.visibility.read[mine]], sent, visible), visible)
        total += _parts(intended, sent, notified, began, visible, by_read)
    return dict(zip(PARTS, total.tolist(), strict=True))


def _parts(intended: Floats, sent: Floats, notified: Floats, began: Floats, visible: Floats, by_read: Bools) -> Floats:
    announced = np.isfinite(notified)
    # A frame that arrived after the refetch had begun did not trigger it.
    frame = np.clip(np.where(announced, notified, began), sent, began)
    return np.array(
        [
            (sent - intended).sum(),
            (frame - sent)[announced].sum(),
            (frame - sent)[~announced & by_read].sum(),
            (began - frame).sum(),
            (visible - began).sum(),
            (frame - sent)[~announced & ~by_read].sum(),
        ]
    )
