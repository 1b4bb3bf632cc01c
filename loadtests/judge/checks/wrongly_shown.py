"""Texts shown wrongly in the final read or in any list: `corrupted`, `misplaced`, `duplicated`, `phantom`."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from chatswarm.loadtests.history.tables import SendOutcome, Sighting
from chatswarm.loadtests.judge.ledger.announcements import RepeatedFrames
from chatswarm.loadtests.judge.ledger.arrays import Bools, Ints
from chatswarm.loadtests.judge.ledger.ledger import Ledger
from chatswarm.loadtests.judge.ledger.list_contents import ListContents
from chatswarm.loadtests.judge.ledger.messages import Explanation, home_chats, is_damage
from chatswarm.loadtests.judge.ledger.sightings import AnnouncedTexts
from chatswarm.loadtests.judge.verdict import Example
from chatswarm.loadtests.messages.damage import WORDS
from chatswarm.loadtests.messages.identity import Condition

from .check import WORST, CaseKind, CheckResult, result_for_messages

_INVENTED = CaseKind("never_sent")
_STORED, _LISTED = CaseKind("stored_twice"), CaseKind("listed_twice")


def _changed(words: str | None) -> CaseKind:
    return CaseKind("text_changed", words or "parts of the text were cut off or changed")


_CHANGED = _changed(None)


class _Sighting(NamedTuple):
    """One identity shown wrongly: in which chat, and how."""

    key: int
    chat: int
    detail: str
    kind: CaseKind


class _Group(NamedTuple):
    """Identities that were shown wrongly in the same way, and where."""

    keys: Ints
    chats: Ints
    detail: str
    kind: CaseKind


def shown_elsewhere(ledger: Ledger) -> Bools:
    """Per message: whether any list showed it in another chat than its own."""
    out = np.zeros(len(ledger.messages), bool)
    message = ledger.lists.text_message
    out[message[_listed_elsewhere(ledger) & (message >= 0)]] = True
    return out


def corrupted(ledger: Ledger) -> CheckResult:
    """Shown with a text other than the one sent; each message once."""
    lists, copies = ledger.lists, ledger.copies
    stored = copies.explanation == Explanation.CORRUPTED
    listed = is_damage(lists.text_condition)
    return _identities(
        ledger,
        [
            *_by_damage(
                _Group(copies.key[stored], copies.chat[stored], "stored damaged", _CHANGED), copies.condition[stored]
            ),
            *_by_damage(
                _Group(lists.text_key[listed], lists.text_chat[listed], "shown damaged in a list", _CHANGED),
                lists.text_condition[listed],
            ),
            *_announced_damaged(ledger),
        ],
        per_chat=False,
    )


def _announced(ledger: Ledger, which: Callable[[AnnouncedTexts], Bools], detail: str, kind: CaseKind) -> list[_Group]:
    """The announced texts of this run that `which` chooses, where frames carry texts."""
    if ledger.sightings is None:
        return []
    texts = ledger.sightings.texts
    chosen = texts.received & (texts.key >= 0) & which(texts)
    return [_Group(texts.key[chosen], texts.chat[chosen], detail, kind)]


def _announced_damaged(ledger: Ledger) -> list[_Group]:
    groups = []
    conditions = np.zeros(0, np.int64) if ledger.sightings is None else ledger.sightings.texts.condition
    for condition in np.unique(conditions[is_damage(conditions)]).tolist():
        words = WORDS.get(condition)
        detail = f"announced damaged: {words}" if words else "announced damaged"
        groups += _announced(ledger, partial(_in_condition, condition), detail, _changed(words))
    return groups


def _in_condition(condition: int, texts: AnnouncedTexts) -> Bools:
    return np.asarray(texts.condition == condition)


def _invented(ledger: Ledger, texts: AnnouncedTexts) -> Bools:
    """Intact texts that were rejected or never sent."""
    outcome = np.append(ledger.messages.outcome, -1)[texts.message]
    wrong = np.where(texts.message >= 0, outcome == SendOutcome.REJECTED, ledger.observations.complete)
    return np.asarray((texts.condition == Condition.INTACT) & wrong & ~texts.elsewhere)


def _by_damage(group: _Group, conditions: Ints) -> list[_Group]:
    """The group split by kind of damage."""
    parts = []
    for condition in np.unique(conditions).tolist():
        mine = conditions == condition
        words = WORDS.get(condition)
        detail = f"{group.detail}: {words}" if words else group.detail
        parts.append(_Group(group.keys[mine], group.chats[mine], detail, _changed(words)))
    return parts


def misplaced(ledger: Ledger) -> CheckResult:
    """Shown in another chat; each message once per such chat."""
    lists, copies = ledger.lists, ledger.copies
    stored = copies.explanation == Explanation.MISPLACED
    listed = _listed_elsewhere(ledger)
    return _identities(
        ledger,
        [
            _Group(
                copies.key[stored], copies.chat[stored], "stored in another chat", CaseKind("stored_in_another_chat")
            ),
            _Group(
                lists.text_key[listed],
                lists.text_chat[listed],
                "shown in another chat by a list",
                CaseKind("shown_in_another_chat"),
            ),
            *_announced(
                ledger, lambda texts: texts.elsewhere, "announced in another chat", CaseKind("shown_in_another_chat")
            ),
        ],
        per_chat=True,
    )


def phantom(ledger: Ledger) -> CheckResult:
    """Shown or announced, but rejected or never sent. Only complete histories prove that nothing was sent."""
    lists, copies, messages = ledger.lists, ledger.copies, ledger.messages
    complete = ledger.observations.complete
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
            _Group(copies.key[stored], copies.chat[stored], "stored", _INVENTED),
            _Group(lists.text_key[listed], lists.text_chat[listed], "shown", _INVENTED),
            *_announced(ledger, lambda texts: _invented(ledger, texts), "announced", _INVENTED),
        ],
        per_chat=False,
        why=lambda message: "although it was rejected" if message >= 0 else "although it was never sent",
    )
    foreign = _foreign(ledger)
    examples = [
        Example(chat=ledger.chat(chat), detail=f"{count} texts that were never sent") for chat, count in foreign.items()
    ]
    unknown = ledger.announcements.unknown
    examples += [
        Example(
            chat=ledger.chat(announced.chat),
            detail=f"announced with the id {announced.message_id}, which no sent or stored message has",
        )
        for announced in unknown
    ]
    more = sum(foreign.values()) + len(unknown)
    return CheckResult(
        (found.count or 0) + more, [*found.examples, *examples][:WORST], found.starts, found.ends,
        messages=np.append(found.messages, np.full(more, -1)),
        kinds=[
            *(CaseKind("stored_though_rejected") if row >= 0 else _INVENTED for row in found.messages.tolist()),
            *[_INVENTED] * more,
        ],
    )  # fmt: skip


def duplicated(ledger: Ledger) -> CheckResult:
    """A text more than once in one read, or a message announced more than once on one connection."""
    copies, repeated = ledger.copies, ledger.announcements.repeated
    stored = Counter(copies.key[copies.explanation == Explanation.DUPLICATED].tolist())
    extra = stored.copy()
    for key, count in _repeated_in_lists(ledger).items():
        extra[key] = max(extra[key], count)
    examples = [
        _example(ledger, key, -1, f"{count + 1} times in one read")
        for key, count in sorted(extra.items(), key=lambda pair: -pair[1])[:WORST]
    ]
    examples += [_repeated_example(ledger, frames) for frames in sorted(repeated, key=lambda each: -each.extra)[:WORST]]
    twice = _Repeated(ledger)
    counts = [
        (int(ledger.messages.find(np.array([key]))[0]), count, _STORED if key in stored else _LISTED)
        for key, count in extra.items()
    ]
    counts += [(frames.message, frames.extra, twice.kind(frames)) for frames in repeated]
    counts.sort(key=lambda each: each[0] < 0)
    rows = [message for message, count, _ in counts if message >= 0 for _ in range(count)]
    kinds = [kind for _, count, kind in counts for _ in range(count)]
    return result_for_messages(ledger, rows, examples[:WORST], len(kinds) - len(rows), kinds)


class _Repeated:
    """Tells what was sent again in a replay from what was announced twice."""

    def __init__(self, ledger: Ledger) -> None:
        self._replayed: set[tuple[int, int]] = set()  # pairs of a message and a dashboard
        self._dashboard = ledger.observations.connections.dashboard
        sightings = ledger.sightings
        if sightings is None or not ledger.announcements.repeated:
            return
        again = sightings.known.again
        again = again[sightings.texts.how[sightings.known_announcement[again]] == Sighting.REPLAYED]
        dashboards = self._dashboard[sightings.known.connection[again]]
        self._replayed = {*zip(sightings.known.message[again].tolist(), dashboards.tolist(), strict=True)}

    def kind(self, frames: RepeatedFrames) -> CaseKind:
        pair = frames.message, int(self._dashboard[frames.connection])
        return CaseKind("replay_overlaps" if pair in self._replayed else "announced_twice")


def _repeated_example(ledger: Ledger, frames: RepeatedFrames) -> Example:
    dashboard = int(ledger.observations.connections.dashboard[frames.connection])
    if frames.message >= 0:
        where = "to one dashboard" if _no_overlap(ledger) else "on one connection"
        return ledger.example(frames.message, dashboard, f"announced {frames.extra + 1} times {where}")
    return Example(dashboard=dashboard, detail=f"{frames.extra} more frames on one connection than sends started")


def _no_overlap(ledger: Ledger) -> bool:
    """Whether the target promises that what it replays was not sent before, on whichever connection."""
    return ledger.by_frames and ledger.manifest.promises.replays_once


def _repeated_in_lists(ledger: Ledger) -> dict[int, int]:
    """By identity: how many surplus copies one list showed in the identity's own chat."""
    lists = ledger.lists
    chosen = np.flatnonzero((lists.text_condition == Condition.INTACT) & (lists.text_end > lists.text_row))
    chosen = chosen[~_listed_elsewhere(ledger)[chosen]]
    order = np.lexsort((lists.text_row[chosen], lists.text_chat[chosen], lists.text_key[chosen]))
    chosen = chosen[order]
    key, chat = lists.text_key[chosen], lists.text_chat[chosen]
    # Two spans of a text can only overlap if one starts before the previous one ends.
    again = (key[1:] == key[:-1]) & (chat[1:] == chat[:-1]) & (lists.text_row[chosen[1:]] < lists.text_end[chosen[:-1]])
    out: dict[int, int] = {}
    for suspect in np.unique(key[1:][again]).tolist():
        most = _most_at_once(lists, chosen[key == suspect])
        if most > 1:
            out[suspect] = most - 1
    return out


