"""The cases of a finding: what it counted, one row each, and what is known of each row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chatswarm.loadtests.judge.checks.check import CaseKind, CheckResult
from chatswarm.loadtests.judge.checks.frames import visible_without_frame
from chatswarm.loadtests.judge.ledger.arrays import Bools, Floats, Ints, ints
from chatswarm.loadtests.judge.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Cases:
    """One row per case, or fewer than were counted: what cannot be tied to a message has none. -1: none."""

    finding: str
    count: int  # as the finding counts them
    row: Ints  # among all cases of the finding
    message: Ints
    delivery: Ints
    dashboard: Ints
    kind: Sequence[CaseKind]  # per row: what the check itself saw of it; empty: all rows are alike

    def __len__(self) -> int:
        return len(self.message)

    def only(self, rows: Ints) -> "Cases":
        """These rows."""
        kind = [self.kind[row] for row in rows.tolist()] if len(self.kind) else []
        return Cases(
            self.finding,
            self.count,
            self.row[rows],
            self.message[rows],
            self.delivery[rows],
            self.dashboard[rows],
            kind,
        )


def cases_of(ledger: Ledger, name: str, result: CheckResult) -> Cases:
    """The cases of the finding `name`, and for findings about deliveries, which deliveries these are."""
    count = result.count or 0
    if (chosen := _deliveries(ledger, name)) is not None:
        found = ints(np.flatnonzero(chosen))
        message, dashboard = ints(ledger.deliveries.message[found]), ints(ledger.deliveries.dashboard[found])
        return Cases(name, count, np.arange(len(found)), message, found, dashboard, [])
    none = np.full(len(result.messages), -1, np.int64)
    dashboard = none if result.dashboards is None else result.dashboards
    return Cases(name, count, np.arange(len(none)), result.messages, none, dashboard, result.kinds)


def _deliveries(ledger: Ledger, name: str) -> Bools | None:
    if name == "lost":
        return ledger.lost
    if name == "late":
        return ledger.late
    if name == "unnotified" and ledger.announcements.exact:
        return visible_without_frame(ledger)
    return None


@dataclass(frozen=True, slots=True)
class Moments:
    """Per case about a delivery, in monotonic seconds; infinite for what never happened."""

    intended: Floats
    sent: Floats
    accepted: Floats
    notified: Floats  # NaN: not measured
    visible: Floats


def moments_of(ledger: Ledger, cases: Cases) -> Moments:
    """When each stage of each case was reached."""
    messages = ledger.messages
    return Moments(
        messages.intended[cases.message],
        messages.sent[cases.message],
        messages.done[cases.message],
        ledger.announcements.notified[cases.delivery],
        ledger.visible[cases.delivery],
    )
