"""When the rig or its operator kept a dashboard from seeing messages: the target is not to blame for these."""

from dataclasses import dataclass

import numpy as np

from chatswarm.loadtests.history.tables import Role, UserEvent

from .arrays import Bools, Floats, Ints
from .deliveries import PlannedDeliveries
from .observations import Observations
from .visibility import Reads


@dataclass(frozen=True, slots=True)
class RigOutages:
    """Per dashboard: one span of monotonic seconds around all its outages.

    It ends with the first successful read: what that read and later ones do not show is the target's doing. Where texts
    come in frames, it ends with the next subscription.
    """

    since: Floats  # infinite: no outage
    until: Floats  # infinite: no read succeeded after it; -infinite: no outage

    @property
    def any(self) -> bool:
        return bool((self.since < np.inf).any())

    @property
    def permanent(self) -> Bools:
        """Which dashboards never recovered."""
        return np.asarray(self.until == np.inf)

    def covers(self, deliveries: PlannedDeliveries, intended: Floats, seen: Floats) -> Bools:
        """Which deliveries an outage may have delayed. `seen`: when each was, or infinite for never."""
        return deliveries.pairwise(np.greater_equal, self.until, intended) & np.asarray(
            seen >= deliveries.at_home(self.since)
        )


def rig_outages_of(observations: Observations, dashboards: int, reads: Reads, *, by_frames: bool) -> RigOutages:
    """From negative statuses, from users that an operator removed, and from dashboards that were never started.

    `by_frames`: texts come in frames, so that an outage ends once the dashboard is subscribed again.
    """
    since, last = np.full(dashboards, np.inf), np.full(dashboards, -np.inf)

    def outage(dashboard: Ints, starts: Floats, ends: Floats) -> None:
        known = (dashboard >= 0) & (dashboard < dashboards)
        np.minimum.at(since, dashboard[known], starts[known])
        np.maximum.at(last, dashboard[known], ends[known])

    connections, refetches, users = observations.connections, observations.refetches, observations.users
    failed = connections.rig_failed
    outage(connections.dashboard[failed], connections.opening[failed], connections.ended[failed])
    failed = refetches.status < 0
    outage(refetches.dashboard[failed], refetches.started[failed], refetches.done[failed])
    removed = (users.role == Role.DASHBOARD) & (users.event == UserEvent.WITHDRAWN)
    outage(users.number[removed], users.time[removed], np.full(int(removed.sum()), np.inf))
    if observations.complete:
        idle = never_started(observations, dashboards)
        since[idle], last[idle] = -np.inf, np.inf

    until = np.where(np.isinf(since) & (last == -np.inf), -np.inf, np.inf)
    for dashboard in np.flatnonzero((last > -np.inf) & (last < np.inf)).tolist():
        if by_frames:
            again = connections.subscribed[connections.dashboard == dashboard]
            done = again[again >= last[dashboard]]
        else:
            mine = slice(reads.first[dashboard], reads.first[dashboard + 1])
            done = reads.done[mine][reads.started[mine] >= last[dashboard]]
        if len(done):
            until[dashboard] = done.min()
    return RigOutages(since, until)


def never_started(observations: Observations, dashboards: int) -> Ints:
    """The dashboards of the scenario that never tried to connect. Only reliable if the histories are complete."""
    tried = np.zeros(dashboards, bool)
    dashboard = observations.connections.dashboard
    tried[dashboard[(dashboard >= 0) & (dashboard < dashboards)]] = True
    return np.flatnonzero(~tried)
