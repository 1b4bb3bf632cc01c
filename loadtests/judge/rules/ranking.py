"""What sets unexplained cases apart: the attributes at which they are concentrated, the strongest first."""

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Ints

from .cases import Cases
from .facts import Facts
from .patterns import CHAT, CONNECTED_TO, DASHBOARD, TAKEN_BY, WIDGET, CaseAttribute, concentration
from .words import many

_MOST = 8
_CHANCE = 0.01


def _second(facts: Facts) -> Ints:
    """The second of the run in which each message was intended."""
    return ((facts.ledger.messages.intended - facts.ledger.start) // 1).astype(np.int64).clip(0)


def _nth_of_sender(facts: Facts) -> Ints:
    return facts.ledger.messages.n


ATTRIBUTES = (
    DASHBOARD,
    CHAT,
    WIDGET,
    TAKEN_BY,
    CONNECTED_TO,
    CaseAttribute("second", of_message=_second, told=lambda _, value: f"intended from {value} s to {value + 1} s"),
    CaseAttribute("number", of_message=_nth_of_sender, told=lambda _, value: f"message number {value} of their sender"),
)


def ranking_of(facts: Facts, cases: Cases) -> list[str]:
    """In which values of which attributes the cases are more frequent than chance would have it. Empty: in none."""
    known = cases.only(np.flatnonzero(cases.message >= 0))
    if not len(known):
        return []
    about_dashboards = bool((known.dashboard >= 0).all() and (known.delivery >= 0).all())
    found = []
    for attribute in ATTRIBUTES:
        if attribute.of_message is None and not about_dashboards:
            continue
        if (most := concentration(attribute.of(facts, known), attribute.of_everything(facts, known))) is None:
            continue
        if most.chance <= _CHANCE and most.bad > 1:
            share = f"{most.bad:,} of {many(len(known), 'case')}, {most.bad / most.all:.1%} of {most.all:,} there"
            times = "none elsewhere" if most.lift == float("inf") else f"{most.lift:.1f} × as often as elsewhere"
            found.append((most.chance, f"{attribute.told(facts, most.value)}: {share}, {times}"))
    return [text for _, text in sorted(found)[:_MOST]]
