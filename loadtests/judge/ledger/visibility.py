"""When each message became visible on each dashboard: the end of the first refetch that shows it."""

from dataclasses import dataclass

import numpy as np

from .arrays import Bools, Floats, Ints, Small, blocks, ints, kind_below, looked_up, ranges, starts_of
from .deliveries import PlannedDeliveries
from .list_contents import ListContents, ahead_of_count
from .messages import Copies, Locations, SentMessages
from .observations import Observations


@dataclass(frozen=True, slots=True)
class Reads:
    """The refetches that returned a list, by dashboard and then by when they ended."""

    dashboard: Ints
    process: Ints
    started: Floats
    done: Floats
    version: Ints
    first: Ints  # where each dashboard's reads start

    def __len__(self) -> int:
        return len(self.dashboard)


@dataclass(frozen=True, slots=True)
class Visibility:
    """Per delivery."""

    read: Small  # the first of Reads that shows the message; -1: none
    as_text: Bools  # that read contains the text itself, not only a sufficient count
    time: Floats  # when; infinite for never


def reads_of(observations: Observations, dashboards: int) -> Reads:
    """The refetches of the scenario's dashboards that returned a list."""
    refetches = observations.refetches
    good = refetches.showed & (refetches.dashboard >= 0) & (refetches.dashboard < dashboards)
    kept = np.flatnonzero(good)
    kept = kept[np.lexsort((refetches.done[kept], refetches.dashboard[kept]))]
    dashboard = refetches.dashboard[kept]
    return Reads(
        dashboard=dashboard,
        process=refetches.process[kept],
        started=refetches.started[kept],
        done=refetches.done[kept],
        version=refetches.version[kept],
        first=starts_of(dashboard, dashboards),
    )


def visibility_of(
    messages: SentMessages, copies: Copies, lists: ListContents, reads: Reads, deliveries: PlannedDeliveries
) -> Visibility:
    """Finds the first read that shows each message.

    First by count, with one search per chat; then by text, where a text was ahead of its chat's count. Last, corrects
    messages that a temporarily inflated count would have shown before they were sent.
    """
    seen = np.full(len(deliveries), -1, np.int32)
    if not len(reads):
        return Visibility(seen, np.zeros(len(deliveries), bool), np.full(len(deliveries), np.inf))
    stored = copies.locations()
    _by_count(seen, stored, lists, reads, deliveries)
    _by_text(seen, np.flatnonzero(ahead_of_count(lists, stored)), lists, reads, deliveries)
    done = np.append(reads.done, np.inf)
    time = looked_up(done, seen)
    again = np.flatnonzero(deliveries.apply(np.less, time, messages.sent))
    if len(again):
        _not_before_sent(seen, again, messages, stored, lists, reads, deliveries)
        time[again] = done[seen[again]]
    return Visibility(seen, _as_text(seen, lists, reads, deliveries), time)


def _by_count(seen: Small, stored: Locations, lists: ListContents, reads: Reads, deliveries: PlannedDeliveries) -> None:
    order = np.lexsort((stored.position, stored.chat))
    edges = starts_of(stored.chat[order], len(lists.chat_rows) - 1)
    chats = [(chat, order[edges[chat] : edges[chat + 1]]) for chat in np.flatnonzero(np.diff(edges)).tolist()]
    if deliveries.rooms is None:
        _count_for_all(seen.reshape(-1, deliveries.dashboards), chats, stored.position, lists, reads)
        return
    for chat, rows in chats:
        _count_for_members(seen, rows, stored.position, chat, lists, reads, deliveries)


def _count_for_all(
    seen: Small, chats: list[tuple[int, Ints]], position: Ints, lists: ListContents, reads: Reads
) -> None:
    """`seen`: messages × dashboards; `chats`: each with its messages."""
    ends = reads.first[1:, None]
    # One running maximum for all dashboards: each dashboard's counts are offset above those of the one before.
    offset = max(int(lists.believed.max(initial=0)), int(position.max(initial=0))) + 2
    kind = kind_below(len(ends) * offset)
    believed, above = lists.believed.astype(kind), (reads.dashboard * offset).astype(kind)
    bases = (np.arange(len(ends)) * offset)[:, None]
    for chat, rows in chats:
        most = lists.over_versions(chat, believed)[reads.version]
        most += above
        np.maximum.accumulate(most, out=most)
        wanted = (bases + position[rows]).astype(kind)
        at = np.searchsorted(most, wanted.ravel()).reshape(wanted.shape)
        seen[rows] = np.where(at < ends, at, -1).T


