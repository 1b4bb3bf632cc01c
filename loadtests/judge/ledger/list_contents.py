"""The contents of the list in each version: which texts it showed, and how many messages each chat had.

Versions are differences, so a chat's texts form a queue: texts leave at its head and join at its tail. Everything here
follows from where the head and the tail of that queue are after each row:

    texts   a b c d e f g h         row r shows the texts [head[r], after[r])
    row 3       └───┘               its last text has position total[r] in the chat, by the target's count
    row 4         └─────┘
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .arrays import Bools, Indexes, Ints, ints, key_of, starts_of
from .messages import Copies, Locations, SentMessages, is_damage
from .observations import Observations


@dataclass(frozen=True, slots=True)
class ListContents:
    """Rows and texts by chat, then process, then version. Versions are numbered across all processes."""

    versions: int
    # A row: how the chat looks from this version until its next row in the same process.
    chat: Ints
    version: Ints
    until: Ints  # the version at which the next row takes over
    total: Ints  # -1: the chat is not in the list
    head: Ints
    after: Ints
    # A text: in the list in the versions [shown, gone).
    text_row: Ints  # the row that added it
    text_end: Ints  # the row after the last one that shows it
    text_key: Ints
    text_message: Ints
    text_condition: Ints
    text_shown: Ints
    text_gone: Ints
    text_position: Ints  # in the chat's final read; -1: not there, or without an identity of this run
    # Where a row's texts are in the final read.
    lowest: Ints  # position; -1: it shows no text that is in the final read
    highest: Ints
    unbroken: Bools  # those in the final read follow each other without a gap
    believed: Ints  # its count, unless its own texts contradict it
    chat_rows: Ints  # where each chat's rows start

    @property
    def text_chat(self) -> Ints:
        return self.chat[self.text_row]

    def chats_listed(self) -> Ints:
        """Per version: how many chats are in the list."""
        listed = self.total >= 0
        added = np.bincount(self.version[listed], minlength=self.versions + 1)
        removed = np.bincount(self.until[listed], minlength=self.versions + 1)
        return ints(np.cumsum(added - removed)[:-1])

    def over_versions(self, chat: int, of_row: Indexes | Bools) -> Indexes:
        """Spreads a value per row of the chat over all versions; -1 before its first row."""
        rows = slice(self.chat_rows[chat], self.chat_rows[chat + 1])
        out = np.full(self.versions, -1, np.result_type(of_row, np.int8))
        spans = self.until[rows] - self.version[rows]
        starts = np.repeat(self.version[rows], spans)
        within = np.arange(len(starts)) - np.repeat(np.cumsum(spans) - spans, spans)
        out[starts + within] = np.repeat(of_row[rows], spans)
        return out

    def at_versions(self, chat: int, of_row: Ints | Bools, versions: Ints) -> Ints:
        """The same, only for these versions."""
        rows = slice(self.chat_rows[chat], self.chat_rows[chat + 1])
        at = np.searchsorted(self.version[rows], versions, side="right") - 1
        if not len(of_row[rows]):
            return np.full(len(versions), -1, np.int64)
        return np.where((at >= 0) & (versions < self.until[rows][at]), of_row[rows][at], -1)


class _Queue(NamedTuple):
    """Where each chat's queue of texts stands after each row."""

    head: Ints
    after: Ints
    new_group: Bools  # rows at which another chat or process starts


def list_contents_of(observations: Observations, messages: SentMessages, copies: Copies) -> ListContents:
    """The list's contents, by chat."""
    versions = observations.versions
    known = versions.chat >= 0
    order = np.flatnonzero(known)[np.argsort(versions.chat[known], kind="stable")]
    chat, process, version = versions.chat[order], versions.process[order], versions.version[order]
    total, added = versions.total[order], versions.added[order]

    queue = _queue(chat, process, total, versions.dropped[order], added)
    until = _until(version, versions.start[process + 1], queue.new_group)
    text_order = _text_order(observations, known)
    text_row = np.repeat(np.arange(len(order)), added)
    text_end = _text_end(queue, text_row)
    key = key_of(versions.text_widget, versions.text_n)[text_order]
    condition = versions.text_condition[text_order]
    position = _positions(chat[text_row], key, condition, copies)
    lowest, highest, unbroken = _shown(queue.head, queue.after, position)
    return ListContents(
        versions=int(versions.start[-1]),
        chat=chat,
        version=version,
        until=until,
        total=total,
        head=queue.head,
        after=queue.after,
        text_row=text_row,
        text_end=text_end,
        text_key=key,
        text_message=messages.find(key),
        text_condition=condition,
        text_shown=version[text_row],
        text_gone=until[text_end - 1] if len(text_row) else ints([]),
        text_position=position,
        lowest=lowest,
        highest=highest,
        unbroken=unbroken,
        believed=_believed(observations, chat, total, highest),
        chat_rows=starts_of(chat, len(observations.chat_ids)),
    )


def _text_order(observations: Observations, known: Bools) -> Ints:
    """The texts of the `known` rows, by chat and otherwise in their recorded order."""
    versions = observations.versions
    row_of_text = np.repeat(np.arange(len(versions.chat)), versions.added)
    texts = np.flatnonzero(known[row_of_text])
    return texts[np.argsort(versions.chat[row_of_text[texts]], kind="stable")]


