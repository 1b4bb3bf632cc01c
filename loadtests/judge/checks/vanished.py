"""`vanished`: shown once, and gone from the final read, or from a later read that must have had it."""

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Floats, Ints
from chatswarm.loadtests.judge.ledger.ledger import Ledger, list_window
from chatswarm.loadtests.judge.ledger.visibility import Indexes
from chatswarm.loadtests.messages.identity import Condition

from .check import WORST, Found, about


def vanished(ledger: Ledger) -> Found:
    """Each message once. Out of the tail that a list shows, or out of its window, is not vanished."""
    rows = _from_a_later_list(ledger) | _from_the_store(ledger)
    return about(ledger, list(rows), [ledger.example(row, detail=text) for row, text in list(rows.items())[:WORST]])


def _from_the_store(ledger: Ledger) -> dict[int, str]:
    lists, copies = ledger.lists, ledger.copies
    shown = (lists.text_message >= 0) & (lists.text_condition == Condition.INTACT)
    shown &= lists.text_chat == np.append(ledger.messages.chat, -2)[lists.text_message]
    rows = np.unique(lists.text_message[shown])
    chat = ledger.messages.chat[rows]
    gone = rows[copies.read[chat] & (copies.of_message[rows] < 0)]
    return dict.fromkeys(gone.tolist(), "a list showed it, and the final read does not have it")


def _from_a_later_list(ledger: Ledger) -> dict[int, str]:
    """A list whose texts begin before the message and do not hold it, read by a dashboard that had seen it before; or
    one without its chat, though it shows fewer chats than its window has room for.

    What one dashboard never saw is `lost` or late there, even if others saw it. The final read of the list comes after
    all of them.
    """
    lists, refetches = ledger.lists, ledger.evidence.refetches
    readable = refetches.showed & np.isfinite(refetches.done)
    good = np.flatnonzero(readable & (refetches.dashboard < ledger.expected.shape[1]))
    good = good[np.lexsort((refetches.done[good], refetches.dashboard[good]))]
    dashboard, version = refetches.dashboard[good] + 1, refetches.version[good]
    before = _done_before(dashboard, refetches.started[good], refetches.done[good])
    by_start = np.lexsort((refetches.started[good], refetches.dashboard[good]))
    window = list_window(ledger.scenario, ledger.manifest)
    room = lists.chats_listed()[version] < (np.inf if window is None else window)
    out: dict[int, str] = {}
    following: Indexes | None = None
    for chat in np.flatnonzero(np.diff(lists.chat_rows)).tolist():
        if ledger.evidence.chat_widget[chat] < 0 or not ledger.copies.read[chat]:
            continue
        now = lists.over_versions(chat, lists.highest)[version]
        # Lifted, so that one running maximum serves all dashboards: each one's values are above the one's before it.
        lift = int(now.max(initial=0)) + 2
        most = np.append(-1, np.maximum.accumulate(now + 1 + dashboard * lift))[before] - 1 - dashboard * lift
        most[dashboard == 0] = now.max(initial=-1)
        behind = (now >= 0) & (now < most)
        # A list that could show more chats, and does not have this one, ends before its first message.
        behind |= room & (most >= 0) & (lists.over_versions(chat, lists.total >= 0)[version] < 1)
        if behind.any():
            if following is None:
                following = _following(ledger, good[by_start])
            # A list that ends where it should says nothing.
            ends = np.where(behind, now.clip(0), np.iinfo(np.int32).max)[by_start]
            out |= _behind(ledger, chat, good[by_start], ends, following)
        rows = slice(lists.chat_rows[chat], lists.chat_rows[chat + 1])
        if not lists.unbroken[rows].all():
            gaps = lists.over_versions(chat, lists.unbroken.astype(np.int64))[version] == 0
            out = _between(ledger, chat, good[gaps]) | out
    return out


def _done_before(dashboard: Ints, started: Floats, done: Floats) -> Ints:
    """For each read, where those reads end that its dashboard had done before it began (they are in that order)."""
    before = np.empty(len(dashboard), np.int64)
    edges = np.searchsorted(dashboard, np.arange(int(dashboard.max(initial=-1)) + 2))
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        before[first:last] = first + np.searchsorted(done[first:last], started[first:last], side="right")
    return before


def _seen(ledger: Ledger) -> Floats:
    """Messages × dashboards, the final read last: from when on a message had been shown there.

    The final read comes after all dashboards. A count can show nothing before it was sent.
    """
    last = ledger.visible.min(axis=1, initial=np.inf)
    seen: Floats = np.concatenate([ledger.visible, last[:, None]], axis=1)
    np.maximum(seen, ledger.messages.sent[:, None], out=seen)
    return seen