def _foreign(ledger: Ledger) -> dict[int, int]:
    """Per chat of this run: how many customers' texts without an identity were stored, or shown together."""
    copies, lists = ledger.copies, ledger.lists
    stored = (copies.explanation == Explanation.PHANTOM) & (copies.key < 0)
    out = {int(chat): int((copies.chat[stored] == chat).sum()) for chat in np.unique(copies.chat[stored])}
    listed = np.flatnonzero((lists.text_condition == Condition.FOREIGN) & (lists.text_end > lists.text_row))
    listed = listed[ledger.created[lists.text_chat[listed]]]
    for chat in np.unique(lists.text_chat[listed]).tolist():
        most = _most_at_once(lists, listed[lists.text_chat[listed] == chat])
        out[chat] = max(out.get(chat, 0), most)
    for chat, most in _foreign_in_frames(ledger).items():
        out[chat] = max(out.get(chat, 0), most)
    return out


def _foreign_in_frames(ledger: Ledger) -> dict[int, int]:
    """Per chat of this run: how many different texts without an identity one process received in one way."""
    if ledger.sightings is None:
        return {}
    texts = ledger.sightings.texts
    foreign = np.flatnonzero(texts.received & (texts.condition == Condition.FOREIGN) & (texts.chat >= 0))
    foreign = foreign[ledger.created[texts.chat[foreign]]]
    counts = Counter(zip(texts.chat[foreign], texts.process[foreign], texts.how[foreign], strict=True))
    out: dict[int, int] = {}
    for (chat, _, _), count in counts.items():
        out[int(chat)] = max(out.get(int(chat), 0), count)
    return out


