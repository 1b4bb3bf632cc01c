"""Whether a fault that was injected explains cases: never because it was active at the time alone."""

import math

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Bools, Floats, Ints
from chatswarm.loadtests.judge.ledger.faults import FaultSpan

from .cases import Cases, moments_of
from .claims import Certainty, Claim
from .facts import Facts
from .stages import explains
from .statistics import CHANCE, COVERAGE, LIFT, chance, lift

_MOST_OF = 0.5
"""Of what was under a fault that only may add delay, at least this share must have gone wrong."""
_LEAST = 5
_OTHERS = 20
_STOPS = frozenset({"pause", "timeout", "down", "kill", "terminate", "restart", "lock_store"})
"""Kinds under which nothing comes through. Of the others, `latency` says how much delay it adds; the rest only may."""
_UNSAFE = 1.0
"""Seconds after the response for which a message may be in memory only."""
_HOPS = 4
"""A message passes a network fault at most so often on its way: send, frame, refetch, list."""


def fault(facts: Facts, cases: Cases) -> Claim | None:
    """The first fault under which nearly all of the cases happened that were near any, and hardly any others.

    Late deliveries must be on target without the time that they spent under it.
    """
    if not len(cases) or (cases.message < 0).any():
        return None
    by_name: dict[str, list[FaultSpan]] = {}
    for span in facts.ledger.observations.faults:
        by_name.setdefault(span.name, []).append(span)
    found = [claim for name, spans in by_name.items() if (claim := _one(facts, cases, name, spans)) is not None]
    # Of several that cover nearly as many, the one under which nearly all went wrong.
    most = max((len(claim.rows) for claim, _ in found), default=0)
    nearly = [
        (claim.certainty == "proven", share, claim) for claim, share in found if len(claim.rows) >= COVERAGE * most
    ]
    return max(nearly, key=lambda each: each[:2])[2] if nearly else None


def _one(facts: Facts, cases: Cases, name: str, spans: list[FaultSpan]) -> tuple[Claim, float] | None:
    """The claim of one fault, and the share of what was under it that went wrong."""
    begin, end = spans_of(facts, cases)
    edges = [(span.start, _over(facts, span)) for span in spans]
    near = under(begin, end, edges)
    rows = np.flatnonzero(near)
    if len(rows) < _LEAST:
        return None
    if cases.finding == "late":
        held = np.minimum(_overlap(begin[rows], end[rows], edges), most_delay(facts, name))
        rows = rows[explains(facts, cases.only(rows), held)]
    exposed_begin, exposed_end = _everything(facts, cases)
    exposed = under(exposed_begin, exposed_end, edges)
    inside, others = int(exposed.sum()), int((~exposed).sum())
    outside = len(cases) - int(near.sum())
    bad = len(rows) + outside
    if len(rows) < _LEAST or others < _OTHERS or len(rows) < COVERAGE * near.sum():
        return None
    if spans[0].kind not in _STOPS and len(rows) < _MOST_OF * inside:
        return None
    if lift(len(rows), max(inside, len(rows)), bad, inside + others) < LIFT:
        return None
    odds = chance(len(rows), max(inside, len(rows)), bad, max(inside, len(rows)) + others) * len(spans)
    if odds > CHANCE:
        return None
    late = cases.finding == "late"
    certain = late and not outside and (spans[0].kind in _STOPS or math.isfinite(most_delay(facts, name)))
    certainty: Certainty = "proven" if certain else "probable"
    moments = ", ".join(f"{facts.seconds(start)} to {facts.seconds(stop)}" for start, stop in edges[:3])
    words = {
        "fault": name,
        "relation": "held up by" if late else "on their way while",
        "verb": ": on target without the time under it" if late else " was active",
    }
    told = f"{len(rows):,} of {inside:,} under it ({moments}), {outside:,} of {others:,} outside it"
    claim = Claim("fault", rows, certainty, words, (told, f"evidence of the fault: {_evidence(spans)}"))
    return claim, len(rows) / max(inside, 1)


def _evidence(spans: list[FaultSpan]) -> str:
    return ", ".join(f"{key} {value}" for key, value in spans[0].evidence.items() if value) or "none"


def _over(facts: Facts, span: FaultSpan) -> float:
    """When the chat was whole again after the fault, as far as that was measured."""
    for recovery in facts.recoveries:
        if recovery.name == span.name and abs(facts.ledger.start + recovery.start - span.start) < 1e-3:
            # A chat that was never whole again need not be so because of the fault.
            return span.stop + (recovery.whole_again or 0.0)
    return span.stop


def spans_of(facts: Facts, cases: Cases) -> tuple[Floats, Floats]:
    """From when until when each case was on its way; until its deadline if it never came."""
    messages = facts.ledger.messages
    if (cases.delivery < 0).any():
        # A response may come before the message is safe.
        after = _UNSAFE if cases.finding == "store_lost" else 0.0
        return messages.intended[cases.message], facts.ledger.answered[cases.message] + after
    moments = moments_of(facts.ledger, cases)
    return moments.intended, np.where(
        np.isfinite(moments.visible), moments.visible, facts.ledger.deadline[cases.message]
    )


def _everything(facts: Facts, cases: Cases) -> tuple[Floats, Floats]:
    """The same for all that might have been a case."""
    ledger = facts.ledger
    if (cases.delivery < 0).any():
        return ledger.messages.intended, ledger.answered + (_UNSAFE if cases.finding == "store_lost" else 0.0)
    exposed = np.flatnonzero(ledger.expected)
    message = ledger.deliveries.message[exposed]
    return ledger.messages.intended[message], np.minimum(ledger.visible[exposed], ledger.deadline[message])


def under(begin: Floats, end: Floats, edges: list[tuple[float, float]]) -> Bools:
    """Which of the spans overlap any of those in `edges`, both ends included."""
    overlaps = np.zeros(len(begin), bool)
    for start, stop in edges:
        overlaps |= (begin <= stop) & (end >= start)
    return overlaps


def _overlap(begin: Floats, end: Floats, edges: list[tuple[float, float]]) -> Floats:
    held = np.zeros(len(begin))
    for start, stop in edges:
        held += np.clip(np.minimum(end, stop) - np.maximum(begin, start), 0, None)
    return held


def most_delay(facts: Facts, name: str) -> float:
    """How much delay a fault can add to one delivery, at most; infinite if its parameters do not say."""
    plans = [plan for plan in facts.ledger.scenario.faults if plan.name == name]
    if not plans or any(plan.kind != "latency" for plan in plans):
        return math.inf
    return _HOPS * max(plan.number("latency") + plan.number("jitter") for plan in plans)


def holds_up(facts: Facts, begin: float, end: float) -> bool:
    """Whether any fault that was active in a span may have held up everything for half of it."""
    return any(
        (span.kind in _STOPS or math.isfinite(most_delay(facts, span.name)))
        and most_delay(facts, span.name) >= 0.5 * (end - begin)
        for span in facts.ledger.observations.faults
        if span.overlaps(begin, end)
    )


def during(facts: Facts, cases: Cases, rows: Ints) -> str:
    """A remark about the faults that were active, if that is so for all of the rows; empty if not."""
    if (cases.message[rows] < 0).any() or not len(rows):
        return ""
    mine = cases.only(rows)
    begin, end = spans_of(facts, mine)
    names = {span.name: span for span in facts.ledger.observations.faults}
    held = [
        name
        for name in names
        if under(begin, end, [(s.start, s.stop) for s in facts.ledger.observations.faults if s.name == name]).all()
    ]
    return f"all while {' and '.join(held)} was active, which need not be why" if held else ""
