"""Matches frames to the messages they announce: by id where frames carry ids, otherwise by counting."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chatswarm.loadtests.history.tables import SendOutcome

from .arrays import Bools, Floats, Indexes, Ints, Small, blocks, ints, looked_up, present, ranges, small, starts_of
from .deliveries import PlannedDeliveries
from .due import GRACE, Due, Received, Silence, Turn
from .messages import Copies, SentMessages
from .observations import Observations


@dataclass(frozen=True, slots=True)
class Balance:
    """Frames: due = matched + missed, received = matched + extra. Each is counted independently. None: not counted."""

    received: int
    due: int | None = None
    matched: int | None = None
    missed: int | None = None
    extra: int | None = None


class MissedFrames(NamedTuple):
    """Frames that counting proves missing: at least `missing` of one chat on one dashboard."""

    dashboard: int
    chat: int
    missing: int


class RepeatedFrames(NamedTuple):
    """Frames received in excess on one connection. `message` is -1 where frames carry no ids."""

    message: int
    connection: int
    extra: int


class AnnouncedId(NamedTuple):
    """A message id as a frame announced it."""

    chat: int
    message_id: int


@dataclass(frozen=True, slots=True)
class Announcements:
    """What the frames announced."""

    exact: bool  # matched by id or by text; otherwise by counting
    notified: Floats  # per delivery: when; infinite: proven not to have arrived; NaN: not measured
    not_notified: int  # without ids: deliveries proven to have had no frame, without knowing which ones
    missed: Bools  # per delivery: due on a connection that was not silent, and no frame arrived
    missed_by_count: list[MissedFrames]  # without ids: of visible messages only
    repeated: list[RepeatedFrames]
    unknown: list[AnnouncedId]  # announced in a chat of this run, but neither sent nor stored
    silences: list[Silence]
    balance: Balance
    measures_missed: bool = True  # whether `missed` or `missed_by_count` holds anything


@dataclass(frozen=True, slots=True)
class FrameData:
    """Everything that both ways of matching frames to messages need."""

    observations: Observations
    messages: SentMessages
    copies: Copies
    received: Received
    due: Due
    silences: list[Silence]


def ids_of(observations: Observations, messages: SentMessages, copies: Copies, received: Received) -> Ints | None:
    """Per announcement: its message, or -1. None if announcements carry no ids, or the ids are not unique."""
    announced = observations.frames.message_id
    used = present(received.announcement, len(announced))
    if not used.any() or (announced[used] < 0).any():
        return None
    ids = np.concatenate([messages.message_id, copies.message_id])
    owners = np.concatenate([np.arange(len(messages)), copies.message])
    # The id from the response takes precedence; a stored copy supplies it for sends without a response.
    known = np.flatnonzero((ids >= 0) & (owners >= 0))
    ids, owners = ids[known], owners[known]
    unique, first = np.unique(ids, return_index=True)
    if (owners != owners[first][np.searchsorted(unique, ids)]).any():
        return None
    at = np.minimum(np.searchsorted(unique, announced), max(0, len(unique) - 1))
    out = np.full(len(announced), -1, np.int64)
    if len(unique):
        hit = unique[at] == announced
        out[hit] = owners[first[at[hit]]]
    return out


class Matched(NamedTuple):
    """The frames that announce a known message."""

    connection: Small
    message: Small
    delivery: Indexes  # -1: the dashboard is never in the message's audience
    time: Floats
    notified: Floats  # per delivery: the first of its frames, or infinite
    again: Ints  # the frames that may not be the only one of their delivery


def announced_by_id(data: FrameData, owners: Ints) -> Announcements:
    """What the frames announced. `owners`: per announcement, its message or -1."""
    matched = _matched(data, owners)
    repeated = repeated_of(matched, len(data.messages))
    pairs = len(matched.message) - sum(frames.extra for frames in repeated)
    missed, missing = missed_of(data, matched)
    return Announcements(
        exact=True,
        notified=matched.notified,
        not_notified=0,
        missed=missed,
        missed_by_count=[],
        repeated=repeated,
        unknown=_unexplained(data, _unknown_ids(data, owners)),
        silences=data.silences,
        balance=Balance(
            due=missing + pairs,  # frames that arrived without being due count as due too
            received=len(data.received.time),
            matched=pairs,
            missed=missing,
            extra=len(data.received.time) - pairs,
        ),
    )


def _matched(data: FrameData, owners: Ints) -> Matched:
    received, deliveries = data.received, data.due.deliveries
    connection, message, time = received.connection, looked_up(small(owners), received.announcement), received.time
    if (owners < 0).any():
        known = message >= 0
        connection, message, time = connection[known], message[known], time[known]
    delivery = deliveries.find(message, looked_up(small(data.observations.connections.dashboard), connection))
    return matched_of(deliveries, connection, message, delivery, time)


def matched_of(
    deliveries: PlannedDeliveries, connection: Small, message: Small, delivery: Indexes, time: Floats
) -> Matched:
    """Frames with their messages and deliveries, by connection and then by time."""
    # The last place stands for no delivery.
    first = np.full(len(deliveries) + 1, np.inf)
    for part in blocks(len(time)):
        first[delivery[part]] = time[part]
    again = ints([])
    if first[-1] < np.inf or np.count_nonzero(first < np.inf) < len(time):
        several = np.bincount(delivery + 1, minlength=len(deliveries) + 1) > 1
        several[0] = True
        again = np.flatnonzero(several[delivery + 1])
        first[delivery[again]] = np.inf
        np.minimum.at(first, delivery[again], time[again])
    return Matched(connection, message, delivery, time, first[:-1], again)


def repeated_of(matched: Matched, messages: int, dashboards: Ints | None = None) -> list[RepeatedFrames]:
    """The messages announced more than once on one connection, or with `dashboards` (of each connection), to one
    dashboard on any of its connections; then the last of these connections counts.
    """
    # Backwards, so that the first index of a pair is that of its last frame.
    connection = matched.connection[matched.again][::-1].astype(np.int64)
    group = connection if dashboards is None else dashboards[connection]
    pairs, last, counts = np.unique(
        group * messages + matched.message[matched.again][::-1], return_index=True, return_counts=True
    )
    several = counts > 1
    return [
        RepeatedFrames(pair % messages, where, count - 1)
        for pair, where, count in zip(
            pairs[several].tolist(), connection[last[several]].tolist(), counts[several].tolist(), strict=True
        )
    ]


def missed_of(data: FrameData, matched: Matched) -> tuple[Bools, int]:
    """Per delivery: whether a frame for it was missed and no silence explains it. And how many were missed in all."""
    due = data.due
    missed, missing = np.zeros(len(due.deliveries), bool), 0
    arrived = np.zeros(len(due.deliveries) + 1, bool)
    edges = starts_of(matched.connection, len(data.observations.connections.dashboard))
    silences: dict[int, list[Silence]] = {}
    for silence in data.silences:
        silences.setdefault(silence.connection, []).append(silence)
    for turn in due.turns():
        came = _came(due, matched, edges, turn)
        arrived[came] = True
        absent = turn.due & ~(arrived[:-1] if turn.chosen is None else arrived[turn.chosen])
        arrived[came] = False
        missing += int(absent.sum())
        at = np.flatnonzero(absent)
        at = at if turn.chosen is None else turn.chosen[at]
        quiet = [silence for connection in turn.connections.tolist() for silence in silences.get(connection, [])]
        missed[at if not quiet else at[~_explained(data, quiet)[at]]] = True
    return missed, missing


def _came(due: Due, matched: Matched, edges: Ints, turn: Turn) -> Indexes:
    """The deliveries that were announced on the very connections of this turn."""
    begin, count = edges[turn.connections], np.diff(edges)[turn.connections]
    if count.sum() == len(matched.delivery):
        frames: Ints | slice = slice(None)
    else:
        frames = ranges(begin, count)
    came, connection = matched.delivery[frames], matched.connection[frames]
    if due.joined is None:
        return came
    on = np.empty(len(came), bool)
    for part in blocks(len(came)):
        on[part] = turn.connection_of[due.seat_of(came[part])] == connection[part]
    on &= came >= 0
    return came if on.all() else came[on]


def _explained(data: FrameData, silences: list[Silence]) -> Bools:
    """Per delivery: whether it falls into one of these silent spans of its dashboard's connections."""
    due, deliveries = data.due, data.due.deliveries
    out = np.zeros(len(deliveries), bool)
    for silence in silences:
        mine = deliveries.on(int(data.observations.connections.dashboard[silence.connection]))
        rows = deliveries.message[mine]
        out[mine] |= (due.done[rows] + GRACE > silence.start) & (due.sent[rows] <= silence.end)
    return out


