"""Which frame announced which message on which dashboard: exactly where frames carry ids, else as counts prove it.

A frame is due on a connection that was subscribed from before the send until 2 s after its answer.
"""

from dataclasses import dataclass

import numpy as np

from chatswarm.loadtests.history.tables import SendOutcome

from .arrays import Bools, Floats, Ints, Small, ints, starts_of
from .messages import Copies, Explanation, SentMessages
from .observations import Observations

GRACE = 2.0
"""Seconds after the answer to a send in which its frame may still come."""

SILENCE = 3.0
"""A subscribed connection on which nothing came for so long, though at least SILENT_FRAMES were due, is silent."""
SILENT_FRAMES = 5


@dataclass(frozen=True, slots=True)
class Silence:
    """A span in which frames were due on a connection and none came."""

    connection: int
    start: float
    end: float
    due: int


@dataclass(frozen=True, slots=True)
class Balance:
    """Frames: due = matched + missed, received = matched + extra. All are counted apart from each other."""

    due: int
    received: int
    matched: int
    missed: int
    extra: int


@dataclass(frozen=True, slots=True)
class Announcements:
    """What frames said. Matrices are messages × dashboards."""

    exact: bool  # by ids; else by counts
    notified: Floats  # when; infinite: proven not to have come; NaN: not measured
    not_notified: int  # without ids: deliveries that counts prove to have had no frame, though nobody knows which
    missed: Bools  # due, on a connection that was not silent, and no frame came
    missed_by_count: list[tuple[int, int, int]]  # without ids: (dashboard, chat, how many visible ones at the least)
    twice: list[tuple[int, int, int]]  # (message or -1, connection, how many too many)
    unknown: list[tuple[int, int]]  # (chat, id): announced in a chat of this run, and neither sent nor stored
    silences: list[Silence]
    balance: Balance


@dataclass(frozen=True, slots=True)
class Received:
    """The frames that count, by connection and then by time: a message announced to a dashboard of the scenario."""

    announcement: Small
    time: Floats
    edges: Ints  # where each connection's begin, and the end

    def on(self, connection: int) -> slice:
        """The frames of one connection."""
        return slice(int(self.edges[connection]), int(self.edges[connection + 1]))


@dataclass(frozen=True, slots=True)
class Due:
    """Which connections were subscribed, and which messages are due at all."""

    connections: Ints  # those that ever subscribed, ascending
    dashboard: Ints  # of each of them
    start: Floats
    end: Floats  # nothing is due on it that would come later; before its start where its history was cut
    until: Floats  # nothing can come on it later
    messages: Ints  # the stored messages that were sent and answered

    def rows(self, number: int, messages: SentMessages, grace: float = GRACE) -> Ints:
        """The messages that are due on the connection at this place of `connections`."""
        sent, done = messages.sent[self.messages], messages.done[self.messages]
        return ints(self.messages[(sent > self.start[number]) & (done + grace <= self.end[number])])


def received_of(evidence: Observations, dashboards: int, chats: Bools) -> Received:
    """The frames about the run's `chats`."""
    frames, connections = evidence.frames, evidence.connections
    about = frames.from_customer & (frames.chat >= 0) & np.append(chats, False)[frames.chat]
    on = (connections.dashboard >= 0) & (connections.dashboard < dashboards)
    kept = about[frames.announcement] & on[frames.connection]
    connection, announcement, time = frames.connection, frames.announcement, frames.time
    if not kept.all():
        connection, announcement, time = connection[kept], announcement[kept], time[kept]
    # Small numbers sort much faster.
    numbers = len(connections.dashboard)
    order = np.argsort(connection.astype(np.uint16) if numbers < 1 << 16 else connection, kind="stable")
    edges = ints(np.concatenate([[0], np.cumsum(np.bincount(connection, minlength=numbers))]))
    announcement, time = announcement[order], time[order]
    # A connection's process writes its frames down as they come, so this sorts nothing as a rule.
    backwards = np.flatnonzero(np.diff(time) < 0) + 1
    if len(np.setdiff1d(backwards, edges)):
        order = np.lexsort((time, np.repeat(np.arange(numbers), np.diff(edges))))
        announcement, time = announcement[order], time[order]
    return Received(announcement, time, edges)


