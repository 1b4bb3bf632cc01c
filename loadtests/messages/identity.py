"""The identity in each message's text, so that every sighting of a message can be attributed to its send.

A text is `cs1 <run> <widget> <n> <crc> <padding> <run>.<widget>.<n>`: readable in any inbox, recognisable from either
end if part of it was damaged, and unique over time because `<run>` is random and never derived from the seed. Both ends
are ASCII. If the padding contains characters that chats are known to change, it starts with `u<size>`, from which the
whole text can be generated again and compared.
"""

import re
import secrets
import zlib
from functools import lru_cache
from typing import NamedTuple

from .alphabet import Alphabet, sample
from .damage import Condition, damage

__all__ = [
    "FOREIGN",
    "IGNORED",
    "Condition",
    "ParsedText",
    "new_run",
    "parse_text",
    "quotes_a_text",
    "recognise",
    "text_of",
]

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_PADDING = "the quick brown fox jumps over the lazy dog "
# What a space may have turned into.
_SPACE = r"(?:\s|\+|%20|&nbsp;)+"
_LONGEST = 100_000  # characters; longer texts are not generated again for a comparison


class ParsedText(NamedTuple):
    """The message that a text belongs to. `widget` and `n` are -1 if it carries no identity."""

    widget: int
    n: int
    condition: Condition


FOREIGN = ParsedText(-1, -1, Condition.FOREIGN)
IGNORED = ParsedText(-1, -1, Condition.IGNORED)


def new_run() -> str:
    """A random name for a run: 10 letters and digits, 50 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(10))


def text_of(run: str, widget: int, n: int, size: int, alphabet: Alphabet = "ascii") -> str:
    """The text that widget `widget` sends as its `n`-th message, padded to `size` characters (code points).

    Nothing is ever cut: the text is longer if its identity and a whole group of the alphabet need more.
    """
    head, tail = f"cs1 {run} {widget} {n} ", f" {run}.{widget}.{n}"
    available = max(1, size - len(head) - 9 - len(tail))
    if alphabet == "ascii":
        padding = (_PADDING * (available // len(_PADDING) + 1))[:available].strip() or "-"
    else:
        marker = f"u{size} "
        # Rotated by both, so that even the first messages of different widgets use different groups.
        padding = marker + sample(widget + n, available - len(marker))
        left = max(0, available - len(padding))
        padding += (" " + _PADDING * (left // len(_PADDING) + 1))[:left].rstrip()
    padding = padding.ljust(available, ".")
    return f"{head}{_crc(head, padding, tail)} {padding}{tail}"


def recognise(text: str, run: str) -> ParsedText:
    """The message of `run` that this text belongs to; `FOREIGN` if none."""
    parts = text.split(" ")
    head = _numbers(parts[2:4]) if len(parts) > 4 and parts[0] == "cs1" and parts[1] == run else None
    last = parts[-1].split(".")
    tail = _numbers(last[1:]) if len(last) == 3 and last[0] == run else None
    if head is not None and head == tail:
        start, end = f"cs1 {run} {head[0]} {head[1]} ", f" {run}.{head[0]}.{head[1]}"
        padding = text[len(start) + 9 : len(text) - len(end)]
        if text == f"{start}{_crc(start, padding, end)} {padding}{end}":
            return ParsedText(*head, Condition.INTACT)
    return _damaged(text, run)


def parse_text(text: str, run: str, *, from_customer: bool = True) -> ParsedText:
    """The message of `run` in a shown text. Agents' texts and greetings are nobody's, even if they quote one."""
    try:
        seen = recognise(text, run)
    except UnicodeEncodeError:
        # A lone surrogate, which other JSON readers let through.
        seen = recognise(text.encode("utf-8", "replace").decode(), run)
    return IGNORED if seen.condition is not Condition.INTACT and not from_customer else seen


def quotes_a_text(data: bytes, run: str) -> bool:
    """Whether bytes that nobody can read have a text of `run` in them."""
    return run.encode() in data and _quoted(run).search(data) is not None


@lru_cache(4)
def _quoted(run: str) -> re.Pattern[bytes]:
    return re.compile(f"cs1{_SPACE}{run}{_SPACE}[0-9]".encode(), re.IGNORECASE)


def _damaged(text: str, run: str) -> ParsedText:
    """Searches for the identity anywhere: a chat may have added quotes or tags, or changed the spaces."""
    if run not in text.lower():
        return FOREIGN
    at_head, at_tail = _ends(run)
    if head := at_head.search(text):
        widget, n, size = int(head[1]), int(head[2]), int(head[3] or 0)
        known = 0 < size <= _LONGEST
        return ParsedText(
            widget, n, damage(text_of(run, widget, n, size, "unicode"), text) if known else Condition.DAMAGED
        )
    if tails := at_tail.findall(text):
        widget, n = map(int, tails[-1])
        return ParsedText(widget, n, Condition.DAMAGED)
    return FOREIGN


@lru_cache(4)
def _ends(run: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    number = "([0-9]{1,9})"
    head = rf"cs1{_SPACE}{run}{_SPACE}{number}{_SPACE}{number}{_SPACE}(?:[0-9a-f]{{8}}{_SPACE}u([0-9]{{1,6}})\b)?"
    return re.compile(head, re.IGNORECASE), re.compile(rf"{run}\.{number}\.{number}(?!\.?[0-9])", re.IGNORECASE)


def _crc(head: str, padding: str, tail: str) -> str:
    # A chat may show lone surrogates, which plain UTF-8 refuses.
    return f"{zlib.crc32((head + padding + tail).encode('utf-8', 'surrogatepass')):08x}"


def _numbers(words: list[str]) -> tuple[int, int] | None:
    if len(words) == 2 and all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        return int(words[0]), int(words[1])
    return None
