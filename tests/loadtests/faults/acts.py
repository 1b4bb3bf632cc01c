"""Makes faults from a scenario's text, for tests to begin and heal by hand."""

from __future__ import annotations

import tomllib

from chatswarm.loadtests.faults.fault import Fault, FaultContext
from chatswarm.loadtests.faults.kinds import KINDS
from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.judge.ledger.faults import FaultSpan
from chatswarm.loadtests.scenario.fault_kinds import FaultPlan
from chatswarm.loadtests.scenario.scenario import parse


def plan(kind: str, text: str = "") -> FaultPlan:
    """The plan of a `[[fault]]`."""
    table = tomllib.loads(f'[[fault]]\nkind = "{kind}"\nat = 0\n{text}')
    (only,) = parse(table, "quick", "quick.toml").faults
    return only


def fault(context: FaultContext, kind: str, text: str = "", number: int = 0) -> Fault:
    """One occurrence of a fault, not begun yet."""
    made = plan(kind, text)
    return KINDS[kind](made, number, context)


def proven(evidence: Evidence) -> bool:
    """Whether the judge accepts this as evidence."""
    return FaultSpan("fault", "kind", 0, 1, dict(evidence)).proven