def due_of(evidence: Observations, dashboards: int, messages: SentMessages, copies: Copies) -> Due:
    """The connections that were subscribed, and every stored message once."""
    connections = evidence.connections
    there = np.flatnonzero(
        ~np.isnan(connections.subscribed) & (connections.dashboard >= 0) & (connections.dashboard < dashboards)
    )
    stored = np.flatnonzero((copies.of_message >= 0) & ~np.isnan(messages.done))
    whole = evidence.whole[connections.process[there]]
    return Due(
        there,
        connections.dashboard[there],
        connections.subscribed[there],
        np.where(whole, connections.ended[there], -np.inf),
        np.where(whole, connections.ended[there], np.inf),
        stored[np.argsort(messages.sent[stored], kind="stable")],
    )


def ids_of(evidence: Observations, messages: SentMessages, copies: Copies, received: Received) -> Ints | None:
    """Per announcement: its message, or -1. None where announcements carry no ids, or ids that are not unique."""
    announced = evidence.frames.message_id
    used = np.bincount(received.announcement, minlength=len(announced)) > 0
    if not used.any() or (announced[used] < 0).any():
        return None
    ids = np.concatenate([messages.message_id, copies.message_id])
    owners = np.concatenate([np.arange(len(messages)), copies.message])
    # The answer to the send comes first; a stored copy tells it for the sends that had none.
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
    """Spans of at least 3 s without any frame on a subscribed connection, in which at least 5 were due."""
    silences: list[Silence] = []
    done = np.sort(messages.done[due.messages])
    for number, connection in enumerate(due.connections.tolist()):
        start, end = due.start[number], due.end[number]
        if end < start:
            continue
        moments = np.concatenate([[start], received.time[received.on(connection)], [end]])
        for gap in np.flatnonzero(np.diff(moments) >= SILENCE).tolist():
            quiet, over = moments[gap], moments[gap + 1]
            # A frame is due from its message's answer on, and may take the grace. The span begins with the first.
            first = np.searchsorted(done, quiet, side="right")
            count = int(np.searchsorted(done, over - GRACE, side="right") - first)
            if count >= SILENT_FRAMES and over - done[first] >= SILENCE:
                rows = due.messages[
                    (messages.sent[due.messages] > quiet) & (messages.done[due.messages] <= over - GRACE)
                ]
                if len(rows) >= SILENT_FRAMES and over - messages.done[rows].min() >= SILENCE:
                    silences.append(Silence(connection, float(quiet), float(over), len(rows)))
    return silences


def announced_of(
    evidence: Observations, messages: SentMessages, copies: Copies, ours: Bools, expected: Bools, visible: Floats
) -> Announcements:
    """All that frames say, by ids where there are any."""
    received = received_of(evidence, expected.shape[1], ours)
    due = due_of(evidence, expected.shape[1], messages, copies)
    silences = silences_of(due, messages, received)
    owners = ids_of(evidence, messages, copies, received)
    if owners is not None:
        return _by_id(evidence, messages, copies, received, due, silences, owners, expected.shape)
    return _by_count(evidence, messages, copies, received, due, silences, expected, visible)


def _silent_rows(silences: list[Silence], connection: int, rows: Ints, messages: SentMessages) -> Bools:
    """Which of the messages fall into a silent span of the connection: the silence explains their missing frames."""
    out = np.zeros(len(rows), bool)
    for silence in silences:
        if silence.connection == connection:
            out |= (messages.done[rows] + GRACE > silence.start) & (messages.sent[rows] <= silence.end)
    return out


def _by_id(
    evidence: Observations,
    messages: SentMessages,
    copies: Copies,
    received: Received,
    due: Due,
    silences: list[Silence],
    owners: Ints,
    shape: tuple[int, int],
) -> Announcements:
    dashboards = evidence.connections.dashboard
    at = np.full(len(dashboards), -1, np.int64)
    at[due.connections] = np.arange(len(due.connections))
    notified, missed = np.full(shape, np.inf), np.zeros(shape, bool)
    twice: list[tuple[int, int, int]] = []
    firsts = strangers = obliged = missing = met = 0
    busy = np.diff(received.edges) > 0
    busy[due.connections] = True
    for connection in np.flatnonzero(busy).tolist():
        here = received.on(connection)
        message, time = owners[received.announcement[here]], received.time[here]
        if (message < 0).any():
            strangers += int((message < 0).sum())
            message, time = message[message >= 0], time[message >= 0]
        first = np.full(shape[0], np.inf)
        first[message[::-1]] = time[::-1]  # backwards, so that the first stays
        came = np.isfinite(first)
        firsts += int(came.sum())
        if int(came.sum()) < len(message):
            count = np.bincount(message, minlength=shape[0])
            twice += [(row, connection, int(count[row]) - 1) for row in np.flatnonzero(count > 1).tolist()]
        dashboard = dashboards[connection]
        notified[:, dashboard] = np.minimum(notified[:, dashboard], first)
        if at[connection] < 0:
            continue
        rows = due.rows(int(at[connection]), messages)
        gone = rows[~came[rows]]
        obliged, missing, met = obliged + len(rows), missing + len(gone), met + len(rows) - len(gone)
        if len(gone):
            missed[gone[~_silent_rows(silences, connection, gone, messages)], dashboard] = True
    frames = evidence.frames
    used = np.bincount(received.announcement, minlength=len(owners)) > 0
    unknown = sorted({(int(frames.chat[n]), int(frames.message_id[n])) for n in np.flatnonzero(used & (owners < 0))})
    balance = Balance(
        due=obliged + (firsts - met),  # frames that came without having to were due as well
        received=len(received.time),
        matched=firsts,
        missed=missing,
        extra=strangers + sum(count for *_, count in twice),
    )
    spare = _unexplained(messages, copies, unknown, evidence)
    return Announcements(True, notified, 0, missed, [], twice, spare, silences, balance)


