"""`vanished`: shown once, but missing from the final read or from a later list that should contain it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chatswarm.loadtests.judge.ledger.arrays import Bools, Floats, Indexes, Ints, Small, kind_below
from chatswarm.loadtests.judge.ledger.ledger import Ledger, list_window
from chatswarm.loadtests.judge.ledger.list_contents import ListContents
from chatswarm.loadtests.messages.identity import Condition

from .check import WORST, CaseKind, CheckResult, result_for_messages


def vanished(ledger: Ledger) -> CheckResult:
    """Each message once. A message that left the tail or the window of the list has not vanished."""
    rows = _from_a_later_list(ledger) | _from_the_store(ledger)
    if not rows and not ledger.reads_store:
        return CheckResult(None, applies=False)
    examples = [ledger.example(row, detail=text) for row, text in list(rows.items())[:WORST]]
    gone = ledger.copies.of_message[list(rows)] < 0
    kinds = [CaseKind("deleted" if is_gone else "hidden_for_a_while") for is_gone in gone.tolist()]
    return result_for_messages(ledger, list(rows), examples, kinds=kinds)


def _from_the_store(ledger: Ledger) -> dict[int, str]:
    lists, copies = ledger.lists, ledger.copies
    shown = (lists.text_message >= 0) & (lists.text_condition == Condition.INTACT)
    shown &= lists.text_chat == np.append(ledger.messages.chat, -2)[lists.text_message]
    by_lists, by_frames = np.unique(lists.text_message[shown]), np.zeros(0, np.int64)
    if ledger.sightings is not None:
        texts = ledger.sightings.texts
        by_frames = np.unique(texts.message[texts.right & texts.received])
    out: dict[int, str] = {}
    for what, rows in ("a list", by_lists), ("a frame", by_frames):
        chat = ledger.messages.chat[rows]
        gone = rows[(chat >= 0) & copies.read[chat] & (copies.of_message[rows] < 0)]
        out = dict.fromkeys(gone.tolist(), f"{what} showed it, but the final read does not contain it") | out
    return out


def _from_a_later_list(ledger: Ledger) -> dict[int, str]:
    """Messages that a dashboard had seen, and that a later list on the same dashboard should contain but does not.

    Such a list's texts start before the message, or it lacks the message's chat although its window has space left. A
    message that one dashboard never saw is `lost` or `late` there, even if others saw it. The final read of the list
    counts as later than all dashboards' reads.
    """
    lists, own_chats = ledger.lists, ledger.observations.own_chats
    reads = _reads_of(ledger)
    in_order = _in_order(lists, reads)
    by_start = np.lexsort((reads.started, reads.dashboard))
    out: dict[int, str] = {}
    following: _Following | None = None
    for chat in np.flatnonzero(np.diff(lists.chat_rows)).tolist():
        if not own_chats[chat] or not ledger.copies.read[chat]:
            continue
        ends = None if in_order[chat] else reads.early_ends(lists, chat)
        if ends is not None:
            if following is None:
                following = _following(ledger, reads.row[by_start])
            out |= _behind(ledger, chat, reads.row[by_start], ends[by_start], following)
        rows = slice(lists.chat_rows[chat], lists.chat_rows[chat + 1])
        if not lists.unbroken[rows].all():
            gaps = lists.over_versions(chat, lists.unbroken.astype(np.int64))[reads.version] == 0
            out = _between(ledger, chat, reads.row[gaps]) | out
    return out


@dataclass(frozen=True, slots=True)
class _CompleteReads:
    """The reads of lists by dashboard, the final ones (dashboard -1) first, and then by when they ended."""

    row: Ints  # in the refetches
    dashboard: Ints
    process: Ints
    started: Floats
    version: Ints
    before: Ints  # the place after the last read that its dashboard completed before this one started
    has_space: Ints  # those whose lists have space for more chats
    offset: Indexes  # more for each dashboard than for the one before, by more than any position

    def early_ends(self, lists: ListContents, chat: int) -> Indexes | None:
        """The position at which each one ends, if an earlier one of the same dashboard, or for a final one, any other,
        showed a later text of the chat; elsewhere a number above all positions. None if this is nowhere so.
        """
        now = lists.over_versions(chat, lists.highest.astype(self.offset.dtype))[self.version]
        # One running maximum for all dashboards. The first place stands for no read.
        most_until = np.full(len(now) + 1, -1, now.dtype)
        np.maximum.accumulate(now + self.offset, out=most_until[1:])
        most = most_until[self.before]
        most -= self.offset
        most[self.dashboard < 0] = now.max(initial=-1)
        behind = (now >= 0) & (now < most)
        # A list with space for more chats that lacks this one ends before the chat's first message.
        listed = lists.over_versions(chat, lists.total >= 0)[self.version[self.has_space]] > 0
        behind[self.has_space] |= (most[self.has_space] >= 0) & ~listed
        # A list that ends where it should is no evidence.
        return np.where(behind, now.clip(0), np.iinfo(np.int32).max) if behind.any() else None


def _reads_of(ledger: Ledger) -> _CompleteReads:
    lists, refetches = ledger.lists, ledger.observations.refetches
    readable = refetches.showed & np.isfinite(refetches.done)
    good = np.flatnonzero(readable & (refetches.dashboard < ledger.deliveries.dashboards))
    good = good[np.lexsort((refetches.done[good], refetches.dashboard[good]))]
    dashboard, started, version = refetches.dashboard[good], refetches.started[good], refetches.version[good]
    window = list_window(ledger.scenario, ledger.manifest)
    size = int(lists.highest.max(initial=0)) + 2
    kind = kind_below((ledger.deliveries.dashboards + 1) * size + 2)
    return _CompleteReads(
        row=good,
        dashboard=dashboard,
        process=refetches.process[good],
        started=started,
        version=version,
        before=_done_before(dashboard + 1, started, refetches.done[good]),
        has_space=np.flatnonzero(lists.chats_listed()[version] < (np.inf if window is None else window)),
        offset=((dashboard + 1) * size + 1).astype(kind),
    )


def _in_order(lists: ListContents, reads: _CompleteReads) -> Bools:
    """Per chat: whether its end plainly never falls, so that no read can be behind another.

    It never falls from one version of a process to the next, no dashboard was given an older version than before, and
    the final reads show as much as any.
    """
    chats = len(lists.chat_rows) - 1
    again = (reads.dashboard[1:] == reads.dashboard[:-1]) & (reads.dashboard[1:] >= 0)
    back = (reads.version[1:] < reads.version[:-1]) | (reads.process[1:] != reads.process[:-1])
    if (again & back).any():
        return np.zeros(chats, bool)
    out = np.ones(chats, bool)
    follows = (lists.chat[1:] == lists.chat[:-1]) & (lists.version[1:] == lists.until[:-1])
    out[lists.chat[1:][follows & (lists.highest[1:] < lists.highest[:-1])]] = False
    most = np.full(chats, -1)
    np.maximum.at(most, lists.chat, lists.highest)
    for version in np.unique(reads.version[reads.dashboard < 0]).tolist():
        rows = np.flatnonzero((lists.version <= version) & (version < lists.until))
        now = np.full(chats, -1)
        now[lists.chat[rows]] = lists.highest[rows]
        out &= now == most
    return out


def _done_before(dashboard: Ints, started: Floats, done: Floats) -> Ints:
    """Per read: the index after the last read that its dashboard completed before this one started."""
    before = np.empty(len(dashboard), np.int64)
    edges = np.searchsorted(dashboard, np.arange(int(dashboard.max(initial=-1)) + 2))
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        before[first:last] = first + np.searchsorted(done[first:last], started[first:last], side="right")
    return before


def _seen(ledger: Ledger) -> Floats:
    """Per message: when it had first been shown anywhere, but never before it was sent."""
    return np.maximum(ledger.deliveries.min(ledger.visible), ledger.messages.sent)


class _Following(NamedTuple):
    """The first read that started after a message had been shown: by delivery, and for the final read by message."""

    on_dashboard: Small
    final: Small


def _following(ledger: Ledger, reads: Ints) -> _Following:
    """The first of `reads` that started after the dashboard had seen the message, as a dashboard and as the final read.

    The final read comes after all dashboards. A message is never counted as shown before it was sent. `reads` are
    sorted by dashboard and start. Where no such read exists, the index is that of the next dashboard's first read.
    """
    refetches, deliveries = ledger.observations.refetches, ledger.deliveries
    dashboard, started = refetches.dashboard[reads], refetches.started[reads]
    seen = deliveries.apply(np.maximum, ledger.visible, ledger.messages.sent)
    edges = np.searchsorted(dashboard, np.arange(-1, deliveries.dashboards + 1))
    on_dashboard = deliveries.at_home(edges[1:-1].astype(np.int32))
    for column in np.flatnonzero(np.diff(edges[1:])).tolist():
        mine = deliveries.on(column)
        first, last = edges[column + 1], edges[column + 2]
        on_dashboard[mine] = first + np.searchsorted(started[first:last], seen[mine], side="right")
    final = np.searchsorted(started[: edges[1]], _seen(ledger), side="right")
    return _Following(on_dashboard, final.astype(np.int32))


def _behind(ledger: Ledger, chat: int, reads: Ints, ends: Indexes, following: _Following) -> dict[int, str]:
    """Messages that a dashboard had seen, and that lie beyond the end of a list it read later.

    `ends` holds the position at which each read's list ends. The lowest end among a dashboard's later reads decides.
    """
    lists, refetches, deliveries = ledger.lists, ledger.observations.refetches, ledger.deliveries
    texts = np.flatnonzero((lists.text_chat == chat) & (lists.text_position >= 0) & (lists.text_message >= 0))
    messages, which = np.unique(lists.text_message[texts], return_inverse=True)
    position = np.full(len(messages), np.iinfo(np.int64).max)
    np.minimum.at(position, which, lists.text_position[texts])
    # One running minimum, from the back, for all dashboards, by offsets as above. The final read is dashboard -1.
    offset = int(position.max(initial=0)) + 1
    dashboard = refetches.dashboard[reads]
    ends = np.minimum(ends, offset - 1) + (dashboard + 1) * offset
    lowest = np.append(np.minimum.accumulate(ends[::-1])[::-1], np.iinfo(np.int64).max)
    mine = deliveries.of(messages)
    message = np.concatenate([deliveries.message[mine], messages])
    first = np.concatenate([following.on_dashboard[mine], following.final[messages]])
    of_message = np.full(len(ledger.messages), -1, np.int64)
    of_message[messages] = position
    home = np.concatenate([deliveries.dashboard[mine], np.full(len(messages), -1)])
    wanted = of_message[message] + (home + 1) * offset
    gone = np.flatnonzero(lowest[first] < wanted)
    rows, proof_of = np.unique(message[gone], return_index=True)
    out: dict[int, str] = {}
    for row, at in zip(rows.tolist(), gone[proof_of].tolist(), strict=True):
        begin = int(first[at])
        last = int(np.searchsorted(dashboard, dashboard[begin], side="right"))
        proof = begin + int(np.argmax(ends[begin:last] < wanted[at]))
        out[row] = _detail(ledger, float(refetches.started[reads[proof]]))
    return out


def _detail(ledger: Ledger, started: float) -> str:
    return f"a list showed it, but a later one, started at {ledger.after_start(started)} s, did not"


def _between(ledger: Ledger, chat: int, reads: Ints) -> dict[int, str]:
    """The slow path, message by message, for reads of lists with a gap."""
    lists, refetches = ledger.lists, ledger.observations.refetches
    texts = np.flatnonzero((lists.text_chat == chat) & (lists.text_position >= 0) & (lists.text_message >= 0))
    texts = texts[np.argsort(lists.text_message[texts], kind="stable")]
    if not len(texts):
        return {}
    messages, first = np.unique(lists.text_message[texts], return_index=True)
    pending = dict(zip(messages.tolist(), np.split(texts, first[1:]), strict=True))
    reads = reads[np.argsort(refetches.started[reads], kind="stable")]
    begins_in = lists.over_versions(chat, lists.lowest)
    out: dict[int, str] = {}
    # One read settles a message, so the first few reads settle most of them.
    edge, size = 0, 256
    while edge < len(reads) and pending:
        some = reads[edge : edge + size]
        version, dashboard, started = refetches.version[some], refetches.dashboard[some], refetches.started[some]
        begins = begins_in[version]
        for message, mine in list(pending.items()):
            held = np.zeros(len(some), bool)
            for shown, gone in zip(lists.text_shown[mine].tolist(), lists.text_gone[mine].tolist(), strict=True):
                held |= (version >= shown) & (version < gone)
            # Dashboard -1, the final read, comes after all others. A message cannot be seen before it was sent.
            seen = np.full(ledger.deliveries.dashboards + 1, np.inf)
            there = slice(int(ledger.deliveries.first[message]), int(ledger.deliveries.first[message + 1]))
            seen[ledger.deliveries.dashboard[there]] = ledger.visible[there]
            seen[-1] = ledger.visible[there].min(initial=np.inf)
            seen = np.maximum(seen, ledger.messages.sent[message])
            later = ~held & (started > seen[dashboard]) & (begins >= 0) & (begins < lists.text_position[mine[0]])
            if later.any():
                out[message] = _detail(ledger, float(started[later][0]))
                del pending[message]
        edge, size = edge + size, size * 4
    return out
