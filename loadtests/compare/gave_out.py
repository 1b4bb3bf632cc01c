"""What gave out at the limit of a search: the target, the rig, the machine that they share, or nothing at all."""

from dataclasses import dataclass
from typing import Literal

GaveOut = Literal["target", "rig", "machine", "ceiling", "unknown"]

BUSY = 0.9
"""A machine or process that uses this share of what it can use has nothing left."""
NULL_MARGIN = 1.3
"""How many times the limit a chat that answers at once has to hold, for the rig to have been able to measure it."""
_ROUNDED = 1e-3
"""Loads have four digits, so the one that was asked of the null chat may be that much more than the margin."""
RIG_SHARE = 0.25
"""The share of a busy machine's work from which the rig took what the target lacked."""


@dataclass(frozen=True)
class LimitEvidence:
    """What was measured at the level that failed. None: not measured."""

    limit: float | None
    """The highest load that held; None if none did."""
    failed: float | None
    """The lowest load that failed; None if all held."""
    rig_sound: bool | None = None
    """Without or with twice the processes: the better of both."""
    null_failed: float | None = None
    """The lowest load at which the rig failed against a chat that answers at once; infinite if it held all asked."""
    target_here: bool | None = None
    """Whether the target runs on the rig's machine."""
    machine_busy: float | None = None
    """The share of the machine's cores in use, or of the time that tasks waited for one: the larger."""
    rig_share: float | None = None
    """The rig's share of what was in use."""
    target_busy: float | None = None
    """The share of the cores that its processes can use which they did use."""


def what_gave_out(evidence: LimitEvidence) -> GaveOut:
    """What the limit is a limit of. Only that of a *target* is an upper bound on it; others are lower bounds.

    Unknown if what would tell was not measured: it is never the target without proof that it was nothing else.
    """
    if evidence.failed is None:
        return "ceiling"
    if evidence.rig_sound is False or _null_chat_fails(evidence):
        return "rig"
    if evidence.rig_sound is None:
        return "unknown"
    if evidence.target_busy is not None and evidence.target_busy >= BUSY:
        return "target"
    if evidence.machine_busy is None:
        return "unknown"
    if evidence.machine_busy < BUSY:
        return "target"
    if evidence.target_here and evidence.rig_share is not None and evidence.rig_share >= RIG_SHARE:
        return "machine"
    return "unknown"


def _null_chat_fails(evidence: LimitEvidence) -> bool:
    limit = evidence.failed if evidence.limit is None else evidence.limit
    if evidence.null_failed is None or limit is None:
        return False
    return evidence.null_failed <= NULL_MARGIN * limit * (1 + _ROUNDED)