def _most_at_once(lists: ListContents, texts: Ints) -> int:
    """The largest number of these texts that one list showed together."""
    edges = [(int(row), 1) for row in lists.text_row[texts]] + [(int(row), -1) for row in lists.text_end[texts]]
    most = level = 0
    for _, step in sorted(edges):
        level += step
        most = max(most, level)
    return most


def _listed_elsewhere(ledger: Ledger) -> Bools:
    """Per listed text: whether it is intact, but not in the chat where it belongs."""
    lists = ledger.lists
    home = home_chats(ledger.observations, ledger.messages, lists.text_key, lists.text_message)
    return np.asarray((lists.text_condition == Condition.INTACT) & (home >= 0) & (home != lists.text_chat))


def _identities(
    ledger: Ledger, groups: list[_Group], *, per_chat: bool, why: Callable[[int], str] | None = None
) -> CheckResult:
    """Each identity once, or once per chat. `why` explains a message, or -1 if it was never sent."""
    sightings: dict[tuple[int, int], _Sighting] = {}
    for keys, chats, detail, kind in groups:
        for key, chat in np.unique(np.stack([keys, chats]), axis=1).T.tolist():
            sightings.setdefault((key, chat if per_chat else -1), _Sighting(key, chat, detail, kind))
    examples = []
    for key, chat, detail, _ in _interleaved(list(sightings.values()))[:WORST]:
        text = f"{detail}: {ledger.chat(chat)}" if per_chat else detail
        if why is not None:
            text = f"{text}, {why(int(ledger.messages.find(np.array([key]))[0]))}"
        examples.append(_example(ledger, key, chat, text))
    rows = ledger.messages.find(np.array([sighting.key for sighting in sightings.values()], np.int64))
    # Those without a send come last.
    order = np.argsort(rows < 0, kind="stable")
    kinds = [sighting.kind for sighting in sightings.values()]
    return result_for_messages(
        ledger, rows[rows >= 0], examples, int((rows < 0).sum()), [kinds[at] for at in order.tolist()]
    )


def _interleaved(sightings: list[_Sighting]) -> list[_Sighting]:
    """One of each detail first, so that frequent ones do not hide rare ones."""
    rounds: Counter[str] = Counter()
    turns = []
    for sighting in sightings:
        turns.append(rounds[sighting.detail])
        rounds[sighting.detail] += 1
    return [sighting for _, sighting in sorted(zip(turns, sightings, strict=True), key=lambda pair: pair[0])]


def _example(ledger: Ledger, key: int, chat: int, detail: str) -> Example:
    message = int(ledger.messages.find(np.array([key]))[0])
    if message >= 0:
        return ledger.example(message, detail=detail)
    return Example(uid=ledger.identity(key), chat=ledger.chat(chat), detail=detail)
