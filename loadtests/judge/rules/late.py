"""Why deliveries were late: whose time it was."""

import numpy as np

from chatswarm.loadtests.judge.rig import LAG_SHARE
from chatswarm.loadtests.system.units import human

from .cases import Cases, moments_of
from .claims import Claim
from .facts import Facts
from .stages import explains, stages_of, usual_of
from .words import dashboards

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
    rows = np.flatnonzero(much & explains(facts, cases, own))
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
    subscriptions, moments = facts.subscriptions, moments_of(facts.ledger, cases)
    # What it missed may be sent again before its subscription is confirmed.
    back = subscriptions.until(cases.dashboard, moments.visible + _CONFIRMED)
    back -= (back >= 0) & (np.append(subscriptions.opening, np.inf)[back] > moments.visible)
    started = np.minimum(np.append(subscriptions.start, np.nan)[back], moments.visible)
    before = (back > 0) & (np.append(subscriptions.dashboard, -1)[np.maximum(back - 1, 0)] == cases.dashboard)
    ended = np.where(before, np.append(subscriptions.end, np.nan)[np.maximum(back - 1, 0)], np.nan)
    missed = (started > moments.sent) & (ended < moments.visible)
    gone = started - np.maximum(ended, moments.intended)
    rows = np.flatnonzero(missed & explains(facts, cases, gone))
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


def asked_late(facts: Facts, cases: Cases) -> Claim | None:
    """Most of it passed before the dashboard asked for the list, and it was not waiting for another one."""
    return None if facts.ledger.by_frames else slow_stage("asked_late", facts, cases)


def slow_stage(cause: str, facts: Facts, cases: Cases) -> Claim | None:
    """The stage takes at least half of the time by which these deliveries are slower than others."""
    if cases.finding != "late":
        return None
    usual = usual_of(facts)
    stages = stages_of(facts, cases)
    more = stages[cause] - usual[cause]
    whole = sum(stages.values()) - sum(usual.values())
    most = np.max([taken - usual[name] for name, taken in stages.items()], axis=0)
    rows = np.flatnonzero((more >= _HALF * whole) & (more >= most) & (more > 0))
    if not len(rows):
        return None
    took = stages[cause][rows]
    shown = human(float(np.median(took)))
    told = [f"{shown} in the middle, at most {human(float(took.max()))}"]
    told += [f"usually {human(float(usual[cause]))}"] if any(usual.values()) else []
    if cause == "slow_notify" and not facts.ledger.by_frames and not facts.ledger.announcements.exact:
        told.append("frames carry no ids here, so one that never came looks like a late one")
    return Claim(cause, rows, words={"stage": shown}, evidence=("; ".join(told),), best=int(np.argmax(took)))


def slow_accept(facts: Facts, cases: Cases) -> Claim | None:
    """Most of the delay passed before the response."""
    return slow_stage("slow_accept", facts, cases)


def slow_notify(facts: Facts, cases: Cases) -> Claim | None:
    """Most of it passed between the response and the frame."""
    return slow_stage("slow_notify", facts, cases)


def slow_list(facts: Facts, cases: Cases) -> Claim | None:
    """Most of it passed between the frame and the list that shows the message."""
    return None if facts.ledger.by_frames else slow_stage("slow_list", facts, cases)
