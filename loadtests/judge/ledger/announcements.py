"""Matches frames to the messages they announce: by id where frames carry ids, otherwise by counting.

A frame is due on a connection that was subscribed from before the send until 2 s after the response to it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chatswarm.loadtests.history.tables import SendOutcome

from .arrays import Bools, Floats, Ints, Small, ints, starts_of
from .messages import Copies, Explanation, SentMessages
from .observations import Observations

GRACE = 2.0
"""A frame may arrive up to this many seconds after the response to its send."""

SILENCE = 3.0
"""A subscribed connection is silent if no frame arrives for this many seconds while at least SILENT_FRAMES are due."""
SILENT_FRAMES = 5


@dataclass(frozen=True, slots=True)
class Silence:
    """A span in which frames were due on a connection and none arrived."""

    connection: int
    start: float
    end: float
    due: int


@dataclass(frozen=True, slots=True)
class Balance:
    """Frames: due = matched + missed, received = matched + extra. Each is counted independently."""

    due: int
    received: int
    matched: int
    missed: int
    extra: int


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
    """What the frames announced. Matrices are messages × dashboards."""

    exact: bool  # matched by id; otherwise by counting
    notified: Floats  # when; infinite: proven not to have arrived; NaN: not measured
    not_notified: int  # without ids: deliveries proven to have had no frame, without knowing which ones
    missed: Bools  # due on a connection that was not silent, and no frame arrived
    missed_by_count: list[MissedFrames]  # without ids: of visible messages only
    repeated: list[RepeatedFrames]
    unknown: list[AnnouncedId]  # announced in a chat of this run, but neither sent nor stored
    silences: list[Silence]
    balance: Balance


@dataclass(frozen=True, slots=True)
class Received:
    """The frames that announced a message to a dashboard of the scenario, by connection and then by time."""

    announcement: Small
    time: Floats
    edges: Ints  # where each connection's frames start, then the total

    def on(self, connection: int) -> slice:
        """The frames of one connection."""
        return slice(int(self.edges[connection]), int(self.edges[connection + 1]))


@dataclass(frozen=True, slots=True)
class Due:
    """The connections on which frames were due, and the messages they were due for."""

    connections: Ints  # those that ever subscribed, ascending
    dashboard: Ints  # per connection
    start: Floats
    end: Floats  # no frame is due after this; -infinite where the history was cut
    until: Floats  # no frame can arrive after this
    messages: Ints  # the stored messages whose send got a response

    def rows(self, number: int, messages: SentMessages, grace: float = GRACE) -> Ints:
        """The messages due on `connections[number]`."""
        sent, done = messages.sent[self.messages], messages.done[self.messages]
        return ints(self.messages[(sent > self.start[number]) & (done + grace <= self.end[number])])


def received_of(observations: Observations, dashboards: int, chats: Bools) -> Received:
    """The frames about the chats marked in `chats`."""
    frames, connections = observations.frames, observations.connections
    relevant = frames.from_customer & (frames.chat >= 0) & np.append(chats, False)[frames.chat]
    on = (connections.dashboard >= 0) & (connections.dashboard < dashboards)
    kept = relevant[frames.announcement] & on[frames.connection]
    connection, announcement, time = frames.connection, frames.announcement, frames.time
    if not kept.all():
        connection, announcement, time = connection[kept], announcement[kept], time[kept]
    # 16-bit integers sort much faster.
    count = len(connections.dashboard)
    order = np.argsort(connection.astype(np.uint16) if count < 1 << 16 else connection, kind="stable")
    edges = ints(np.concatenate([[0], np.cumsum(np.bincount(connection, minlength=count))]))
    announcement, time = announcement[order], time[order]
    # Each process records its frames in order of arrival, so a second sort is rarely needed.
    backwards = np.flatnonzero(np.diff(time) < 0) + 1
    if len(np.setdiff1d(backwards, edges)):
        order = np.lexsort((time, np.repeat(np.arange(count), np.diff(edges))))
        announcement, time = announcement[order], time[order]
    return Received(announcement, time, edges)


def due_of(observations: Observations, dashboards: int, messages: SentMessages, copies: Copies) -> Due:
    """The connections that ever subscribed, and each stored message once."""
    connections = observations.connections
    subscribed = np.flatnonzero(
        ~np.isnan(connections.subscribed) & (connections.dashboard >= 0) & (connections.dashboard < dashboards)
    )
    stored = np.flatnonzero((copies.of_message >= 0) & ~np.isnan(messages.done))
    whole = observations.whole[connections.process[subscribed]]
    return Due(
        connections=subscribed,
        dashboard=connections.dashboard[subscribed],
        start=connections.subscribed[subscribed],
        end=np.where(whole, connections.ended[subscribed], -np.inf),
        until=np.where(whole, connections.ended[subscribed], np.inf),
        messages=stored[np.argsort(messages.sent[stored], kind="stable")],
    )


def ids_of(observations: Observations, messages: SentMessages, copies: Copies, received: Received) -> Ints | None:
    """Per announcement: its message, or -1. None if announcements carry no ids, or the ids are not unique."""
    announced = observations.frames.message_id
    used = np.bincount(received.announcement, minlength=len(announced)) > 0
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


def silences_of(due: Due, messages: SentMessages, received: Received) -> list[Silence]:
    """Spans of at least 3 s in which no frame arrived on a subscribed connection and at least 5 were due."""
    silences: list[Silence] = []
    done = np.sort(messages.done[due.messages])
    for number, connection in enumerate(due.connections.tolist()):
        start, end = due.start[number], due.end[number]
        if end < start:
            continue
        moments = np.concatenate([[start], received.time[received.on(connection)], [end]])
        for gap in np.flatnonzero(np.diff(moments) >= SILENCE).tolist():
            quiet_from, quiet_until = moments[gap], moments[gap + 1]
            # A frame is due between the response and the end of the grace. The span starts with the first response.
            first = np.searchsorted(done, quiet_from, side="right")
            count = int(np.searchsorted(done, quiet_until - GRACE, side="right") - first)
            if count >= SILENT_FRAMES and quiet_until - done[first] >= SILENCE:
                rows = due.messages[
                    (messages.sent[due.messages] > quiet_from) & (messages.done[due.messages] <= quiet_until - GRACE)
                ]
                if len(rows) >= SILENT_FRAMES and quiet_until - messages.done[rows].min() >= SILENCE:
                    silences.append(Silence(connection, float(quiet_from), float(quiet_until), len(rows)))
    return silences


@dataclass(frozen=True, slots=True)
class _FrameData:
    """Everything that both ways of matching frames to messages need."""

    observations: Observations
    messages: SentMessages
    copies: Copies
    received: Received
    due: Due
    silences: list[Silence]


def announcements_of(
    observations: Observations,
    messages: SentMessages,
    copies: Copies,
    *,
    own_chats: Bools,
    expected: Bools,
    visible: Floats,
) -> Announcements:
    """What the frames announced, matched by id where frames carry ids."""
    received = received_of(observations, expected.shape[1], own_chats)
    due = due_of(observations, expected.shape[1], messages, copies)
    data = _FrameData(observations, messages, copies, received, due, silences_of(due, messages, received))
    owners = ids_of(observations, messages, copies, received)
    if owners is not None:
        return _by_id(data, owners, expected.shape)
    return _by_count(data, expected, visible)


def _silent_rows(silences: list[Silence], connection: int, rows: Ints, messages: SentMessages) -> Bools:
    """Which messages fall into a silent span of the connection, which explains their missing frames."""
    out = np.zeros(len(rows), bool)
    for silence in silences:
        if silence.connection == connection:
            out |= (messages.done[rows] + GRACE > silence.start) & (messages.sent[rows] <= silence.end)
    return out


def _by_id(data: _FrameData, owners: Ints, shape: tuple[int, int]) -> Announcements:
    observations, messages, received, due = data.observations, data.messages, data.received, data.due
    dashboards = observations.connections.dashboard
    due_number = np.full(len(dashboards), -1, np.int64)
    due_number[due.connections] = np.arange(len(due.connections))
    notified, missed = np.full(shape, np.inf), np.zeros(shape, bool)
    repeated: list[RepeatedFrames] = []
    matched = unmatched = due_count = missing = matched_due = 0
    busy = np.diff(received.edges) > 0
    busy[due.connections] = True
    for connection in np.flatnonzero(busy).tolist():
        here = received.on(connection)
        message, time = owners[received.announcement[here]], received.time[here]
        if (message < 0).any():
            unmatched += int((message < 0).sum())
            message, time = message[message >= 0], time[message >= 0]
        first = np.full(shape[0], np.inf)
        first[message[::-1]] = time[::-1]  # backwards, so that the earliest frame wins
        arrived = np.isfinite(first)
        arrived_count = int(arrived.sum())
        matched += arrived_count
        if arrived_count < len(message):
            count = np.bincount(message, minlength=shape[0])
            repeated += [
                RepeatedFrames(row, connection, int(count[row]) - 1) for row in np.flatnonzero(count > 1).tolist()
            ]
        dashboard = dashboards[connection]
        notified[:, dashboard] = np.minimum(notified[:, dashboard], first)
        if due_number[connection] < 0:
            continue
        rows = due.rows(int(due_number[connection]), messages)
        absent = rows[~arrived[rows]]
        due_count += len(rows)
        missing += len(absent)
        matched_due += len(rows) - len(absent)
        if len(absent):
            missed[absent[~_silent_rows(data.silences, connection, absent, messages)], dashboard] = True
    balance = Balance(
        due=due_count + (matched - matched_due),  # frames that arrived without being due count as due too
        received=len(received.time),
        matched=matched,
        missed=missing,
        extra=unmatched + sum(frames.extra for frames in repeated),
    )
    return Announcements(
        exact=True,
        notified=notified,
        not_notified=0,
        missed=missed,
        missed_by_count=[],
        repeated=repeated,
        unknown=_unexplained(data, _unknown_ids(data, owners)),
        silences=data.silences,
        balance=balance,
    )


def _unknown_ids(data: _FrameData, owners: Ints) -> list[AnnouncedId]:
    """The announced ids that belong to no message."""
    frames = data.observations.frames
    used = np.bincount(data.received.announcement, minlength=len(owners)) > 0
    unknown = np.flatnonzero(used & (owners < 0)).tolist()
    return sorted({AnnouncedId(int(frames.chat[number]), int(frames.message_id[number])) for number in unknown})


def _unexplained(data: _FrameData, unknown: list[AnnouncedId]) -> list[AnnouncedId]:
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


@dataclass(frozen=True, slots=True)
class _FramesByChat:
    """The received frames, by connection and chat."""

    chats: int
    count: Ints  # connections × chats
    on_dashboard: Ints  # dashboards × chats
    edges: Ints  # where the frames of each (connection, chat) start in `time`
    time: Floats

    def times(self, connection: int, chat: int) -> Floats:
        """When the frames of this chat arrived on this connection, ascending."""
        at = connection * self.chats + chat
        return self.time[self.edges[at] : self.edges[at + 1]]


@dataclass(frozen=True, slots=True)
class _StoredByChat:
    """The messages stored in each chat, in the order in which they should be announced."""

    chat: Ints  # per message: where it is stored; -1: nowhere
    rows: Ints  # by chat and position
    edges: Ints  # where each chat's messages start in `rows`
    unexplained: Ints  # per chat: stored texts that no send explains; they may have been announced too

    def of(self, chat: int) -> Ints:
        return self.rows[self.edges[chat] : self.edges[chat + 1]]


def _by_count(data: _FrameData, expected: Bools, visible: Floats) -> Announcements:
    """Without ids: compares the number of frames with the number of stored messages, chat by chat."""
    messages, copies, due = data.messages, data.copies, data.due
    dashboards, chats = expected.shape[1], max(1, len(data.observations.chat_ids))
    frames = _frames_by_chat(data, dashboards, chats)
    stored = _stored_by_chat(copies, chats)
    notified = np.full(expected.shape, np.nan)
    # If no frame of its chat arrived, a message was certainly not notified.
    notified[frames.on_dashboard.T[messages.chat.clip(0)] == 0] = np.inf
    settled = np.zeros((dashboards, chats), bool)
    missed: list[MissedFrames] = []
    repeated: list[RepeatedFrames] = []
    balances = [_unsubscribed_frames(data, frames, dashboards)]
    for number, connection in enumerate(due.connections.tolist()):
        dashboard = int(due.dashboard[number])
        rows, received = due.rows(number, messages), frames.count[connection]
        due_count = np.bincount(stored.chat[rows], minlength=chats)
        possible = _possible(messages, stored.chat, float(due.until[number]), chats) + stored.unexplained
        extra, missing = np.maximum(0, received - possible), np.maximum(0, due_count - received)
        balances.append(_balance_of(received, extra, missing))
        repeated += [RepeatedFrames(-1, connection, int(extra[chat])) for chat in np.flatnonzero(extra).tolist()]
        heard = rows[~_silent_rows(data.silences, connection, rows, messages)]
        seen = np.bincount(stored.chat[heard[visible[heard, dashboard] < np.inf]], minlength=chats)
        missed += [
            MissedFrames(dashboard, chat, int(seen[chat] - received[chat]))
            for chat in np.flatnonzero(seen > received).tolist()
        ]
        agree = _match_one_to_one(received, due_count, frames.on_dashboard[dashboard], stored, copies)
        for chat in np.flatnonzero(agree).tolist():
            notified[stored.of(chat), dashboard] = frames.times(connection, chat)
            settled[dashboard, chat] = True
    return Announcements(
        exact=False,
        notified=notified,
        not_notified=_proven_missing(messages, expected, frames.on_dashboard, settled),
        missed=np.zeros(expected.shape, bool),
        missed_by_count=missed,
        repeated=repeated,
        unknown=[],
        silences=data.silences,
        balance=_sum_of(balances),
    )


def _frames_by_chat(data: _FrameData, dashboards: int, chats: int) -> _FramesByChat:
    received = data.received
    connections = data.observations.connections.dashboard
    chat = data.observations.frames.chat[received.announcement]
    group = np.repeat(np.arange(len(connections)), np.diff(received.edges)) * chats + chat
    count = np.bincount(group, minlength=len(connections) * chats)
    by_connection = ints(count.reshape(len(connections), chats))
    on_dashboard = np.zeros((dashboards, chats), np.int64)
    known = (connections >= 0) & (connections < dashboards)
    np.add.at(on_dashboard, connections[known], by_connection[known])
    edges = ints(np.concatenate([[0], np.cumsum(count)]))
    return _FramesByChat(chats, by_connection, on_dashboard, edges, received.time[np.argsort(group, kind="stable")])


def _stored_by_chat(copies: Copies, chats: int) -> _StoredByChat:
    chat, position = copies.locations()
    rows = np.flatnonzero(chat >= 0)
    rows = rows[np.lexsort((position[rows], chat[rows]))]
    unexplained = (copies.explanation == Explanation.PHANTOM) & (copies.message < 0)
    return _StoredByChat(
        chat, rows, starts_of(chat[rows], chats), ints(np.bincount(copies.chat[unexplained], minlength=chats))
    )


def _match_one_to_one(
    received: Ints, due_count: Ints, on_dashboard: Ints, stored: _StoredByChat, copies: Copies
) -> Bools:
    """Per chat: whether the frames on one connection are its stored messages, one for one and in order."""
    all_arrived = (received == due_count) & (received == np.diff(stored.edges)) & (received > 0)
    only_here = on_dashboard == received  # no other connection of that dashboard received any
    return np.asarray(all_arrived & only_here & (stored.unexplained == 0) & copies.read)


def _balance_of(received: Ints, extra: Ints, missing: Ints) -> Balance:
    matched, missed = int((received - extra).sum()), int(missing.sum())
    return Balance(
        due=matched + missed, received=int(received.sum()), matched=matched, missed=missed, extra=int(extra.sum())
    )


def _unsubscribed_frames(data: _FrameData, frames: _FramesByChat, dashboards: int) -> Balance:
    """Frames on connections that never subscribed. None were due there."""
    connections = data.observations.connections.dashboard
    unsubscribed = (connections >= 0) & (connections < dashboards)
    unsubscribed[data.due.connections] = False
    count = int(frames.count[unsubscribed].sum())
    return Balance(due=0, received=count, matched=0, missed=0, extra=count)


def _sum_of(balances: list[Balance]) -> Balance:
    return Balance(
        due=sum(balance.due for balance in balances),
        received=sum(balance.received for balance in balances),
        matched=sum(balance.matched for balance in balances),
        missed=sum(balance.missed for balance in balances),
        extra=sum(balance.extra for balance in balances),
    )


def _possible(messages: SentMessages, stored_chat: Ints, until: float, chats: int) -> Ints:
    """Per chat: how many messages could have been announced by `until`, each once."""
    begun = (messages.sent <= until) | np.isnan(messages.sent)
    own = messages.chat[begun & (messages.chat >= 0)]
    moved = stored_chat[begun & (stored_chat >= 0) & (stored_chat != messages.chat)]
    return ints(np.bincount(own, minlength=chats) + np.bincount(moved, minlength=chats))


def _proven_missing(messages: SentMessages, expected: Bools, on_dashboard: Ints, settled: Bools) -> int:
    """How many deliveries had no frame, because fewer frames arrived than there were messages to announce."""
    edges = starts_of(messages.chat, settled.shape[1])
    proven = 0
    for chat in np.flatnonzero(np.diff(edges)).tolist():
        due_count = expected[edges[chat] : edges[chat + 1]].sum(axis=0)
        received = on_dashboard[:, chat]
        # Where no frame arrived at all, `notified` is already infinite for each message.
        proven += int(np.maximum(0, due_count - received)[(received > 0) & ~settled[:, chat]].sum())
    return proven