def _queue(chat: Ints, process: Ints, total: Ints, dropped: Ints, added: Ints) -> _Queue:
    new_group = np.ones(len(chat), bool)
    new_group[1:] = (chat[1:] != chat[:-1]) | (process[1:] != process[:-1])
    after = np.cumsum(added)
    # A chat that leaves the list takes all its texts with it, whatever its row dropped: a new queue starts.
    new_queue = new_group.copy()
    new_queue[1:] |= total[:-1] < 0
    starts = np.flatnonzero(new_queue)
    queue = np.cumsum(new_queue) - 1
    dropped_before = np.cumsum(dropped) - dropped
    base = (after - added)[starts]
    head = base[queue] + np.cumsum(dropped) - dropped_before[starts][queue]
    return _Queue(np.where(total < 0, after, np.minimum(head, after)), after, new_group)


def _until(version: Ints, last_of_process: Ints, new_group: Bools) -> Ints:
    """Per row: the version at which the chat's next row in the same process takes over."""
    rows = len(version)
    until = np.empty(rows, np.int64)
    until[:-1] = version[1:]
    ends = np.flatnonzero(np.append(new_group[1:], True)) if rows else ints([])
    until[ends] = last_of_process[ends]
    return until


def _text_end(queue: _Queue, text_row: Ints) -> Ints:
    """Per text: the row after the last one that shows it."""
    if not len(text_row):
        return ints([])
    group = np.cumsum(queue.new_group) - 1
    group_end = np.append(np.flatnonzero(queue.new_group)[1:], len(queue.head))
    dropped_by = np.searchsorted(queue.head, np.arange(len(text_row)), side="right")
    return ints(np.minimum(dropped_by, group_end[group[text_row]]))


def ahead_of_count(lists: ListContents, stored: Locations) -> Bools:
    """Per message: whether some version showed its text although its count alone would not have."""
    out = np.zeros(len(stored.chat), bool)
    texts = np.flatnonzero((lists.text_message >= 0) & (lists.text_end > lists.text_row))
    if not len(texts):
        return out
    message = lists.text_message[texts]
    edges = np.stack([lists.text_row[texts], lists.text_end[texts]], axis=1).ravel()
    least = np.minimum.reduceat(np.append(lists.believed, 0), edges)[::2]
    position = stored.position[message]
    ahead = (position < 0) | (stored.chat[message] != lists.text_chat[texts]) | (least < position)
    out[message[ahead]] = True
    return out


def _positions(chat: Ints, key: Ints, condition: Ints, copies: Copies) -> Ints:
    """Each text's position in its chat's final read: its first copy that is likewise intact, or damaged; -1: none."""
    out = np.full(len(key), -1, np.int64)
    owned = np.flatnonzero(copies.key >= 0)
    if not len(owned) or not len(out):
        return out
    # Chat, identity and whether it is damaged, combined into one integer.
    names, name = np.unique(np.concatenate([copies.key[owned], key]), return_inverse=True)
    name = 2 * name + is_damage(np.concatenate([copies.condition[owned], condition]))
    stored = copies.chat[owned] * 2 * len(names) + name[: len(owned)]
    unique, first = np.unique(stored, return_index=True)
    wanted = chat * 2 * len(names) + name[len(owned) :]
    at = np.minimum(np.searchsorted(unique, wanted), len(unique) - 1)
    hit = (unique[at] == wanted) & (key >= 0)
    out[hit] = copies.position[owned[first[at[hit]]]]
    return out


def _shown(head: Ints, after: Ints, position: Ints) -> tuple[Ints, Ints, Bools]:
    """Per row: the lowest and highest final position shown (-1: none), and whether there is no gap between them."""
    lowest, highest = np.full(len(head), -1, np.int64), np.full(len(head), -1, np.int64)
    unbroken = np.ones(len(head), bool)
    filled = np.flatnonzero(after > head)
    if not len(filled):
        return lowest, highest, unbroken
    edges = np.stack([head[filled], after[filled]], axis=1).ravel()
    far = np.iinfo(np.int64).max
    highest[filled] = np.maximum.reduceat(np.append(position, -1), edges)[::2]
    least = np.minimum.reduceat(np.append(np.where(position < 0, far, position), far), edges)[::2]
    lowest[filled] = np.where(highest[filled] < 0, -1, least)
    # Running count, over the texts in the final read, of those that do not follow the one before.
    known = np.flatnonzero(position >= 0)
    jumps = np.concatenate([[0, 0], np.cumsum(np.diff(position[known]) != 1)])
    first, last = np.searchsorted(known, head), np.searchsorted(known, after)
    some = last > first
    unbroken[some] = jumps[last[some]] == jumps[first[some] + 1]
    return lowest, highest, unbroken


def _believed(observations: Observations, chat: Ints, total: Ints, highest: Ints) -> Ints:
    """Each row's count, or 0 if the row shows a text at a higher position than its count.

    Such a list lacks unknown messages before that text, so its count proves nothing. If the target also undercounts in
    the final read, a discrepancy of the same size is tolerated.
    """
    finals = observations.finals
    texts = np.bincount(finals.chat, minlength=len(observations.chat_ids))
    tolerated = np.maximum(0, np.where(finals.total >= 0, texts - finals.total, 0))
    return np.where((total >= 0) & (highest > total + tolerated[chat]), 0, total)
