"""The contents of the list over its versions: from when to when each text was in it, and each chat's count.

Versions are differences, so a chat's texts form a queue: some leave at its head, new ones come at its end. Everything
here follows from where head and end of that queue are after each row:

    texts   a b c d e f g h         row r shows the texts [head[r], after[r])
    row 3       └───┘               its last text has position total[r] in the chat, as the target counts
    row 4         └─────┘
"""

from dataclasses import dataclass

import numpy as np

from .arrays import Bools, Ints, ints, key_of, starts_of
from .messages import Copies, SentMessages, is_damage
from .observations import Observations


@dataclass(frozen=True, slots=True)
class ListContents:
    """Rows and texts by chat, then process, then version. Versions have common numbers over all processes."""

    versions: int
    # A row: in this version, and until the chat's next row in the same process, the chat looks like this.
    chat: Ints
    version: Ints
    until: Ints  # the version at which the next row takes over
    total: Ints  # -1: the chat is not in the list
    head: Ints
    after: Ints
    # A text: in the list in the versions [shown, gone).
    text_row: Ints  # the row that brought it
    text_end: Ints  # the row after the last one that shows it
    text_key: Ints
    text_message: Ints
    text_condition: Ints
    text_shown: Ints
    text_gone: Ints
    text_position: Ints  # in the chat's final read; -1: not there, or without an identity of this run
    # What a row's texts are in the final read.
    lowest: Ints  # position; -1: it shows none that is there
    highest: Ints
    unbroken: Bools  # those that are there follow each other without a gap
    believed: Ints  # its count, as far as its own texts bear it out
    chat_rows: Ints  # where each chat's rows begin

    @property
    def text_chat(self) -> Ints:
        return self.chat[self.text_row]

    def chats_listed(self) -> Ints:
        """Per version: how many chats are in the list."""
        listed = self.total >= 0
        come = np.bincount(self.version[listed], minlength=self.versions + 1)
        gone = np.bincount(self.until[listed], minlength=self.versions + 1)
        return ints(np.cumsum(come - gone)[:-1])

    def over_versions(self, chat: int, of_row: Ints | Bools) -> Ints:
        """A value of the chat's rows as a value of all versions; -1 before the first row."""
        rows = slice(self.chat_rows[chat], self.chat_rows[chat + 1])
        out = np.full(self.versions, -1, np.int64)
        spans = self.until[rows] - self.version[rows]
        starts = np.repeat(self.version[rows], spans)
        within = np.arange(len(starts)) - np.repeat(np.cumsum(spans) - spans, spans)
        out[starts + within] = np.repeat(of_row[rows], spans)
        return out


