"""Reads the words of `chatswarm compare`: which belong to which side, percentages, and flags of the reference chat."""

import re
import shlex
from collections.abc import Sequence

AGAINST = "--against"
_DIVIDER = f" {AGAINST}"
"""Stands for `--against` among the positional words. No shell word begins with a space unless it is quoted."""
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*(%?)", re.ASCII)


def with_divider(words: Sequence[str]) -> list[str]:
    """The words of a command line with `--against` as a positional word, so that it may be followed by any number.

    A plain option would take one word, and the rest of what a shell made of `new-*` would count as BASE. Options keep
    their meaning before and after it. After `--` nothing is an option.
    """
    divided: list[str] = []
    for at, word in enumerate(words):
        if word == "--":
            return [*divided, *words[at:]]
        if word == AGAINST:
            divided.append(_DIVIDER)
        elif word.startswith(f"{AGAINST}="):
            divided += [_DIVIDER, word.removeprefix(f"{AGAINST}=")]
        else:
            divided.append(word)
    return divided


def sides_of(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words before and after the first divider of `with_divider`."""
    if _DIVIDER not in words:
        return list(words), []
    at = list(words).index(_DIVIDER)
    return list(words[:at]), [word for word in words[at + 1 :] if word != _DIVIDER]


def is_url(word: str) -> bool:
    """Whether a side is a chat, and not a folder."""
    return "://" in word


def parse_share(text: str) -> float:
    """`20%` or `0.2` as 0.2. Raises ValueError."""
    match = _SHARE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a share such as 20%, got {text!r}")
    return float(match[1]) / (100 if match[2] else 1)


def parse_backend(text: str) -> dict[str, object]:
    """Flags of `chatswarm serve` such as `--workers 2`, as in a scenario's `[backend]`. Raises ValueError."""
    flags: dict[str, object] = {}
    name = None
    for word in (part for whole in shlex.split(text) for part in _halves(whole)):
        if word.startswith("--") and len(word) > 2:
            name = word.removeprefix("--").replace("-", "_")
            flags[name] = True
        elif name is not None and flags[name] is True:
            flags[name] = _value(word)
        else:
            raise ValueError(f"expected flags such as '--workers 2', got {text!r}")
    return flags


def _halves(word: str) -> list[str]:
    """`--workers=2` as two words."""
    name, equals, value = word.partition("=")
    return [name, value] if equals and word.startswith("--") else [word]


def _value(word: str) -> object:
    if word in ("on", "off"):
        return word == "on"
    return int(word) if re.fullmatch(r"\d+", word, re.ASCII) else word
