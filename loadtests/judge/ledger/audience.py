"""Who is to show each message: every dashboard, or the members of its room at the time."""

from dataclasses import dataclass

import numpy as np

from chatswarm.loadtests.history.manifest import Manifest
from chatswarm.loadtests.scenario.rooms import Memberships
from chatswarm.loadtests.scenario.scenario import Scenario

from .arrays import Bools, Floats, Ints
from .deliveries import EverMembers, PlannedDeliveries, to_everybody, to_members
from .messages import SentMessages
from .observations import Observations


@dataclass(frozen=True, slots=True)
class Audience:
    """The members of each room, and from when until when, in seconds after the start."""

    dashboards: int
    room: Ints  # per chat: its room; -1: none
    memberships: Memberships | None = None  # None: there are no rooms
    excludes_sender: bool = False  # a sender who is a dashboard is not sent its own messages
    limited: bool = False  # there are dashboards that may not see some rooms

    @property
    def everybody(self) -> bool:
        """There are no rooms: every dashboard is to show every message."""
        return self.memberships is None

    def rooms_of(self, chats: Ints) -> Ints:
        """The room of each chat; -1 if it has none."""
        return np.append(self.room, -1)[chats]


def audience_of(observations: Observations, manifest: Manifest, scenario: Scenario) -> Audience:
    """Who the members are, as the scenario's seed draws them."""
    dashboards, promises = scenario.dashboards, manifest.promises
    memberships = scenario.memberships_for(promises, manifest.seed)
    if memberships is None:
        return Audience(dashboards, observations.chat_room)
    return Audience(
        dashboards=dashboards,
        room=np.where(observations.chat_room < memberships.rooms, observations.chat_room, -1),
        memberships=memberships,
        excludes_sender=scenario.senders_are_members and not promises.echoes,
        # Who joins rooms must be sent those that it has joined only, whoever may join.
        limited=(promises.has_members or promises.joins_rooms)
        and (len(memberships) < memberships.rooms * dashboards or memberships.change),
    )


def deliveries_of(audience: Audience, messages: SentMessages) -> PlannedDeliveries:
    """One for each message and each dashboard that is ever a member of its room."""
    memberships = audience.memberships
    if memberships is None:
        return to_everybody(len(messages), audience.dashboards)
    members = EverMembers(audience.rooms_of(messages.chat), memberships.edges, memberships.dashboard)
    return to_members(members, audience.dashboards)


def planned_of(
    audience: Audience, deliveries: PlannedDeliveries, messages: SentMessages, scenario: Scenario, start: float
) -> Bools:
    """Per delivery: whether the dashboard must show the message if it is accepted.

    It must if the message was intended while the dashboard was planned to be online, and was a member of the room. A
    dashboard counts whether or not it connected, so a refused one does not shrink the denominator. A dashboard that is
    planned to stop before the end only counts for messages whose whole update target passes before its stop.
    """
    at = messages.intended - start
    planned = online(deliveries, at, scenario)
    memberships = audience.memberships
    if memberships is not None and memberships.change:
        planned &= memberships.must_show(deliveries.seat, deliveries.over(at), scenario.update_target)
    if audience.excludes_sender:
        planned &= deliveries.over(messages.widget) != deliveries.dashboard
    return planned


def online(deliveries: PlannedDeliveries, at: Floats, scenario: Scenario) -> Bools:
    """Per delivery: whether the scenario plans the dashboard to be online for the message, as far as its stages go."""
    kinds: dict[tuple[tuple[float, float], ...], int] = {}
    kind = np.zeros(scenario.dashboards, np.int64)
    for dashboard in range(scenario.dashboards):
        kind[dashboard] = kinds.setdefault(tuple(scenario.planned(dashboard)), len(kinds))
    due = np.zeros((len(kinds), len(at)), bool)
    for spans, number in kinds.items():
        for first, last in spans:
            inside = (at >= first) & (at < last)
            if last < scenario.duration - 1e-9:
                inside &= at + scenario.update_target <= last
            else:
                # The end of the measured part belongs to it.
                inside |= at >= last
            due[number] |= inside
    if len(kinds) == 1:
        return deliveries.over(due[0])
    if deliveries.rooms is None:
        return np.asarray(due[kind].T).ravel()
    return np.asarray(due[deliveries.at_home(kind), deliveries.message])
