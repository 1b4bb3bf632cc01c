"""Why deliveries were late: whose time it was."""

from collections.abc import Mapping

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Floats, Ints, ints
from chatswarm.loadtests.judge.rig import LAG_SHARE
from chatswarm.loadtests.system.units import human

from .cases import Cases, moments_of
from .claims import Claim
from .facts import Facts
from .words import dashboards

_SAMPLE = 200_000
_HALF = 0.5
_CONFIRMED = 1.0  # seconds


def rig(facts: Facts, cases: Cases) -> Claim | None:
    """On target without the load generator's own delays."""
    if cases.finding != "late":
        return None
    ledger = facts.ledger
    own = facts.delays.of_deliveries(cases.delivery)
    # Delays that a sound rig may have explain nothing.
    much = own >= LAG_SHARE * ledger.scenario.update_target
    rows = np.flatnonzero(much & (ledger.visible[cases.delivery] - own <= ledger.deadline[cases.message]))
    if not len(rows):
        return None
    worst = int(np.argmax(own[rows]))
    middle, most = human(float(np.median(own[rows]))), human(float(own[rows].max()))
    evidence = f"its own delays, {middle} in the middle and {most} at most"
    return Claim("rig", rows, evidence=(evidence,), best=worst)


def away(facts: Facts, cases: Cases) -> Claim | None:
    """Accepted while its dashboard was disconnected, and on target without the time that this went on."""
    if cases.finding != "late":
        return None
    ledger, subscriptions = facts.ledger, facts.subscriptions
    moments = moments_of(ledger, cases)
    # What it missed may be sent again before its subscription is confirmed.
    back = subscriptions.until(cases.dashboard, moments.visible + _CONFIRMED)
    back -= (back >= 0) & (np.append(subscriptions.opening, np.inf)[back] > moments.visible)
    started = np.minimum(np.append(subscriptions.start, np.nan)[back], moments.visible)
    before = (back > 0) & (np.append(subscriptions.dashboard, -1)[np.maximum(back - 1, 0)] == cases.dashboard)
    ended = np.where(before, np.append(subscriptions.end, np.nan)[np.maximum(back - 1, 0)], np.nan)
    missed = (started > moments.sent) & (ended < moments.visible)
    gone = started - np.maximum(ended, moments.intended)
    rows = np.flatnonzero(missed & (moments.visible - gone <= ledger.deadline[cases.message]))
    if not len(rows):
        return None
    first = rows[0]
    witness = (
        f"its dashboard's connection ended at {facts.seconds(ended[first])}, and the next one was subscribed at "
        f"{facts.seconds(started[first])}"
    )
    evidence = f"away for {human(float(np.median(gone[rows])))} in the middle"
    return Claim(
        "away", rows, words={"dashboards": dashboards(cases.dashboard[rows])}, evidence=(evidence,), witness=witness
    )


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


def asked_late(facts: Facts, cases: Cases) -> Claim | None:
    """Most of it passed before the dashboard asked for the list, and it was not waiting for another one."""
    return None if facts.ledger.by_frames else slow_stage("asked_late", facts, cases)


def slow_stage(cause: str, facts: Facts, cases: Cases) -> Claim | None:
    """The stage takes at least half of the time by which these deliveries are slower than others."""
    if cases.finding != "late":
        return None
    usual = _usual(facts)
    stages = stages_of(facts, cases)
    more = stages[cause] - usual[cause]
    whole = sum(stages.values()) - sum(usual.values())
    most = np.max([taken - usual[name] for name, taken in stages.items()], axis=0)
    rows = np.flatnonzero((more >= _HALF * whole) & (more >= most) & (more > 0))
    if not len(rows):
        return None
    took = stages[cause][rows]
    shown = human(float(np.median(took)))
    evidence = f"{shown} in the middle, at most {human(float(took.max()))}; usually {human(float(usual[cause]))}"
    return Claim(cause, rows, words={"stage": shown}, evidence=(evidence,), best=int(np.argmax(took)))


def slow_accept(facts: Facts, cases: Cases) -> Claim | None:
    """Most of the delay passed before the response."""
    return slow_stage("slow_accept", facts, cases)


def slow_notify(facts: Facts, cases: Cases) -> Claim | None:
    """Most of it passed between the response and the frame."""
    return slow_stage("slow_notify", facts, cases)


def slow_list(facts: Facts, cases: Cases) -> Claim | None:
    """Most of it passed between the frame and the list that shows the message."""
    return None if facts.ledger.by_frames else slow_stage("slow_list", facts, cases)


def _usual(facts: Facts) -> dict[str, float]:
    """The median of each stage over deliveries that were on target; 0 if hardly any were."""
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
