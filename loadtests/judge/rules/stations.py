"""How far cases came on their way, which is the first question that anybody asks."""

import numpy as np

from chatswarm.loadtests.system.units import human

from .cases import Cases, moments_of
from .facts import Facts
from .stages import stages_of

_STAGES = {
    "slow_accept": "the response after {}",
    "slow_notify": "the frame {} later",
    "asked_late": "the next refetch {} later",
    "slow_list": "the list {} later",
}


def reached(facts: Facts, cases: Cases) -> list[str]:
    """For lost deliveries, how many came how far; for late ones, how long each stage took. A sentence, or none."""
    if not len(cases) or (cases.delivery < 0).any():
        return []
    if cases.finding == "late":
        medians = {name: float(np.median(taken)) for name, taken in stages_of(facts, cases).items()}
        return ["in the middle: " + ", ".join(_STAGES[name].format(human(taken)) for name, taken in medians.items())]
    if cases.finding != "lost":
        return []
    count, ledger = len(cases), facts.ledger
    parts = [f"of {count:,}: all accepted"]
    known = facts.store_known[cases.message]
    if known.all():
        parts.append(f"{_how_many(int(facts.stored[cases.message].sum()), count)} stored")
    notified = moments_of(ledger, cases).notified
    if not ledger.by_frames and ledger.announcements.exact and not np.isnan(notified).any():
        parts.append(f"{_how_many(int(np.isfinite(notified).sum()), count)} announced")
    elsewhere = ledger.deliveries.any(np.isfinite(ledger.visible))[cases.message]
    parts.append(f"{_how_many(int(elsewhere.sum()), count)} shown on another dashboard")
    return [", ".join(parts)]


def _how_many(count: int, whole: int) -> str:
    return "all" if count == whole else f"{count:,}" if count else "none"
