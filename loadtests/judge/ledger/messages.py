"""The messages of a run: each send once, with where the final read shows that it was stored.

Each stored copy has one explanation, the first that matches: corrupted, misplaced, duplicated, phantom. Such a copy
counts as visible and as stored.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from chatswarm.loadtests.history.tables import SendOutcome
from chatswarm.loadtests.messages.identity import Condition

from .arrays import Bools, Ints, found, ints, key_of
from .observations import Observations, SendTable


@dataclass(frozen=True, slots=True)
class SentMessages(SendTable):
    """One row per send, by chat and then by when it was intended; -1 and NaN where unknown."""

    keys: Ints  # the identities, ascending
    owners: Ints  # per key: its message
    repeated: int  # sends that were recorded twice

    def __len__(self) -> int:
        return len(self.widget)

    def find(self, keys: Ints) -> Ints:
        """The message of each identity, or -1."""
        return found(keys, self.keys, self.owners)

    @property
    def accepted(self) -> Bools:
        return np.asarray(self.outcome == SendOutcome.ACCEPTED)

    @property
    def rig_failed(self) -> Bools:
        """Which sends failed on a limit of the rig itself, and say nothing about the target."""
        return np.asarray(self.status < 0)


class Explanation(IntEnum):
    """What a stored copy is."""

    RIGHT = 0
    CORRUPTED = 1
    MISPLACED = 2
    DUPLICATED = 3
    PHANTOM = 4
    OTHER = 5  # an agent's text, or nothing of this run


class Locations(NamedTuple):
    """Per message: the chat and the position at which it was stored; -1 where it was not."""

    chat: Ints
    position: Ints


@dataclass(frozen=True, slots=True)
class Copies:
    """Every stored text of the final read, by chat and position, and the copy that represents each message."""

    chat: Ints
    position: Ints
    key: Ints  # the identity; -1: none of this run
    message: Ints
    condition: Ints
    message_id: Ints
    explanation: Ints
    of_message: Ints  # per message: its best copy; -1: none
    read: Bools  # per chat: its final read is complete

    def locations(self) -> Locations:
        """Where each message was stored."""
        if not len(self.chat):
            return Locations(self.of_message.copy(), self.of_message.copy())
        known = self.of_message >= 0
        return Locations(
            np.where(known, self.chat[self.of_message], -1), np.where(known, self.position[self.of_message], -1)
        )


def messages_of(observations: Observations) -> SentMessages:
    """The sends, each identity once. A send recorded twice is the rig's fault; the first record counts."""
    sends = observations.sends
    order = np.lexsort((sends.n, sends.intended, sends.chat))
    key = key_of(sends.widget, sends.n)[order]
    _, first = np.unique(key, return_index=True)
    repeated = len(order) - len(first)
    if repeated:
        order = order[np.sort(first)]
        key = key_of(sends.widget, sends.n)[order]
    owners = np.argsort(key)
    return SentMessages(
        process=sends.process[order],
        widget=sends.widget[order],
        n=sends.n[order],
        chat=sends.chat[order],
        intended=sends.intended[order],
        handed=sends.handed[order],
        sent=sends.sent[order],
        done=sends.done[order],
        outcome=sends.outcome[order],
        status=sends.status[order],
        message_id=sends.message_id[order],
        server=sends.server[order],
        keys=key[owners],
        owners=owners,
        repeated=repeated,
    )


def is_damage(condition: Ints) -> Bools:
    """Which texts belong to a message of this run but differ from what was sent."""
    not_damaged = (Condition.INTACT, Condition.FOREIGN, Condition.IGNORED)
    return np.asarray(~np.isin(condition, not_damaged))


def home_chats(observations: Observations, messages: SentMessages, key: Ints, message: Ints) -> Ints:
    """The chat that each text belongs in; -1 if its widget has none, or if only its send can tell, as with rooms."""
    widgets = np.full(int(observations.chat_widget.max(initial=-1)) + 1, -1, np.int64)
    owned = np.flatnonzero((observations.chat_widget >= 0) & (observations.chat_room < 0))
    widgets[observations.chat_widget[owned]] = owned
    widget = key >> 32
    home = np.full(len(key), -1, np.int64)
    known = (widget >= 0) & (widget < len(widgets))
    home[known] = widgets[widget[known]]
    if len(messages):
        home = np.where((message >= 0) & (messages.chat[message] >= 0), messages.chat[message], home)
    return home


def copies_of(observations: Observations, messages: SentMessages, created: Bools) -> Copies:
    """The final read, with an explanation for each copy. `created`: per chat, whether this run created it."""
    finals = observations.finals
    key = key_of(finals.widget, finals.n)
    message = messages.find(key)
    explanation = _explained(observations, messages, key, message, created)
    of_message = np.full(len(messages), -1, np.int64)
    rank = np.where(explanation == Explanation.MISPLACED, 1, np.where(explanation == Explanation.CORRUPTED, 2, 0))
    candidates = np.flatnonzero(message >= 0)
    # Best copy first: intact and in its own chat, at the lowest position.
    candidates = candidates[np.lexsort((candidates, rank[candidates], message[candidates]))]
    owners, first = np.unique(message[candidates], return_index=True)
    of_message[owners] = candidates[first]
    return Copies(
        chat=finals.chat,
        position=finals.position,
        key=key,
        message=message,
        condition=finals.condition,
        message_id=finals.message_id,
        explanation=explanation,
        of_message=of_message,
        read=finals.read,
    )


def _explained(observations: Observations, messages: SentMessages, key: Ints, message: Ints, created: Bools) -> Ints:
    finals = observations.finals
    condition = finals.condition
    explanation = np.full(len(key), int(Explanation.OTHER), np.int64)
    ours = created[finals.chat] if len(key) else np.zeros(0, bool)
    explanation[(condition == Condition.FOREIGN) & ours] = Explanation.PHANTOM
    intact = condition == Condition.INTACT
    explanation[intact] = Explanation.RIGHT
    sent = np.zeros(len(key), bool)
    if len(messages):
        sent = (message >= 0) & (messages.outcome[message] != SendOutcome.REJECTED)
    explanation[intact & ~sent] = Explanation.PHANTOM
    home = home_chats(observations, messages, key, message)
    at_home = intact & (home == finals.chat)
    _, first = np.unique(np.stack([finals.chat, key])[:, at_home], axis=1, return_index=True)
    again = np.ones(int(at_home.sum()), bool)
    again[ints(first)] = False
    explanation[np.flatnonzero(at_home)[again]] = Explanation.DUPLICATED
    explanation[intact & (home >= 0) & (home != finals.chat)] = Explanation.MISPLACED
    explanation[is_damage(condition)] = Explanation.CORRUPTED
    return explanation
