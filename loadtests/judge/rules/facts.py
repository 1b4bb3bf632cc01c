"""What rules look up: each dashboard's refetches and subscriptions by time, and what became of each message."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from chatswarm.loadtests.history.tables import ConnectionEvent
from chatswarm.loadtests.judge.ledger.arrays import Bools, Floats, Indexes, Ints, ints, placed, starts_of
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.judge.rig import Delays
from chatswarm.loadtests.judge.verdict import Recovery


@dataclass(frozen=True, slots=True)
class RefetchTimes:
    """All refetches of the scenario's dashboards, failed ones included, by dashboard and then by when they began."""

    dashboard: Ints
    started: Floats
    done: Floats
    status: Ints
    version: Ints
    size: Ints
    showed: Bools
    first: Ints  # where each dashboard's start, then the total

    def since(self, dashboard: Indexes, moment: Floats) -> Ints:
        """Each dashboard's first refetch that began at the moment or later, or the place after its last one."""
        return placed(self.dashboard, self.started, dashboard, moment)

    def end(self, dashboard: Indexes) -> Ints:
        """The place after each dashboard's last refetch."""
        return self.first[ints(dashboard) + 1]


@dataclass(frozen=True, slots=True)
class SubscriptionTimes:
    """The dashboards' connections that were subscribed, by dashboard and then by when that was."""

    connection: Ints
    dashboard: Ints
    opening: Floats
    start: Floats
    end: Floats  # infinite: open to the end
    lost: Bools  # it was closed, other than by the swarm
    code: Ints
    first: Ints  # where each dashboard's start, then the total

    def until(self, dashboard: Indexes, moment: Floats) -> Ints:
        """Each dashboard's last subscription that began by the moment, or -1."""
        at = placed(self.dashboard, self.start, dashboard, moment, after=True) - 1
        return np.where((at >= 0) & (np.append(self.dashboard, -1)[at] == dashboard), at, -1)

    def after(self, dashboard: Indexes, moment: Floats) -> Ints:
        """Each dashboard's first subscription after the moment, or -1."""
        at = placed(self.dashboard, self.start, dashboard, moment, after=True)
        return np.where(np.append(self.dashboard, -1)[at] == dashboard, at, -1)


class Facts:
    """A run, for the rules. Everything is worked out when it is first asked for."""

    def __init__(self, ledger: Ledger, recoveries: Sequence[Recovery]) -> None:
        self.ledger = ledger
        self.recoveries = recoveries
        self.usual: dict[str, float] | None = None  # see `stages.usual_of`

    @cached_property
    def delays(self) -> Delays:
        """The load generator's own delays."""
        return Delays(self.ledger)

    @cached_property
    def refetches(self) -> RefetchTimes:
        table, dashboards = self.ledger.observations.refetches, self.ledger.deliveries.dashboards
        mine = np.flatnonzero((table.dashboard >= 0) & (table.dashboard < dashboards))
        mine = mine[np.lexsort((table.started[mine], table.dashboard[mine]))]
        return RefetchTimes(
            dashboard=table.dashboard[mine],
            started=table.started[mine],
            done=table.done[mine],
            status=table.status[mine],
            version=table.version[mine],
            size=table.size[mine],
            showed=table.showed[mine],
            first=starts_of(table.dashboard[mine], dashboards),
        )

    @cached_property
    def subscriptions(self) -> SubscriptionTimes:
        table, dashboards = self.ledger.observations.connections, self.ledger.deliveries.dashboards
        mine = np.flatnonzero((table.dashboard >= 0) & (table.dashboard < dashboards) & np.isfinite(table.subscribed))
        mine = mine[np.lexsort((table.subscribed[mine], table.dashboard[mine]))]
        lost = table.event[mine] == ConnectionEvent.CLOSED
        over = lost | (table.event[mine] == ConnectionEvent.STOPPED)
        return SubscriptionTimes(
            connection=mine,
            dashboard=table.dashboard[mine],
            opening=table.opening[mine],
            start=table.subscribed[mine],
            end=np.where(over, table.ended[mine], np.inf),
            lost=lost,
            code=table.code[mine],
            first=starts_of(table.dashboard[mine], dashboards),
        )

    @cached_property
    def stored(self) -> Bools:
        """Per message: the final read has it."""
        return np.asarray(self.ledger.copies.of_message >= 0)

    @cached_property
    def store_known(self) -> Bools:
        """Per message: the final read of its chat is complete."""
        return np.append(self.ledger.copies.read, False)[self.ledger.messages.chat]

    @cached_property
    def ever_shown(self) -> Bools:
        """Per message: some list or frame showed it to somebody."""
        shown = np.zeros(len(self.ledger.messages), bool)
        message = self.ledger.lists.text_message
        shown[message[message >= 0]] = True
        if self.ledger.sightings is not None:
            shown[self.ledger.sightings.known.message] = True
        return shown | self.ledger.deliveries.any(np.isfinite(self.ledger.visible))

    @cached_property
    def order(self) -> Ints:
        """The accepted messages in the order in which they were sent."""
        messages = self.ledger.messages
        rows = np.flatnonzero(messages.accepted)
        return rows[np.argsort(messages.sent[rows], kind="stable")]

    def seconds(self, time: float) -> str:
        """A moment in seconds after the start, for people."""
        return f"{time - self.ledger.start:.3f} s"
