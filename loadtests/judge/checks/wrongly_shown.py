"""What was shown wrongly, in the final read or in any list: `corrupted`, `misplaced`, `duplicated`, `phantom`."""

from collections.abc import Callable

import numpy as np

from chatswarm.loadtests.history.tables import SendOutcome
from chatswarm.loadtests.judge.ledger.arrays import Bools, Ints
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.judge.ledger.messages import Explanation, home_chats, is_damage
from chatswarm.loadtests.judge.verdict import Example
from chatswarm.loadtests.messages.damage import WORDS
from chatswarm.loadtests.messages.identity import Condition

from .check import WORST, Found, about


def shown_elsewhere(ledger: Ledger) -> Bools:
    """Per message: whether some list showed it in a chat that is not its own."""
    out = np.zeros(len(ledger.messages), bool)
    message = ledger.lists.text_message
    out[message[_listed_elsewhere(ledger) & (message >= 0)]] = True
    return out


def corrupted(ledger: Ledger) -> Found:
    """Shown with a text other than the one sent; each message once."""
    lists, copies = ledger.lists, ledger.copies
    stored = copies.explanation == Explanation.CORRUPTED
    listed = is_damage(lists.text_condition)
    return _identities(
        ledger,
        [*_by_damage(copies.key[stored], copies.chat[stored], copies.condition[stored], "stored damaged"),
         *_by_damage(lists.text_key[listed], lists.text_chat[listed], lists.text_condition[listed],
                     "shown damaged in a list")],
        per_chat=False,
    )  # fmt: skip


def _by_damage(keys: Ints, chats: Ints, conditions: Ints, what: str) -> list[tuple[Ints, Ints, str]]:
    """The same identities by what became of them, each with its words."""
    parts = []
    for condition in np.unique(conditions).tolist():
        mine = conditions == condition
        words = WORDS.get(condition)
        parts.append((keys[mine], chats[mine], f"{what}: {words}" if words else what))
    return parts


def misplaced(ledger: Ledger) -> Found:
    """Shown in another chat; each message once for each such chat."""
    lists, copies = ledger.lists, ledger.copies
    stored = copies.explanation == Explanation.MISPLACED
    listed = _listed_elsewhere(ledger)
    return _identities(
        ledger,
        [(copies.key[stored], copies.chat[stored], "stored in another chat"),
         (lists.text_key[listed], lists.text_chat[listed], "shown in another chat by a list")],
        per_chat=True,
    )  # fmt: skip


def phantom(ledger: Ledger) -> Found:
    """Shown or announced, but rejected or never sent. That nobody sent it is only known if every history is whole."""
    lists, copies, messages = ledger.lists, ledger.copies, ledger.messages
    complete = ledger.evidence.complete
    stored = (copies.explanation == Explanation.PHANTOM) & (copies.key >= 0) & ((copies.message >= 0) | complete)
    intact = lists.text_condition == Condition.INTACT
    if len(messages):
        rejected = messages.outcome[lists.text_message] == SendOutcome.REJECTED
    else:
        rejected = np.zeros(len(intact), bool)
    listed = intact & np.where(lists.text_message >= 0, rejected, complete) & ~_listed_elsewhere(ledger)
    found = _identities(
        ledger,
        [
            (copies.key[stored], copies.chat[stored], "stored"),
            (lists.text_key[listed], lists.text_chat[listed], "shown"),
        ],
        per_chat=False,
        why=lambda message: "although it was rejected" if message >= 0 else "although nobody sent it",
    )
    foreign = _foreign(ledger)
    examples = [
        Example(chat=ledger.chat(chat), detail=f"{count} texts that nobody sent") for chat, count in foreign.items()
    ]
    unknown = ledger.announced.unknown
    examples += [
        Example(chat=ledger.chat(chat), detail=f"announced with the id {number}, which nothing sent or stored has")
        for chat, number in unknown
    ]
    count = (found.count or 0) + sum(foreign.values()) + len(unknown)
    return Found(count, [*found.examples, *examples][:WORST], found.begun, found.over)


def duplicated(ledger: Ledger) -> Found:
    """A text more than once in one read, or a message announced more than once on one connection."""
    copies = ledger.copies
    twice = copies.explanation == Explanation.DUPLICATED
    extra: dict[int, int] = {}
    for key in copies.key[twice].tolist():
        extra[key] = extra.get(key, 0) + 1
    for key, count in _repeated_in_lists(ledger).items():
        extra[key] = max(extra.get(key, 0), count)
    examples: list[Example] = []
    for key, count in sorted(extra.items(), key=lambda pair: -pair[1])[:WORST]:
        examples.append(_identity(ledger, key, -1, f"{count + 1} times in one read"))
    for message, connection, count in sorted(ledger.announced.twice, key=lambda found: -found[2])[:WORST]:
        dashboard = int(ledger.evidence.connections.dashboard[connection])
        if message >= 0:
            examples.append(ledger.example(message, dashboard, f"announced {count + 1} times on one connection"))
        else:
            examples.append(
                Example(dashboard=dashboard, detail=f"{count} more frames on one connection than sends begun")
            )
    often = [(int(ledger.messages.find(np.array([key]))[0]), count) for key, count in extra.items()]
    often += [(message, count) for message, _, count in ledger.announced.twice]
    rows = [message for message, count in often if message >= 0 for _ in range(count)]
    return about(ledger, rows, examples[:WORST], sum(count for message, count in often if message < 0))