def _unexplained(
    messages: SentMessages, copies: Copies, unknown: list[tuple[int, int]], evidence: Observations
) -> list[tuple[int, int]]:
    """The announced ids that no send can explain. A send of unknown outcome may have been announced and not stored."""
    if not evidence.complete:
        return []
    stored = {
        (int(chat), int(number)) for chat, number in zip(copies.chat, copies.message_id, strict=True) if number >= 0
    }
    open_sends = np.flatnonzero((messages.outcome == SendOutcome.UNKNOWN) & (copies.of_message < 0))
    nameless = np.flatnonzero(messages.accepted & (messages.message_id < 0) & (copies.of_message < 0))
    spare: dict[int, int] = {}
    for chat in messages.chat[np.concatenate([open_sends, nameless])].tolist():
        spare[chat] = spare.get(chat, 0) + 1
    left: list[tuple[int, int]] = []
    for chat, number in unknown:
        if (chat, number) in stored or not copies.read[chat]:
            continue
        if spare.get(chat, 0):
            spare[chat] -= 1
        else:
            left.append((chat, number))
    return left


@dataclass(frozen=True, slots=True)
class _FramesByChat:
    """The frames that came, by connection and chat."""

    chats: int
    count: Ints  # connections × chats
    on_dashboard: Ints  # dashboards × chats
    edges: Ints  # where those of (connection, chat) begin in `time`
    time: Floats

    def times(self, connection: int, chat: int) -> Floats:
        """When those came, ascending."""
        at = connection * self.chats + chat
        return self.time[self.edges[at] : self.edges[at + 1]]


@dataclass(frozen=True, slots=True)
class _StoredByChat:
    """The messages that are stored in each chat, in the order in which they should be announced."""

    chat: Ints  # per message: where it is stored; -1: nowhere
    rows: Ints  # by chat and position
    edges: Ints  # where each chat's begin in `rows`
    strangers: Ints  # per chat: stored texts that no send explains, and that may have been announced as well

    def of(self, chat: int) -> Ints:
        return self.rows[self.edges[chat] : self.edges[chat + 1]]


def _by_count(
    evidence: Observations,
    messages: SentMessages,
    copies: Copies,
    received: Received,
    due: Due,
    silences: list[Silence],
    expected: Bools,
    visible: Floats,
) -> Announcements:
    """Without ids: frames and stored messages are compared by their numbers in each chat."""
    chats = max(1, len(evidence.chat_ids))
    came = _frames_by_chat(evidence, received, expected.shape[1], chats)
    stored = _stored_by_chat(copies, chats)
    notified = np.full(expected.shape, np.nan)
    # Nothing came: certainly not notified.
    notified[came.on_dashboard.T[messages.chat.clip(0)] == 0] = np.inf
    settled = np.zeros((expected.shape[1], chats), bool)
    missed: list[tuple[int, int, int]] = []
    twice: list[tuple[int, int, int]] = []
    balances = [_strays(evidence, due, came, expected.shape[1])]
    for at, connection in enumerate(due.connections.tolist()):
        dashboard = int(due.dashboard[at])
        rows, here = due.rows(at, messages), came.count[connection]
        obliged = np.bincount(stored.chat[rows], minlength=chats)
        possible = _possible(messages, stored.chat, float(due.until[at]), chats) + stored.strangers
        extra, missing = np.maximum(0, here - possible), np.maximum(0, obliged - here)
        balances.append(_balance_of(here, extra, missing))
        twice += [(-1, connection, int(extra[chat])) for chat in np.flatnonzero(extra).tolist()]
        calm = rows[~_silent_rows(silences, connection, rows, messages)]
        seen = np.bincount(stored.chat[calm[visible[calm, dashboard] < np.inf]], minlength=chats)
        missed += [(dashboard, chat, int(seen[chat] - here[chat])) for chat in np.flatnonzero(seen > here).tolist()]
        agree = _told_apart(here, obliged, came.on_dashboard[dashboard], stored, copies)
        for chat in np.flatnonzero(agree).tolist():
            notified[stored.of(chat), dashboard] = came.times(connection, chat)
            settled[dashboard, chat] = True
    return Announcements(
        exact=False,
        notified=notified,
        not_notified=_proven_missing(messages, expected, came.on_dashboard, settled, chats),
        missed=np.zeros(expected.shape, bool),
        missed_by_count=missed,
        twice=twice,
        unknown=[],
        silences=silences,
        balance=_sum_of(balances),
    )


