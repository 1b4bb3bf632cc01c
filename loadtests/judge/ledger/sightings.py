"""Texts that came to dashboards in frames, in replays or in reads after connecting, tied to messages by their identity.

Damaged texts, and those in another chat than their own, count as shown, as they do in lists.
"""

from dataclasses import dataclass

import numpy as np

from chatswarm.loadtests.history.tables import Sighting
from chatswarm.loadtests.messages.identity import Condition

from .announcements import Announcements, Balance, FrameData, Matched, matched_of, missed_of, repeated_of
from .arrays import Bools, Floats, Ints, Small, key_of, looked_up, present, small
from .deliveries import PlannedDeliveries
from .due import Received
from .messages import SentMessages, home_chats
from .observations import Observations


@dataclass(frozen=True, slots=True)
class AnnouncedTexts:
    """Per announcement of the run: its text's identity, and whether any dashboard received it."""

    key: Ints  # -1: none of this run
    message: Ints
    chat: Ints
    process: Ints
    condition: Ints
    how: Ints  # Sighting
    received: Bools
    elsewhere: Bools  # intact, but not in the chat where it belongs

    @property
    def right(self) -> Bools:
        """Intact texts of known messages in the chats where they belong."""
        return np.asarray((self.message >= 0) & (self.condition == Condition.INTACT) & ~self.elsewhere)


@dataclass(frozen=True, slots=True)
class Sightings:
    """Each time that a text came to a dashboard, by connection and then by time."""

    texts: AnnouncedTexts
    announcement: Small
    connection: Small
    time: Floats
    known: Matched  # the sightings of known messages
    known_announcement: Small  # of these

    @property
    def first(self) -> Floats:
        """Per delivery: when its message first came; infinite: never."""
        return self.known.notified

    def of(self, announcements: Bools, deliveries: PlannedDeliveries) -> Matched:
        """The sightings of known messages by these announcements."""
        if announcements[self.texts.received].all():
            return self.known
        known, chosen = self.known, looked_up(announcements, self.known_announcement)
        return matched_of(
            deliveries, known.connection[chosen], known.message[chosen], known.delivery[chosen], known.time[chosen]
        )


def texts_of(observations: Observations, messages: SentMessages, received: Received) -> AnnouncedTexts:
    """Whom each announcement belongs to."""
    frames = observations.frames
    key = key_of(frames.widget, frames.n)
    message = messages.find(key)
    home = home_chats(observations, messages, key, message)
    return AnnouncedTexts(
        key=key,
        message=message,
        chat=frames.chat,
        process=frames.process,
        condition=frames.condition,
        how=frames.how,
        received=present(received.announcement, len(key)),
        elsewhere=np.asarray((frames.condition == Condition.INTACT) & (home >= 0) & (home != frames.chat)),
    )


def sightings_of(
    observations: Observations, messages: SentMessages, received: Received, deliveries: PlannedDeliveries
) -> Sightings:
    """Ties what came to the messages and deliveries."""
    texts = texts_of(observations, messages, received)
    connection, announcement, time = received.connection, received.announcement, received.time
    known = texts.message >= 0
    mine: Bools | slice = slice(None) if known[texts.received].all() else known[announcement]
    message = looked_up(small(texts.message), announcement[mine])
    delivery = deliveries.find(message, looked_up(small(observations.connections.dashboard), connection[mine]))
    matched = matched_of(deliveries, connection[mine], message, delivery, time[mine])
    return Sightings(texts, announcement, connection, time, matched, announcement[mine])


def announced_by_text(data: FrameData, sightings: Sightings, *, replays_once: bool) -> Announcements:
    """What the frames announced. What a dashboard read after connecting is no frame, and only what is live notifies.

    A message is repeated if it came twice on one connection, intact and where it belongs. If the target promises that
    it `replays_once`, what it replays counts as well, and so do two connections of one dashboard.
    """
    texts, deliveries = sightings.texts, data.due.deliveries
    in_frames = sightings.of(texts.how != Sighting.READ, deliveries)
    live = sightings.of(texts.how == Sighting.LIVE, deliveries)
    again = sightings.of(
        texts.right & (texts.how <= (Sighting.REPLAYED if replays_once else Sighting.LIVE)), deliveries
    )
    pairs = len(in_frames.message) - sum(frames.extra for frames in repeated_of(in_frames, len(data.messages)))
    _, missing = missed_of(data, in_frames)
    received = int((texts.how != Sighting.READ)[sightings.announcement].sum())
    return Announcements(
        exact=True,
        measures_missed=False,
        notified=live.notified,
        not_notified=0,
        missed=np.zeros(len(deliveries), bool),
        missed_by_count=[],
        repeated=repeated_of(
            again, len(data.messages), data.observations.connections.dashboard if replays_once else None
        ),
        unknown=[],
        silences=data.silences,
        balance=Balance(due=missing + pairs, received=received, matched=pairs, missed=missing, extra=received - pairs),
    )
