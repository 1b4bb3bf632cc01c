"""`reordered`: messages stored or announced in another order than sent, or listed in another order than stored."""

import numpy as np

from chatswarm.loadtests.history.tables import Sighting
from chatswarm.loadtests.judge.ledger.arrays import Floats, Ints, ints, placed
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.judge.ledger.messages import Explanation

from .check import WORST, CaseKind, CheckResult, result_for_messages


def reordered(ledger: Ledger) -> CheckResult:
    """Each message that is on the wrong side of another, once."""
    places = {
        "stored_out_of_order": _in_store(ledger),
        "listed_out_of_order": _in_lists(ledger),
        "announced_out_of_order": _in_frames(ledger),
    }
    rows: dict[int, str] = {}
    kinds: dict[int, CaseKind] = {}
    for cause, found in places.items():
        rows |= found
        # What is stored out of order is listed and announced so as well.
        kinds = {row: kinds.get(row, CaseKind(cause)) for row in rows}
    examples = [ledger.example(row, detail=text) for row, text in list(rows.items())[:WORST]]
    return result_for_messages(ledger, list(rows), examples, kinds=list(kinds.values()))


def _in_store(ledger: Ledger) -> dict[int, str]:
    """Messages stored before an earlier one of the same sender in their chat, accepted before they were sent."""
    messages, copies = ledger.messages, ledger.copies
    chat, position = copies.locations()
    right = np.zeros(len(messages), bool)
    placed = np.flatnonzero(copies.of_message >= 0)
    right[placed] = copies.explanation[copies.of_message[placed]] != Explanation.CORRUPTED
    right &= chat == messages.chat
    placed = np.flatnonzero(right)
    # In rooms, a sender may have several chats; between them there is no order.
    _, line = np.unique(np.stack([messages.widget, messages.chat])[:, placed], axis=1, return_inverse=True)
    placed, line = placed[np.argsort(line, kind="stable")], np.sort(line)
    out: dict[int, str] = {}
    for mine in np.split(placed, np.flatnonzero(np.diff(line)) + 1):
        answered = mine[messages.accepted[mine]]
        answered = answered[np.argsort(messages.done[answered], kind="stable")]
        if not len(answered):
            continue
        highest = np.maximum.accumulate(position[answered])
        before = np.searchsorted(messages.done[answered], messages.sent[mine])
        wrong = (before > 0) & (highest[before - 1] > position[mine])
        for row in mine[wrong].tolist():
            out[row] = f"stored at position {position[row]}, before an earlier message of its sender"
    return out


def _in_lists(ledger: Ledger) -> dict[int, str]:
    """Texts that a list showed after one that follows them in the final read."""
    lists = ledger.lists
    final = lists.text_position
    known = np.flatnonzero((final >= 0) & (lists.text_message >= 0) & (lists.text_end > lists.text_row))
    first, second = known[:-1], known[1:]
    together = (lists.text_chat[first] == lists.text_chat[second]) & (lists.text_end[first] > lists.text_row[second])
    # Copies of the same text are `duplicated`.
    wrong = together & (final[first] > final[second])
    return {
        int(lists.text_message[text]): "a list showed it after a message that follows it in the final read"
        for text in second[wrong]
    }


def _in_frames(ledger: Ledger) -> dict[int, str]:
    """Messages whose live frame came, on some connection, after that of a later one of the same sender in their chat.

    Later: it was sent when the other one had been accepted.
    """
    if ledger.sightings is None or not len(ledger.messages):
        return {}
    messages, texts, known = ledger.messages, ledger.sightings.texts, ledger.sightings.known
    live = texts.right & (texts.how == Sighting.LIVE)
    _, line = np.unique(np.stack([messages.widget, messages.chat]), axis=1, return_inverse=True)
    done = np.where(messages.accepted, messages.done, np.nan)
    here = live[ledger.sightings.known_announcement]
    # A frame is only late if it came after the first moment at which a later message of its line could have come.
    possible = messages.sent.copy()
    early = np.flatnonzero(here & (known.time < messages.sent[known.message]))
    np.minimum.at(possible, known.message[early], known.time[early])
    suspect = np.flatnonzero(here & (known.time >= _earliest_after(line, messages.sent, done, possible)[known.message]))
    if not len(suspect):
        return {}
    group = ints(known.connection) * (int(line.max()) + 1) + line[known.message]
    chosen = np.flatnonzero(here & np.isin(group, group[suspect]))
    # Each message once on each connection, when it first came.
    _, first = np.unique(np.stack([known.connection[chosen], known.message[chosen]]), axis=1, return_index=True)
    chosen = chosen[first]
    rows, group = ints(known.message[chosen]), group[chosen]
    # Frames that were read together have the same time: their order is that in which they were recorded.
    place = chosen.astype(np.float64)
    late = place > _earliest_after(group, messages.sent[rows], done[rows], place)
    return dict.fromkeys(np.unique(rows[late]).tolist(), "its frame came after that of a later message of its sender")


def _earliest_after(group: Ints, sent: Floats, done: Floats, time: Floats) -> Floats:
    """For each one: the least `time` of those in its group that were sent after it was `done`; infinite if none."""
    order = np.lexsort((sent, group))
    group_of, times = group[order], time[order]
    # One running minimum, from the back, for all groups, by offsets: ranks instead of times keep it exact.
    ranks = np.argsort(np.argsort(times, kind="stable"), kind="stable")
    _, number = np.unique(group_of, return_inverse=True)
    least = np.minimum.accumulate((number * len(times) + ranks)[::-1])[::-1]
    at = placed(group_of, sent[order], group, done, after=True)
    inside = np.append(group_of, -1)[at] == group
    rank = np.append(least, 0)[at] % max(1, len(times))
    return np.where(inside, np.append(np.sort(times), np.inf)[rank], np.inf)
