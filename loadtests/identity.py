"""The text of a message carries its identity, so that every sight of it can be accounted for.

A text is `cs1 <run> <widget> <n> <crc> <padding> <run>.<widget>.<n>`: readable in any inbox, recognised at both ends
when a part of it was damaged, and unique in time because `<run>` is random for each run and never made from the seed.
"""

import secrets
import zlib
from enum import IntEnum
from typing import NamedTuple

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_PADDING = "the quick brown fox jumps over the lazy dog "


class Condition(IntEnum):
    """What a text that was shown turned out to be."""

    INTACT = 0  # exactly what was sent
    DAMAGED = 1  # carries an identity of this run, but is not the text that was sent under it
    FOREIGN = 2  # a customer's text without this run's identity
    IGNORED = 3  # not from a customer: an agent's reply, a greeting


class Sight(NamedTuple):
    """Which message a text is. `widget` and `n` are -1 where the text names none."""

    widget: int
    n: int
    condition: Condition


FOREIGN = Sight(-1, -1, Condition.FOREIGN)
IGNORED = Sight(-1, -1, Condition.IGNORED)


def new_run() -> str:
    """A name for a run: 10 random letters and digits, 50 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(10))


def text_of(run: str, widget: int, n: int, size: int) -> str:
    """The text that widget `widget` sends as its `n`-th message, padded to `size` characters (never cut)."""
    head, tail = f"cs1 {run} {widget} {n} ", f" {run}.{widget}.{n}"
    room = max(1, size - len(head) - 9 - len(tail))
    padding = (_PADDING * (room // len(_PADDING) + 1))[:room].strip() or "-"
    padding = padding.ljust(room, ".")
    return f"{head}{_crc(head, padding, tail)} {padding}{tail}"


def recognise(text: str, run: str) -> Sight:
    """Which message of `run` this text is; `FOREIGN` if it names none of them."""
    parts = text.split(" ")
    head = _numbers(parts[2:4]) if len(parts) > 4 and parts[0] == "cs1" and parts[1] == run else None
    last = parts[-1].split(".")
    tail = _numbers(last[1:]) if len(last) == 3 and last[0] == run else None
    if head is not None and head == tail:
        start, end = f"cs1 {run} {head[0]} {head[1]} ", f" {run}.{head[0]}.{head[1]}"
        padding = text[len(start) + 9 : len(text) - len(end)]
        if text == f"{start}{_crc(start, padding, end)} {padding}{end}":
            return Sight(*head, Condition.INTACT)
    found = head or tail
    return FOREIGN if found is None else Sight(*found, Condition.DAMAGED)


def _crc(head: str, padding: str, tail: str) -> str:
    return f"{zlib.crc32((head + padding + tail).encode()):08x}"


def _numbers(words: list[str]) -> tuple[int, int] | None:
    if len(words) == 2 and all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        return int(words[0]), int(words[1])
    return None
