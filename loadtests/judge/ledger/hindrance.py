"""Where the rig or its operator kept a dashboard from seeing: what was missed meanwhile says nothing of the target."""

from dataclasses import dataclass

import numpy as np

from chatswarm.loadtests.history.tables import Role, UserEvent

from .arrays import Bools, Floats, Ints
from .observations import Observations
from .visibility import Reads


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Per dashboard: one span of monotonic seconds around all that hindered it.

    It ends with the first read that worked again: what that read and those after it do not show is the target's doing.
    """

    since: Floats  # infinite: never hindered
    until: Floats  # infinite: no read worked after it; -infinite: never hindered

    @property
    def any(self) -> bool:
        return bool((self.since < np.inf).any())

    @property
    def for_good(self) -> Bools:
        """Which dashboards saw nothing any more."""
        return np.asarray(self.until == np.inf)

    def covers(self, intended: Floats, seen: Floats) -> Bools:
        """Messages × dashboards: which deliveries it may have held up. `seen`: when each was; infinite for never."""
        return np.asarray((intended[:, None] <= self.until) & (seen >= self.since))


def hindrance_of(evidence: Observations, dashboards: int, reads: Reads) -> Hindrance:
    """What negative statuses and an operator's hand did to each dashboard, and dashboards that nobody ever started."""
    since, last = np.full(dashboards, np.inf), np.full(dashboards, -np.inf)

    def hindered(dashboard: Ints, begun: Floats, over: Floats) -> None:
        known = (dashboard >= 0) & (dashboard < dashboards)
        np.minimum.at(since, dashboard[known], begun[known])
        np.maximum.at(last, dashboard[known], over[known])

    connections, refetches, users = evidence.connections, evidence.refetches, evidence.users
    failed = connections.rig_failed
    hindered(connections.dashboard[failed], connections.opening[failed], connections.ended[failed])
    failed = refetches.status < 0
    hindered(refetches.dashboard[failed], refetches.started[failed], refetches.done[failed])
    away = (users.role == Role.DASHBOARD) & (users.event == UserEvent.WITHDRAWN)
    hindered(users.number[away], users.time[away], np.full(int(away.sum()), np.inf))
    if evidence.complete:
        idle = unstarted(evidence, dashboards)
        since[idle], last[idle] = -np.inf, np.inf

    until = np.where(np.isinf(since) & (last == -np.inf), -np.inf, np.inf)
    for dashboard in np.flatnonzero((last > -np.inf) & (last < np.inf)).tolist():
        mine = slice(reads.first[dashboard], reads.first[dashboard + 1])
        done = reads.done[mine][reads.started[mine] >= last[dashboard]]
        if len(done):
            until[dashboard] = done.min()
    return Hindrance(since, until)


def unstarted(evidence: Observations, dashboards: int) -> Ints:
    """The dashboards of the scenario that never so much as tried to connect. Sure only of whole histories."""
    tried = np.zeros(dashboards, bool)
    dashboard = evidence.connections.dashboard
    tried[dashboard[(dashboard >= 0) & (dashboard < dashboards)]] = True
    return np.flatnonzero(~tried)
