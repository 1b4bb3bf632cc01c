"""Matches frames without ids to messages: compares their number, chat by chat."""

from dataclasses import dataclass

import numpy as np

from .announcements import Announcements, Balance, FrameData, MissedFrames, RepeatedFrames
from .arrays import Bools, Floats, Ints, grouped, ints, kind_below, looked_up, starts_of
from .due import GRACE, Silence
from .messages import Copies, Explanation, SentMessages


@dataclass(frozen=True, slots=True)
class _FramesByChat:
    """The received frames, by connection and chat."""

    chats: int
    count: Ints  # connections × chats
    on_dashboard: Ints  # dashboards × chats
    edges: Ints  # where the frames of each (connection, chat) start in `time`
    time: Floats

    def times(self, connection: int, chats: Bools) -> Floats:
        """When the frames of these chats arrived on this connection, by chat and ascending."""
        begin = connection * self.chats
        mine = self.time[self.edges[begin] : self.edges[begin + self.chats]]
        return mine[np.repeat(chats, self.count[connection])]


@dataclass(frozen=True, slots=True)
class _StoredByChat:
    """The messages stored in each chat, in the order in which they should be announced."""

    chat: Ints  # per message: where it is stored; -1: nowhere
    rows: Ints  # by chat and position
    edges: Ints  # where each chat's messages start in `rows`
    unexplained: Ints  # per chat: stored texts that no send explains; they may have been announced too

    def of(self, chats: Bools) -> Ints:
        return self.rows[np.repeat(chats, np.diff(self.edges))]


def announced_by_count(data: FrameData, expected: Bools, visible: Floats) -> Announcements:
    """What the frames announced. Only where the audience is everybody: elsewhere, nothing is counted."""
    deliveries = data.due.deliveries
    if deliveries.rooms is not None:
        return _uncounted(data)
    shape = (deliveries.messages, deliveries.dashboards)
    return _by_count(data, expected.reshape(shape), visible.reshape(shape))


def _uncounted(data: FrameData) -> Announcements:
    count = len(data.due.deliveries)
    return Announcements(
        exact=False,
        notified=np.full(count, np.nan),
        not_notified=0,
        missed=np.zeros(count, bool),
        missed_by_count=[],
        measures_missed=False,
        repeated=[],
        unknown=[],
        silences=data.silences,
        balance=Balance(received=len(data.received.time)),
    )


def _silent_rows(silences: list[Silence], connection: int, rows: Ints, messages: SentMessages) -> Bools:
    """Which messages fall into a silent span of the connection, which explains their missing frames."""
    out = np.zeros(len(rows), bool)
    for silence in silences:
        if silence.connection == connection:
            out |= (messages.done[rows] + GRACE > silence.start) & (messages.sent[rows] <= silence.end)
    return out


def _by_count(data: FrameData, expected: Bools, visible: Floats) -> Announcements:
    """Compares the number of frames with that of stored messages. `expected`, `visible`: messages × dashboards."""
    messages, copies, due = data.messages, data.copies, data.due
    dashboards, chats = expected.shape[1], max(1, len(data.observations.chat_ids))
    frames = _frames_by_chat(data, dashboards, chats)
    stored = _stored_by_chat(copies, chats)
    notified = np.full(expected.shape, np.nan)
    # If no frame of its chat arrived, a message was certainly not notified.
    notified[frames.on_dashboard.T[messages.chat.clip(0)] == 0] = np.inf
    settled = np.zeros((dashboards, chats), bool)
    shown = np.ascontiguousarray((visible < np.inf).T)
    missed: list[MissedFrames] = []
    repeated: list[RepeatedFrames] = []
    balances = [_unsubscribed_frames(data, frames, dashboards)]
    for number, connection in enumerate(due.connections.tolist()):
        dashboard = int(due.dashboard[number])
        rows, received = due.rows(number), frames.count[connection]
        due_count = np.bincount(stored.chat[rows], minlength=chats)
        possible = _possible(messages, stored.chat, float(due.until[number]), chats) + stored.unexplained
        extra, missing = np.maximum(0, received - possible), np.maximum(0, due_count - received)
        balances.append(_balance_of(received, extra, missing))
        # Of an incomplete swarm, frames may announce sends that are missing here.
        if data.observations.complete:
            repeated += [RepeatedFrames(-1, connection, int(extra[chat])) for chat in np.flatnonzero(extra).tolist()]
        heard = rows[~_silent_rows(data.silences, connection, rows, messages)]
        seen = np.bincount(stored.chat[heard[shown[dashboard, heard]]], minlength=chats)
        missed += [
            MissedFrames(dashboard, chat, int(seen[chat] - received[chat]))
            for chat in np.flatnonzero(seen > received).tolist()
        ]
        agree = _match_one_to_one(received, due_count, frames.on_dashboard[dashboard], stored, copies)
        notified[stored.of(agree), dashboard] = frames.times(connection, agree)
        settled[dashboard, np.flatnonzero(agree)] = True  # `agree` is empty where there was no chat at all
    return Announcements(
        exact=False,
        notified=notified.ravel(),
        not_notified=_proven_missing(messages, expected, frames.on_dashboard, settled),
        missed=np.zeros(expected.size, bool),
        missed_by_count=missed,
        repeated=repeated,
        unknown=[],
        silences=data.silences,
        balance=_sum_of(balances),
    )


def _frames_by_chat(data: FrameData, dashboards: int, chats: int) -> _FramesByChat:
    received = data.received
    connections = data.observations.connections.dashboard
    groups = len(connections) * chats
    group = looked_up(data.observations.frames.chat.astype(kind_below(groups)), received.announcement)
    group += np.repeat(np.arange(len(connections), dtype=group.dtype) * chats, np.diff(received.edges))
    order, edges = grouped(group, groups)
    by_connection = np.diff(edges).reshape(len(connections), chats)
    on_dashboard = np.zeros((dashboards, chats), np.int64)
    known = (connections >= 0) & (connections < dashboards)
    np.add.at(on_dashboard, connections[known], by_connection[known])
    return _FramesByChat(chats, by_connection, on_dashboard, edges, looked_up(received.time, order))


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


def _unsubscribed_frames(data: FrameData, frames: _FramesByChat, dashboards: int) -> Balance:
    """Frames on connections that never subscribed. None were due there."""
    connections = data.observations.connections.dashboard
    unsubscribed = (connections >= 0) & (connections < dashboards)
    unsubscribed[data.due.connections] = False
    count = int(frames.count[unsubscribed].sum())
    return Balance(due=0, received=count, matched=0, missed=0, extra=count)


def _sum_of(balances: list[Balance]) -> Balance:
    return Balance(
        due=sum(balance.due or 0 for balance in balances),
        received=sum(balance.received for balance in balances),
        matched=sum(balance.matched or 0 for balance in balances),
        missed=sum(balance.missed or 0 for balance in balances),
        extra=sum(balance.extra or 0 for balance in balances),
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