def lists_of(evidence: Observations, messages: SentMessages, copies: Copies) -> ListContents:
    """The list's contents, by chat."""
    versions = evidence.versions
    text_of_row = np.repeat(np.arange(len(versions.chat)), versions.added)
    known = versions.chat >= 0
    order = np.flatnonzero(known)[np.argsort(versions.chat[known], kind="stable")]
    text_order = np.flatnonzero(known[text_of_row])
    text_order = text_order[np.argsort(versions.chat[text_of_row[text_order]], kind="stable")]

    chat, process, version = versions.chat[order], versions.process[order], versions.version[order]
    total, dropped, added = versions.total[order], versions.dropped[order], versions.added[order]
    rows = len(order)
    new_group = np.ones(rows, bool)
    new_group[1:] = (chat[1:] != chat[:-1]) | (process[1:] != process[:-1])
    until = np.empty(rows, np.int64)
    until[:-1] = version[1:]
    ends = np.flatnonzero(np.append(new_group[1:], True)) if rows else ints([])
    until[ends] = versions.start[process[ends] + 1]

    after = np.cumsum(added)
    # A chat that left the list took all its texts along, whatever the row says was dropped: the queue starts anew.
    new_queue = new_group.copy()
    new_queue[1:] |= total[:-1] < 0
    starts = np.flatnonzero(new_queue)
    queue = np.cumsum(new_queue) - 1
    dropped_before = np.cumsum(dropped) - dropped
    base = (after - added)[starts]
    head = base[queue] + np.cumsum(dropped) - dropped_before[starts][queue]
    head = np.where(total < 0, after, np.minimum(head, after))

    text_row = np.repeat(np.arange(rows), added)
    group = np.cumsum(new_group) - 1
    gone_row = np.searchsorted(head, np.arange(len(text_row)), side="right")
    group_end = np.append(np.flatnonzero(new_group)[1:], rows) if rows else ints([])
    text_end = np.minimum(gone_row, group_end[group[text_row]]) if len(text_row) else ints([])
    key = key_of(versions.text_widget, versions.text_n)[text_order]
    condition = versions.text_condition[text_order]
    position = _positions(chat[text_row], key, condition, copies)
    lowest, highest, unbroken = _shown(head, after, position)
    return ListContents(
        versions=int(versions.start[-1]),
        chat=chat,
        version=version,
        until=until,
        total=total,
        head=head,
        after=after,
        text_row=text_row,
        text_end=ints(text_end),
        text_key=key,
        text_message=messages.find(key),
        text_condition=condition,
        text_shown=version[text_row],
        text_gone=until[text_end - 1] if len(text_row) else ints([]),
        text_position=position,
        lowest=lowest,
        highest=highest,
        unbroken=unbroken,
        believed=_believed(evidence, chat, total, highest),
        chat_rows=starts_of(chat, len(evidence.chat_ids)),
    )


def ahead_of_count(lists: ListContents, place_chat: Ints, place: Ints) -> Bools:
    """Per message: whether some read showed its text although the count alone would not have shown it."""
    out = np.zeros(len(place), bool)
    texts = np.flatnonzero((lists.text_message >= 0) & (lists.text_end > lists.text_row))
    if not len(texts):
        return out
    message = lists.text_message[texts]
    edges = np.stack([lists.text_row[texts], lists.text_end[texts]], axis=1).ravel()
    least = np.minimum.reduceat(np.append(lists.believed, 0), edges)[::2]
    ahead = (place[message] < 0) | (place_chat[message] != lists.text_chat[texts]) | (least < place[message])
    out[message[ahead]] = True
    return out


def _positions(chat: Ints, key: Ints, condition: Ints, copies: Copies) -> Ints:
    """Each text's position in its chat's final read, at its first copy that is intact as well, or damaged; -1: none."""
    out = np.full(len(key), -1, np.int64)
    owned = np.flatnonzero(copies.key >= 0)
    if not len(owned) or not len(out):
        return out
    # Chat, identity and whether it is intact as one number.
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
    """Per row: the lowest and the highest final position shown (-1: none), and whether they follow without a gap."""
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
    # Of the texts that are there: up to each, how many did not follow the one before.
    known = np.flatnonzero(position >= 0)
    jumps = np.concatenate([[0, 0], np.cumsum(np.diff(position[known]) != 1)])
    first, last = np.searchsorted(known, head), np.searchsorted(known, after)
    some = last > first
    unbroken[some] = jumps[last[some]] == jumps[first[some] + 1]
    return lowest, highest, unbroken


def _believed(evidence: Observations, chat: Ints, total: Ints, highest: Ints) -> Ints:
    """Each row's count, or 0 where the row itself shows a text from further on than it has counted.

    Such a list lacks messages before that text, and nobody knows which: its count proves nothing. A target that loses
    counts does so in the final read, too; that many are forgiven.
    """
    finals = evidence.finals
    texts = np.bincount(finals.chat, minlength=len(evidence.chat_ids))
    forgiven = np.maximum(0, np.where(finals.total >= 0, texts - finals.total, 0))
    return np.where((total >= 0) & (highest > total + forgiven[chat]), 0, total)
