"""How long each stage of a delivery took, and how long it usually takes in this run."""

from collections.abc import Mapping

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Bools, Floats, Ints, ints

from .cases import Cases, moments_of
from .facts import Facts

_SAMPLE = 200_000
_MOST = 0.5


def stages_of(facts: Facts, cases: Cases) -> Mapping[str, Floats]:
    """How long each of a delivery's stages took, in seconds, by the cause that names it. They add up to the time from
    the send until it was visible, as far as that is known.
    """
    ledger, moments = facts.ledger, moments_of(facts.ledger, cases)
    visible, notified = moments.visible, moments.notified
    if not ledger.announcements.exact:
        # Which frame was whose is a guess, but when the refetch began that shows it is none.
        notified = np.append(ledger.reads.started, np.nan)[ledger.visibility.read[cases.delivery]]
    notified = np.where(np.isfinite(notified), np.clip(notified, moments.sent, visible), visible)
    accepted = np.minimum(np.where(np.isnan(moments.accepted), notified, moments.accepted), notified)
    accepted = np.maximum(accepted, moments.sent)
    stages = {"slow_accept": accepted - moments.sent, "slow_notify": notified - accepted}
    if ledger.by_frames:
        return stages
    asked = _asked_late(facts, cases, notified)
    return {**stages, "asked_late": asked, "slow_list": visible - notified - asked}


def _asked_late(facts: Facts, cases: Cases, notified: Floats) -> Floats:
    """How long after its frame each dashboard asked for the list, less the time for which it waited for another one."""
    refetches, read = facts.refetches, facts.ledger.visibility.read[cases.delivery]
    asked = np.append(facts.ledger.reads.started, np.nan)[read]
    before = refetches.since(cases.dashboard, asked) - 1
    mine = np.append(refetches.dashboard, -1)[before] == cases.dashboard
    busy_until = np.where(mine & (before >= 0), np.append(refetches.done, np.nan)[before], np.nan)
    idle = asked - np.fmax(notified, np.fmin(busy_until, asked))
    return np.where(np.isfinite(idle), np.maximum(idle, 0.0), 0.0)


def usual_of(facts: Facts) -> dict[str, float]:
    """The median of each stage over deliveries that were on target; 0 if hardly any were."""
    if facts.usual is None:
        facts.usual = _usual(facts)
    return facts.usual


def _usual(facts: Facts) -> dict[str, float]:
    ledger = facts.ledger
    on_target: Ints = ints(np.flatnonzero(ledger.delivered & ~ledger.late))
    names = ("slow_accept", "slow_notify", *(() if ledger.by_frames else ("asked_late", "slow_list")))
    if len(on_target) < 0.1 * max(1, int(ledger.late.sum())):
        return dict.fromkeys(names, 0.0)
    some = on_target[:: max(1, len(on_target) // _SAMPLE)]
    none = np.full(len(some), -1, np.int64)
    cases = Cases("late", len(some), 1, len(some), none, ints(ledger.deliveries.message[some]), some, none, [])
    stages = stages_of(facts, cases)
    return {name: float(np.nanmedian(taken)) for name, taken in stages.items()}


def explains(facts: Facts, cases: Cases, delay: Floats) -> Bools:
    """Which late deliveries are on target without a delay that is also most of what they took longer than usual."""
    ledger = facts.ledger
    visible, more = ledger.visible[cases.delivery], ledger.latency[cases.delivery] - sum(usual_of(facts).values())
    return np.asarray((visible - delay <= ledger.deadline[cases.message]) & (delay >= _MOST * more))
