"""When each message became visible on each dashboard: the end of the first refetch that shows it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .arrays import Bools, Floats, Ints, starts_of
from .list_contents import ListContents, ahead_of_count
from .messages import Copies, Locations, SentMessages
from .observations import Observations

Indexes = npt.NDArray[np.int32]


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
    """Messages × dashboards."""

    read: Indexes  # the first of Reads that shows the message; -1: none
    as_text: Bools  # that read contains the text itself, not only a sufficient count

    def visible(self, reads: Reads) -> Floats:
        """When; infinite for never."""
        done = np.append(reads.done, np.inf)
        return done[self.read]


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


def visibility_of(messages: SentMessages, copies: Copies, lists: ListContents, reads: Reads) -> Visibility:
    """Finds the first read that shows each message.

    First by count, with one search per chat; then by text, where a text was ahead of its chat's count. Last, corrects
    messages that a temporarily inflated count would have shown before they were sent.
    """
    dashboards = len(reads.first) - 1
    seen = np.full((len(messages), dashboards), -1, np.int32)
    stored = copies.locations()
    _by_count(seen, stored, lists, reads)
    _by_text(seen, np.flatnonzero(ahead_of_count(lists, stored)), lists, reads)
    _not_before_sent(seen, messages, stored, lists, reads)
    return Visibility(seen, _as_text(seen, lists, reads))


def _by_count(seen: Indexes, stored: Locations, lists: ListContents, reads: Reads) -> None:
    if not len(reads):
        return
    position = stored.position
    ends = reads.first[1:]
    order = np.lexsort((position, stored.chat))
    edges = starts_of(stored.chat[order], len(lists.chat_rows) - 1)
    for chat in np.flatnonzero(np.diff(edges)).tolist():
        rows = order[edges[chat] : edges[chat + 1]]
        shown = lists.over_versions(chat, lists.believed)[reads.version]
        # One running maximum for all dashboards: each dashboard's counts are offset above those of the one before.
        offset = max(int(shown.max()), int(position[rows].max())) + 2
        most = np.maximum.accumulate(shown + reads.dashboard * offset)
        wanted = np.arange(len(ends))[:, None] * offset + position[rows]
        at = np.searchsorted(most, wanted.ravel()).reshape(wanted.shape)
        seen[rows] = np.where(at < ends[:, None], at, -1).T


def _by_text(seen: Indexes, affected: Ints, lists: ListContents, reads: Reads) -> None:
    """The slow path, exact for any list: each dashboard's first read whose version contains the text."""
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
    seen: Indexes, messages: SentMessages, stored: Locations, lists: ListContents, reads: Reads
) -> None:
    """Searches again, from the send on, for messages that an earlier read seems to show because its count was too high.

    This happens if a message vanished or was in another chat, so that later ones moved up in the final read.
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
        if (chat := int(stored.chat[row])) >= 0:
            if chat not in counts:
                counts[chat] = lists.over_versions(chat, lists.believed)[reads.version]
            shows |= counts[chat] >= stored.position[row]
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
    # A message's spans in the list, one after another: most messages have one per process.
    nth = np.arange(len(texts)) - np.searchsorted(message, message)
    version = np.append(reads.version, -1).astype(np.int32)
    for turn in range(int(nth.max(initial=-1)) + 1):
        chosen = texts[nth == turn]
        rows = lists.text_message[chosen]
        at = version[seen[rows]]
        inside = (at >= lists.text_shown[chosen, None]) & (at < lists.text_gone[chosen, None])
        as_text[rows] |= inside
    return as_text
