"""When each message became visible on each dashboard: the end of the first refetch that shows it, as count or text."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .arrays import Bools, Floats, Ints, starts_of
from .list_contents import ListContents, ahead_of_count
from .messages import Copies, SentMessages
from .observations import Observations

Indexes = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Reads:
    """The refetches that brought a list, by dashboard and then by when they were done."""

    dashboard: Ints
    process: Ints
    started: Floats
    done: Floats
    version: Ints
    first: Ints  # where each dashboard's begin

    def __len__(self) -> int:
        return len(self.dashboard)


@dataclass(frozen=True, slots=True)
class Visibility:
    """Messages × dashboards."""

    read: Indexes  # the first of Reads that shows the message; -1: none
    as_text: Bools  # that read held the text itself, not only a count

    def visible(self, reads: Reads) -> Floats:
        """When; infinite for never."""
        done = np.append(reads.done, np.inf)
        return done[self.read]


def reads_of(evidence: Observations, dashboards: int) -> Reads:
    """The refetches of the scenario's dashboards that brought a list."""
    refetches = evidence.refetches
    good = refetches.showed & (refetches.dashboard >= 0) & (refetches.dashboard < dashboards)
    kept = np.flatnonzero(good)
    kept = kept[np.lexsort((refetches.done[kept], refetches.dashboard[kept]))]
    dashboard = refetches.dashboard[kept]
    return Reads(
        dashboard,
        refetches.process[kept],
        refetches.started[kept],
        refetches.done[kept],
        refetches.version[kept],
        starts_of(dashboard, dashboards),
    )


def sight_of(messages: SentMessages, copies: Copies, lists: ListContents, reads: Reads) -> Visibility:
    """First by count, in one search for each chat; then by text where a text was ahead of its chat's count; and again
    where a count that once was too high would have shown a message before it was sent.
    """
    dashboards = len(reads.first) - 1
    seen = np.full((len(messages), dashboards), -1, np.int32)
    place_chat, place = copies.place()
    _by_count(seen, place_chat, place, lists, reads)
    _by_text(seen, np.flatnonzero(ahead_of_count(lists, place_chat, place)), lists, reads)
    _not_before_sent(seen, messages, place_chat, place, lists, reads)
    return Visibility(seen, _as_text(seen, lists, reads))


def _by_count(seen: Indexes, place_chat: Ints, place: Ints, lists: ListContents, reads: Reads) -> None:
    if not len(reads):
        return
    ends = reads.first[1:]
    order = np.lexsort((place, place_chat))
    edges = starts_of(place_chat[order], len(lists.chat_rows) - 1)
    for chat in np.flatnonzero(np.diff(edges)).tolist():
        rows = order[edges[chat] : edges[chat + 1]]
        shown = lists.over_versions(chat, lists.believed)[reads.version]
        # The running maximum of each dashboard, in one go: each dashboard's counts are lifted above the one's before.
        lift = max(int(shown.max()), int(place[rows].max())) + 2
        most = np.maximum.accumulate(shown + reads.dashboard * lift)
        wanted = np.arange(len(ends))[:, None] * lift + place[rows]
        at = np.searchsorted(most, wanted.ravel()).reshape(wanted.shape)
        seen[rows] = np.where(at < ends[:, None], at, -1).T


def _by_text(seen: Indexes, affected: Ints, lists: ListContents, reads: Reads) -> None:
    """The slow path, exact for any list: the first read of each dashboard whose version holds the text."""
    if not len(affected) or not len(reads):
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
        first = np.where(seen[message] < 0, never, seen[message])
        np.minimum.at(first, reads.dashboard[found], found.astype(np.int32))
        seen[message] = np.where(first == never, -1, first)


def _not_before_sent(
    seen: Indexes, messages: SentMessages, place_chat: Ints, place: Ints, lists: ListContents, reads: Reads
) -> None:
    """Looks on after the sending for messages that an earlier read seems to show: its count had some too many.

    So it is where a message vanished or stood in another chat, and those after it moved up in the final read.
    """
    early = np.append(reads.done, np.inf)[seen] < messages.sent[:, None]
    rows = np.flatnonzero(early.any(axis=1))
    if not len(rows):
        return
    dashboards = np.arange(seen.shape[1])
    since = np.empty((len(rows), len(dashboards)), np.int64)
    for dashboard in dashboards.tolist():
        first, last = reads.first[dashboard], reads.first[dashboard + 1]
        since[:, dashboard] = first + np.searchsorted(reads.done[first:last], messages.sent[rows])
    texts = np.flatnonzero(np.isin(lists.text_message, rows))
    counts: dict[int, Ints] = {}
    for at, row in enumerate(rows.tolist()):
        shows = np.zeros(len(reads), bool)
        if (chat := int(place_chat[row])) >= 0:
            if chat not in counts:
                counts[chat] = lists.over_versions(chat, lists.believed)[reads.version]
            shows |= counts[chat] >= place[row]
        for text in texts[lists.text_message[texts] == row].tolist():
            shows |= (reads.version >= lists.text_shown[text]) & (reads.version < lists.text_gone[text])
        hits = np.append(np.flatnonzero(shows), len(reads))
        found = hits[np.searchsorted(hits, since[at])]
        seen[row] = np.where(early[row], np.where(found < reads.first[1:], found, -1), seen[row])


def _as_text(seen: Indexes, lists: ListContents, reads: Reads) -> Bools:
    as_text = np.zeros(seen.shape, bool)
    if not len(reads):
        return as_text
    texts = np.flatnonzero((lists.text_message >= 0) & (lists.text_gone > lists.text_shown))
    texts = texts[np.argsort(lists.text_message[texts], kind="stable")]
    message = lists.text_message[texts]
    # A message's spans in the list one after the other: most have one in each process.
    nth = np.arange(len(texts)) - np.searchsorted(message, message)
    version = np.append(reads.version, -1).astype(np.int32)
    for turn in range(int(nth.max(initial=-1)) + 1):
        chosen = texts[nth == turn]
        rows = lists.text_message[chosen]
        at = version[seen[rows]]
        inside = (at >= lists.text_shown[chosen, None]) & (at < lists.text_gone[chosen, None])
        as_text[rows] |= inside
    return as_text