def _frames_by_chat(evidence: Observations, received: Received, dashboards: int, chats: int) -> _FramesByChat:
    connections = evidence.connections.dashboard
    chat = evidence.frames.chat[received.announcement]
    group = np.repeat(np.arange(len(connections)), np.diff(received.edges)) * chats + chat
    count = np.bincount(group, minlength=len(connections) * chats)
    by_connection = ints(count.reshape(len(connections), chats))
    on_dashboard = np.zeros((dashboards, chats), np.int64)
    known = (connections >= 0) & (connections < dashboards)
    np.add.at(on_dashboard, connections[known], by_connection[known])
    edges = ints(np.concatenate([[0], np.cumsum(count)]))
    return _FramesByChat(chats, by_connection, on_dashboard, edges, received.time[np.argsort(group, kind="stable")])


def _stored_by_chat(copies: Copies, chats: int) -> _StoredByChat:
    chat, position = copies.place()
    rows = np.flatnonzero(chat >= 0)
    rows = rows[np.lexsort((position[rows], chat[rows]))]
    unexplained = (copies.explanation == Explanation.PHANTOM) & (copies.message < 0)
    strangers = ints(np.bincount(copies.chat[unexplained], minlength=chats))
    return _StoredByChat(chat, rows, starts_of(chat[rows], chats), strangers)


def _told_apart(came: Ints, obliged: Ints, on_dashboard: Ints, stored: _StoredByChat, copies: Copies) -> Bools:
    """Per chat: whether the frames on one connection are its stored messages, one for one and in their order."""
    all_came = (came == obliged) & (came == np.diff(stored.edges)) & (came > 0)
    alone = on_dashboard == came  # on no other connection of that dashboard
    return np.asarray(all_came & alone & (stored.strangers == 0) & copies.read)


def _balance_of(came: Ints, extra: Ints, missing: Ints) -> Balance:
    matched = int((came - extra).sum())
    return Balance(matched + int(missing.sum()), int(came.sum()), matched, int(missing.sum()), int(extra.sum()))


def _strays(evidence: Observations, due: Due, came: _FramesByChat, dashboards: int) -> Balance:
    """Frames on connections that never subscribed: nothing was due there."""
    connections = evidence.connections.dashboard
    strays = (connections >= 0) & (connections < dashboards)
    strays[due.connections] = False
    count = int(came.count[strays].sum())
    return Balance(due=0, received=count, matched=0, missed=0, extra=count)


def _sum_of(balances: list[Balance]) -> Balance:
    return Balance(
        sum(each.due for each in balances),
        sum(each.received for each in balances),
        sum(each.matched for each in balances),
        sum(each.missed for each in balances),
        sum(each.extra for each in balances),
    )


def _possible(messages: SentMessages, place_chat: Ints, end: float, chats: int) -> Ints:
    """Per chat: how many messages could have been announced at all until `end`, each once."""
    begun = (messages.sent <= end) | np.isnan(messages.sent)
    own = messages.chat[begun & (messages.chat >= 0)]
    moved = place_chat[begun & (place_chat >= 0) & (place_chat != messages.chat)]
    return ints(np.bincount(own, minlength=chats) + np.bincount(moved, minlength=chats))


def _proven_missing(messages: SentMessages, expected: Bools, per_dashboard: Ints, settled: Bools, chats: int) -> int:
    """How many deliveries had no frame because fewer frames came than messages were to be announced."""
    edges = starts_of(messages.chat, chats)
    proven = 0
    for chat in np.flatnonzero(np.diff(edges)).tolist():
        wanted = expected[edges[chat] : edges[chat + 1]].sum(axis=0)
        came = per_dashboard[:, chat]
        # Where nothing came at all, `notified` says so for each message.
        proven += int(np.maximum(0, wanted - came)[(came > 0) & ~settled[:, chat]].sum())
    return proven