def _repeated_in_lists(ledger: Ledger) -> dict[int, int]:
    """By identity: how many times too many its own chat showed it in one and the same list."""
    lists = ledger.lists
    chosen = np.flatnonzero((lists.text_condition == Condition.INTACT) & (lists.text_end > lists.text_row))
    chosen = chosen[~_listed_elsewhere(ledger)[chosen]]
    order = np.lexsort((lists.text_row[chosen], lists.text_chat[chosen], lists.text_key[chosen]))
    chosen = chosen[order]
    key, chat = lists.text_key[chosen], lists.text_chat[chosen]
    # Two spans of one text overlap somewhere only if one begins before another one before it ended.
    again = (key[1:] == key[:-1]) & (chat[1:] == chat[:-1]) & (lists.text_row[chosen[1:]] < lists.text_end[chosen[:-1]])
    out: dict[int, int] = {}
    for suspect in np.unique(key[1:][again]).tolist():
        mine = chosen[key == suspect]
        edges = [(int(row), 1) for row in lists.text_row[mine]] + [(int(row), -1) for row in lists.text_end[mine]]
        most = level = 0
        for _, step in sorted(edges):
            level += step
            most = max(most, level)
        if most > 1:
            out[suspect] = most - 1
    return out


def _foreign(ledger: Ledger) -> dict[int, int]:
    """Per chat of this run: how many customers' texts without an identity it stored, or showed at once."""
    copies, lists = ledger.copies, ledger.lists
    stored = (copies.explanation == Explanation.PHANTOM) & (copies.key < 0)
    out = {int(chat): int((copies.chat[stored] == chat).sum()) for chat in np.unique(copies.chat[stored])}
    ours = ledger.evidence.chat_widget >= 0
    listed = np.flatnonzero((lists.text_condition == Condition.FOREIGN) & (lists.text_end > lists.text_row))
    listed = listed[ours[lists.text_chat[listed]]]
    for chat in np.unique(lists.text_chat[listed]).tolist():
        mine = listed[lists.text_chat[listed] == chat]
        edges = sorted(
            [(int(row), 1) for row in lists.text_row[mine]] + [(int(row), -1) for row in lists.text_end[mine]]
        )
        most = level = 0
        for _, step in edges:
            level += step
            most = max(most, level)
        out[chat] = max(out.get(chat, 0), most)
    return out


def _listed_elsewhere(ledger: Ledger) -> Bools:
    """Per listed text: intact, and not in the chat where it belongs."""
    lists = ledger.lists
    home = home_chats(ledger.evidence, ledger.messages, lists.text_key, lists.text_message)
    return np.asarray((lists.text_condition == Condition.INTACT) & (home >= 0) & (home != lists.text_chat))


def _identities(
    ledger: Ledger,
    parts: list[tuple[Ints, Ints, str]],
    *,
    per_chat: bool,
    why: Callable[[int], str] | None = None,
) -> Found:
    seen: dict[tuple[int, int], str] = {}
    for keys, chats, detail in parts:
        for key, chat in np.unique(np.stack([keys, chats]), axis=1).T.tolist():
            seen.setdefault((key, chat if per_chat else -1), f"{detail}:{chat}")
    examples = []
    for (key, _), found in _in_turn(list(seen.items()))[:WORST]:
        detail, _, chat = found.rpartition(":")
        text = f"{detail}: {ledger.chat(int(chat))}" if per_chat else detail
        if why is not None:
            text = f"{text}, {why(int(ledger.messages.find(np.array([key]))[0]))}"
        examples.append(_identity(ledger, key, int(chat), text))
    rows = ledger.messages.find(np.array([key for key, _ in seen], np.int64))
    return about(ledger, rows[rows >= 0], examples, int((rows < 0).sum()))


def _in_turn(seen: list[tuple[tuple[int, int], str]]) -> list[tuple[tuple[int, int], str]]:
    """One of each detail first, so that a frequent one hides no rare one."""
    rounds: dict[str, int] = {}
    turns = []
    for _, found in seen:
        detail = found.rpartition(":")[0]
        turns.append(rounds.get(detail, 0))
        rounds[detail] = turns[-1] + 1
    return [pair for _, pair in sorted(zip(turns, seen, strict=True), key=lambda both: both[0])]


def _identity(ledger: Ledger, key: int, chat: int, detail: str) -> Example:
    message = int(ledger.messages.find(np.array([key]))[0])
    if message >= 0:
        return ledger.example(message, detail=detail)
    return Example(uid=ledger.identity(key), chat=ledger.chat(chat), detail=detail)