def _unknown_ids(data: FrameData, owners: Ints) -> list[AnnouncedId]:
    """The announced ids that belong to no message."""
    frames = data.observations.frames
    used = present(data.received.announcement, len(owners))
    unknown = np.flatnonzero(used & (owners < 0)).tolist()
    return sorted({AnnouncedId(int(frames.chat[number]), int(frames.message_id[number])) for number in unknown})


def _unexplained(data: FrameData, unknown: list[AnnouncedId]) -> list[AnnouncedId]:
    """The announced ids that no send can explain. A send of unknown outcome may be announced without being stored."""
    if not data.observations.complete:
        return []
    messages, copies = data.messages, data.copies
    stored = {
        AnnouncedId(int(chat), int(number))
        for chat, number in zip(copies.chat, copies.message_id, strict=True)
        if number >= 0
    }
    undecided = np.flatnonzero((messages.outcome == SendOutcome.UNKNOWN) & (copies.of_message < 0))
    without_id = np.flatnonzero(messages.accepted & (messages.message_id < 0) & (copies.of_message < 0))
    candidates: dict[int, int] = {}  # per chat: sends that may account for an unknown id
    for chat in messages.chat[np.concatenate([undecided, without_id])].tolist():
        candidates[chat] = candidates.get(chat, 0) + 1
    unexplained: list[AnnouncedId] = []
    for announced in unknown:
        if announced in stored or not copies.read[announced.chat]:
            continue
        if candidates.get(announced.chat, 0):
            candidates[announced.chat] -= 1
        else:
            unexplained.append(announced)
    return unexplained
