"""The cases of a finding: what it counted, one row each, and what is known of each row."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from chatswarm.loadtests.judge.checks.check import CaseKind, CheckResult
from chatswarm.loadtests.judge.checks.frames import visible_without_frame
from chatswarm.loadtests.judge.ledger.arrays import Bools, Floats, Ints, ints
from chatswarm.loadtests.judge.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Cases:
    """One row per case, or fewer than were counted: what cannot be tied to a message has none, and of more than MOST
    deliveries, only one in `step` is looked at, at random. -1: none.
    """

    finding: str
    count: int  # as the finding counts them
    step: int
    looked_at: int
    row: Ints  # among those that are looked at
    message: Ints
    delivery: Ints
    dashboard: Ints
    kind: Sequence[CaseKind]  # per row: what the check itself saw of it; empty: all rows are alike

    def __len__(self) -> int:
        return len(self.message)

    def only(self, rows: Ints) -> "Cases":
        """These rows."""
        kind = [self.kind[row] for row in rows.tolist()] if len(self.kind) else []
        return replace(
            self, row=self.row[rows], message=self.message[rows], delivery=self.delivery[rows],
            dashboard=self.dashboard[rows], kind=kind,
        )  # fmt: skip

    def counted(self, rows: int) -> int:
        """How many cases that many rows stand for."""
        return rows if self.step == 1 else round(rows / self.looked_at * self.count)


MOST = 400_000
"""Of more deliveries than these, a part is looked at: a run that lost everything is explained by any part of it."""


def cases_of(ledger: Ledger, name: str, result: CheckResult) -> Cases:
    """The cases of the finding `name`, and for findings about deliveries, which deliveries these are."""
    count = result.count or 0
    if (chosen := _deliveries(ledger, name)) is not None:
        found = np.flatnonzero(chosen)
        step = max(1, -(-len(found) // MOST))
        some = ints(found if step == 1 else np.sort(np.random.default_rng(1).choice(found, len(found) // step, False)))
        message, dashboard = ints(ledger.deliveries.message[some]), ints(ledger.deliveries.dashboard[some])
        return Cases(name, count, step, len(some), np.arange(len(some)), message, some, dashboard, [])
    none = np.full(len(result.messages), -1, np.int64)
    dashboard = none if result.dashboards is None else result.dashboards
    return Cases(name, count, 1, len(none), np.arange(len(none)), result.messages, none, dashboard, result.kinds)


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