def _following(ledger: Ledger, reads: Ints) -> Indexes:
    """Messages × dashboards, the final read last: the first of `reads` that its dashboard began after it had seen it.

    The reads are by dashboard and start. Where there is none, it is the next dashboard's first.
    """
    refetches, seen = ledger.evidence.refetches, _seen(ledger)
    dashboard, started = refetches.dashboard[reads], refetches.started[reads]
    out = np.empty(seen.shape, np.int32)
    for column in range(-1, seen.shape[1] - 1):
        first, last = np.searchsorted(dashboard, [column, column + 1])
        out[:, column] = first + np.searchsorted(started[first:last], seen[:, column], side="right")
    return out


def _behind(ledger: Ledger, chat: int, reads: Ints, ends: Ints, following: Indexes) -> dict[int, str]:
    """Messages that a dashboard had seen, and that come after the end of a list which it read later.

    `ends` says at which position each read's list ends. The lowest of those that a dashboard had still to read decides.
    """
    lists, refetches = ledger.lists, ledger.evidence.refetches
    texts = np.flatnonzero((lists.text_chat == chat) & (lists.text_position >= 0) & (lists.text_message >= 0))
    messages, which = np.unique(lists.text_message[texts], return_inverse=True)
    position = np.full(len(messages), np.iinfo(np.int64).max)
    np.minimum.at(position, which, lists.text_position[texts])
    # Lifted, so that one running minimum, from behind, serves all dashboards. The final read's column is the last.
    lift = int(position.max(initial=0)) + 1
    dashboard = refetches.dashboard[reads]
    ends = np.minimum(ends, lift - 1) + (dashboard + 1) * lift
    lowest = np.append(np.minimum.accumulate(ends[::-1])[::-1], np.iinfo(np.int64).max)
    wanted = position[:, None] + np.append(np.arange(1, following.shape[1]), 0) * lift
    gone = lowest[following[messages]] < wanted
    out: dict[int, str] = {}
    for row in np.flatnonzero(gone.any(axis=1)).tolist():
        column = int(np.argmax(gone[row]))
        first = int(following[messages[row], column])
        last = int(np.searchsorted(dashboard, dashboard[first], side="right"))
        proof = first + int(np.argmax(ends[first:last] < wanted[row, column]))
        out[int(messages[row])] = _told(ledger, float(refetches.started[reads[proof]]))
    return out


def _told(ledger: Ledger, started: float) -> str:
    return f"a list showed it, and a later one, begun at {ledger.after_start(started)} s, did not"


def _between(ledger: Ledger, chat: int, reads: Ints) -> dict[int, str]:
    """The slow path, for the reads of lists with a gap: message by message."""
    lists, refetches = ledger.lists, ledger.evidence.refetches
    texts = np.flatnonzero((lists.text_chat == chat) & (lists.text_position >= 0) & (lists.text_message >= 0))
    texts = texts[np.argsort(lists.text_message[texts], kind="stable")]
    if not len(texts):
        return {}
    messages, first = np.unique(lists.text_message[texts], return_index=True)
    pending = dict(zip(messages.tolist(), np.split(texts, first[1:]), strict=True))
    reads = reads[np.argsort(refetches.started[reads], kind="stable")]
    begins_in = lists.over_versions(chat, lists.lowest)
    out: dict[int, str] = {}
    # One read is enough for each message, so most of them are done with after the first few.
    edge, size = 0, 256
    while edge < len(reads) and pending:
        some = reads[edge : edge + size]
        version, dashboard, started = refetches.version[some], refetches.dashboard[some], refetches.started[some]
        begins = begins_in[version]
        for message, mine in list(pending.items()):
            held = np.zeros(len(some), bool)
            for shown, gone in zip(lists.text_shown[mine].tolist(), lists.text_gone[mine].tolist(), strict=True):
                held |= (version >= shown) & (version < gone)
            # Dashboard -1, the final read, comes after all of them. A count can show nothing before it was sent.
            seen = np.append(ledger.visible[message], ledger.visible[message].min())
            seen = np.maximum(seen, ledger.messages.sent[message])
            later = ~held & (started > seen[dashboard]) & (begins >= 0) & (begins < lists.text_position[mine[0]])
            if later.any():
                out[message] = _told(ledger, float(started[later][0]))
                del pending[message]
        edge, size = edge + size, size * 4
    return out
