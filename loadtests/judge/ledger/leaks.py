"""Texts of rooms that came to dashboards who were not members of them."""

from dataclasses import dataclass

import numpy as np

from chatswarm.loadtests.history.tables import MembershipEvent
from chatswarm.loadtests.scenario.rooms import UNSETTLED

from .arrays import Bools, Floats, Ints, blocks, joined
from .audience import Audience
from .deliveries import PlannedDeliveries
from .messages import SentMessages
from .observations import MembershipTable, Observations
from .sightings import Sightings

FAULTS = ("intruders", "strangers-in-rooms")
"""The kinds of faults whose evidence counts strangers that were let into rooms (`let_in`), or shown texts (`shown`)."""


@dataclass(frozen=True, slots=True)
class Leaks:
    """Each text that came to a dashboard who was no member of its chat, once, at the first time that it did."""

    message: Ints  # -1: none of this run
    dashboard: Ints
    chat: Ints
    time: Floats
    stranger: Bools  # the dashboard is never a member
    former: Bools  # its membership had ended; otherwise, it had not begun

    def __len__(self) -> int:
        return len(self.message)

    def why(self, number: int) -> str:
        """How it came about."""
        if self.stranger[number]:
            return "shown to a dashboard that is never a member of the room"
        return f"shown to a dashboard whose membership had {'ended' if self.former[number] else 'not begun'}"


@dataclass(frozen=True, slots=True)
class Spells:
    """From when until when each pair of a room and an ever member could rightly be shown texts; monotonic seconds."""

    start: Floats
    stop: Floats


def spells_of(audience: Audience, deliveries: PlannedDeliveries, observations: Observations, begin: float) -> Spells:
    """As planned, or for an end, as the target says. A membership whose end it refused, or did not answer, goes on."""
    memberships = audience.memberships
    assert memberships is not None
    start, planned, table = memberships.start + begin, memberships.stop + begin, observations.memberships
    stop = np.where(np.isfinite(planned), np.inf, planned)
    rows = changes(table, MembershipEvent.REMOVED)
    ended = _seats(table, rows, audience, deliveries)
    rows, ended = rows[ended >= 0], ended[ended >= 0]
    rows, ended = rows[np.isfinite(planned[ended])], ended[np.isfinite(planned[ended])]
    stop[ended] = np.maximum(table.time[rows], planned[ended])
    return Spells(start, stop)


def changes(table: MembershipTable, event: MembershipEvent) -> Ints:
    """The rows in which a membership was changed, or was to be, in the middle of the run."""
    return np.flatnonzero((table.event == event) & (table.connection < 0) & (table.chat >= 0))


def _seats(table: MembershipTable, rows: Ints, audience: Audience, deliveries: PlannedDeliveries) -> Ints:
    return deliveries.seats_of(audience.rooms_of(table.chat[rows]), table.dashboard[rows])


def leaks_of(
    sightings: Sightings, audience: Audience, deliveries: PlannedDeliveries, spells: Spells, messages: SentMessages,
    dashboards: Ints,
) -> Leaks:  # fmt: skip
    """Compares each sighting with its dashboard's membership in the room that the text belongs to, whatever room the
    target named; for texts that are no message of this run, in the room that it named. `dashboards`: per connection.
    """
    texts = sightings.texts
    own = audience.rooms_of(messages.chat)
    room = np.where(texts.message >= 0, np.append(own, -1)[texts.message], -1)
    room = np.where(room >= 0, room, audience.rooms_of(texts.chat))
    settled = np.append(spells.start - UNSETTLED, -np.inf), np.append(spells.stop + UNSETTLED, np.inf)

    def judged(some: slice | Ints) -> tuple[Bools, Bools, Bools]:
        """Which of these sightings are those of strangers, of former members, and of members to be."""
        announcement, dashboard = sightings.announcement[some], dashboards[sightings.connection[some]]
        seat = deliveries.seats_of(room[announcement], dashboard)
        intended = np.append(messages.intended, np.nan)[texts.message[announcement]]
        early = (seat >= 0) & (sightings.time[some] <= settled[0][seat])
        return (room[announcement] >= 0) & (seat < 0), (seat >= 0) & (intended >= settled[1][seat]), early

    wrong = joined(
        [
            np.flatnonzero(np.logical_or.reduce(judged(part))) + part.start
            for part in blocks(len(sightings.announcement))
        ]
    )
    wrong = wrong[np.argsort(sightings.time[wrong], kind="stable")]
    announcement, dashboard = sightings.announcement[wrong], dashboards[sightings.connection[wrong]]
    message = texts.message[announcement]
    # A text without an identity of this run is known by its announcement.
    text = np.where(message >= 0, message, len(messages) + announcement)
    size = len(observed_chats := np.unique(texts.chat)) + 1
    place = (text * size + np.searchsorted(observed_chats, texts.chat[announcement])) * deliveries.dashboards
    _, first = np.unique(place + dashboard, return_index=True)
    first.sort()
    stranger, former, _ = judged(wrong := wrong[first])
    return Leaks(
        message=message[first],
        dashboard=dashboard[first],
        chat=texts.chat[announcement[first]],
        time=sightings.time[wrong],
        stranger=stranger,
        former=former,
    )


def begun_of(audience: Audience, deliveries: PlannedDeliveries, observations: Observations) -> Floats | None:
    """Per pair of a room and an ever member: since when the target says that it is a member, in monotonic seconds.

    -infinite: from the beginning; infinite: it was to begin in the middle, and the target refused that or never
    answered. None: no membership was to begin in the middle.
    """
    memberships = audience.memberships
    if memberships is None or not np.isfinite(memberships.start).any():
        return None
    out = np.where(np.isfinite(memberships.start), np.inf, -np.inf)
    rows = changes(observations.memberships, MembershipEvent.ADDED)
    seat = _seats(observations.memberships, rows, audience, deliveries)
    rows, seat = rows[seat >= 0], seat[seat >= 0]
    np.minimum.at(out, seat, observations.memberships.time[rows])
    return out


def unanswered(audience: Audience, observations: Observations, seconds: float) -> int:
    """How many changes of memberships in the first `seconds` of the run the target never answered."""
    memberships = audience.memberships
    if memberships is None:
        return 0
    asked = (memberships.start >= 0) & (memberships.start < seconds)
    asked |= (memberships.stop >= 0) & (memberships.stop < seconds)
    table = observations.memberships
    rows = np.concatenate([changes(table, event) for event in (MembershipEvent.ADDED, MembershipEvent.REMOVED)])
    rows = np.concatenate([rows, changes(table, MembershipEvent.REFUSED)])
    answered = {*zip(audience.rooms_of(table.chat[rows]).tolist(), table.dashboard[rows].tolist(), strict=True)}
    pairs = zip(memberships.room[asked].tolist(), memberships.dashboard[asked].tolist(), strict=True)
    return sum(pair not in answered for pair in pairs)