def _count_for_members(
    seen: Small, rows: Ints, position: Ints, chat: int, lists: ListContents, reads: Reads,
    deliveries: PlannedDeliveries,
) -> None:  # fmt: skip
    """The same with the members' reads only."""
    mine = deliveries.of(rows)
    members, member = np.unique(deliveries.dashboard[mine], return_inverse=True)
    counts = reads.first[members + 1] - reads.first[members]
    theirs = ranges(reads.first[members], counts)
    if not len(theirs):
        return
    shown = lists.at_versions(chat, lists.believed, reads.version[theirs])
    wanted = position[deliveries.message[mine]]
    offset = max(int(shown.max()), int(wanted.max())) + 2
    most = np.maximum.accumulate(shown + np.repeat(np.arange(len(members)), counts) * offset)
    at = np.searchsorted(most, member * offset + wanted)
    seen[mine] = np.where(at < np.cumsum(counts)[member], np.append(theirs, -1)[at], -1)


def _by_text(seen: Small, affected: Ints, lists: ListContents, reads: Reads, deliveries: PlannedDeliveries) -> None:
    """The slow path, exact for any list: each dashboard's first read whose version contains the text."""
    if not len(affected):
        return
    by_version = np.argsort(reads.version, kind="stable")
    versions = reads.version[by_version]
    texts = np.flatnonzero(np.isin(lists.text_message, affected))
    lo = np.searchsorted(versions, lists.text_shown[texts])
    hi = np.searchsorted(versions, lists.text_gone[texts])
    never = np.iinfo(np.int32).max
    for message, start, end in zip(lists.text_message[texts].tolist(), lo.tolist(), hi.tolist(), strict=True):
        if start == end:
            continue
        found = by_version[start:end]
        mine = slice(int(deliveries.first[message]), int(deliveries.first[message + 1]))
        first = np.where(seen[mine] < 0, never, seen[mine])
        at = reads.dashboard[found]
        if deliveries.rooms is not None:
            members = deliveries.dashboard[mine]
            at = np.searchsorted(members, at)
            shown_to = np.append(members, -1)[at] == reads.dashboard[found]
            at, found = at[shown_to], found[shown_to]
        np.minimum.at(first, at, found.astype(np.int32))
        seen[mine] = np.where(first == never, -1, first)


def _not_before_sent(
    seen: Small, again: Ints, messages: SentMessages, stored: Locations, lists: ListContents, reads: Reads,
    deliveries: PlannedDeliveries,
) -> None:  # fmt: skip
    """Searches once more, from the send on, for what an earlier read seems to show because its count was too high.

    This happens if a message vanished or was in another chat, so that later ones moved up in the final read. `again`:
    the deliveries that were seen before their message was sent.
    """
    early = np.zeros(len(seen), bool)
    early[again] = True
    rows = np.flatnonzero(deliveries.any(early))
    since = np.zeros(len(seen), np.int32)
    by_dashboard = again[np.argsort(deliveries.dashboard[again], kind="stable")]
    edges = starts_of(ints(deliveries.dashboard[by_dashboard]), deliveries.dashboards)
    for dashboard in np.flatnonzero(np.diff(edges)).tolist():
        mine = by_dashboard[edges[dashboard] : edges[dashboard + 1]]
        first, last = reads.first[dashboard], reads.first[dashboard + 1]
        since[mine] = first + np.searchsorted(reads.done[first:last], messages.sent[deliveries.message[mine]])
    texts = np.flatnonzero(np.isin(lists.text_message, rows))
    for row in rows.tolist():
        mine = deliveries.of(np.array([row]))
        mine = mine[early[mine]]
        dashboards = deliveries.dashboard[mine]
        theirs = ranges(reads.first[dashboards], reads.first[dashboards + 1] - reads.first[dashboards])
        version = reads.version[theirs]
        shows = np.zeros(len(theirs), bool)
        if (chat := int(stored.chat[row])) >= 0:
            shows |= lists.at_versions(chat, lists.believed, version) >= stored.position[row]
        for text in texts[lists.text_message[texts] == row].tolist():
            shows |= (version >= lists.text_shown[text]) & (version < lists.text_gone[text])
        hits = np.append(theirs[shows], len(reads))
        found = hits[np.searchsorted(hits, since[mine])]
        seen[mine] = np.where(found < reads.first[dashboards + 1], found, -1)


def _as_text(seen: Small, lists: ListContents, reads: Reads, deliveries: PlannedDeliveries) -> Bools:
    as_text = np.zeros(len(seen), bool)
    texts = np.flatnonzero((lists.text_message >= 0) & (lists.text_gone > lists.text_shown))
    texts = texts[np.argsort(lists.text_message[texts], kind="stable")]
    message = lists.text_message[texts]
    # A message's spans in the list, one after another: most messages have one per process.
    nth = np.arange(len(texts)) - np.searchsorted(message, message)
    version = np.append(reads.version, -1).astype(np.int32)
    for turn in range(int(nth.max(initial=-1)) + 1):
        chosen = texts[nth == turn]
        for part in blocks(len(chosen), int(deliveries.counts.max(initial=1))):
            some = chosen[part]
            rows = lists.text_message[some]
            mine, counts = deliveries.of(rows), deliveries.counts[rows]
            at = version.take(seen.take(mine))
            inside = at >= np.repeat(lists.text_shown[some], counts)
            inside &= at < np.repeat(lists.text_gone[some], counts)
            as_text[mine] |= inside
    return as_text
