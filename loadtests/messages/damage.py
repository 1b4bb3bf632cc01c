"""Classifies a shown text: intact, or which known mangling turned the sent text into it."""

import html
import json
import re
import unicodedata
import urllib.parse
from collections.abc import Callable
from enum import IntEnum
from typing import Literal


class Condition(IntEnum):
    """What a shown text turned out to be. All values but INTACT, FOREIGN and IGNORED are damage."""

    INTACT = 0  # exactly what was sent
    DAMAGED = 1  # carries an identity of this run, but differs from the text sent under it, for an unknown reason
    FOREIGN = 2  # a customer's text without this run's identity
    IGNORED = 3  # not from a customer: an agent's reply, a greeting
    # Damage with a known cause. Nothing else was changed.
    NFC = 4
    NFD = 5
    NFKC = 6
    NFKD = 7
    HTML_ESCAPED = 8
    HTML_UNESCAPED = 9
    TAGS_REMOVED = 10
    JSON_TWICE = 11
    BACKSLASHES = 12
    PERCENT_DECODED = 13
    MOJIBAKE = 14
    CUT_AT_FOUR_BYTES = 15
    CUT = 16
    NEWLINES = 17
    WHITESPACE = 18
    INVISIBLE = 19
    REPLACED = 20
    DROPPED = 21


WORDS = {
    Condition.NFC: "Unicode normalisation (NFC) changed it",
    Condition.NFD: "Unicode normalisation (NFD) changed it",
    Condition.NFKC: "Unicode normalisation (NFKC) changed it",
    Condition.NFKD: "Unicode normalisation (NFKD) changed it",
    Condition.HTML_ESCAPED: "HTML-escaped",
    Condition.HTML_UNESCAPED: "HTML entities were decoded",
    Condition.TAGS_REMOVED: "HTML tags were removed",
    Condition.JSON_TWICE: "encoded as JSON twice",
    Condition.BACKSLASHES: "backslashes were added, eaten or taken for escapes",
    Condition.PERCENT_DECODED: "percent escapes were decoded",
    Condition.MOJIBAKE: "UTF-8 was read as Latin-1 (mojibake)",
    Condition.CUT_AT_FOUR_BYTES: "cut at the first character of four bytes (as MySQL's utf8mb3 does)",
    Condition.CUT: "cut short",
    Condition.NEWLINES: "line ends were changed",
    Condition.WHITESPACE: "white space was changed",
    Condition.INVISIBLE: "invisible characters were changed (emoji joiners, variation selectors, direction marks)",
    Condition.REPLACED: "? or U+FFFD in place of characters",
    Condition.DROPPED: "characters beyond ASCII were dropped",
}
"""The wording for each mangling in a report."""

_FORMS: tuple[tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], Condition], ...] = (
    ("NFC", Condition.NFC),
    ("NFD", Condition.NFD),
    ("NFKC", Condition.NFKC),
    ("NFKD", Condition.NFKD),
)
_MAX_GROWTH = 12  # JSON encodes one character as up to two escapes of six
_REPLACEMENTS = frozenset("?\ufffd")
# Where Python's cp1252 has no character, browsers and MySQL use a control character.
_WINDOWS = [bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(256)]
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
_NUMERIC = re.compile(r"&#x?[0-9a-fA-F]{1,7};")
_LINE_END = r"(?:\s|<br\s*/?>|\\r|\\n)*"


def damage(sent: str, shown: str) -> Condition:
    """The one known mangling that turns `sent` into `shown`, which differs from it; else DAMAGED."""
    if len(shown) > _MAX_GROWTH * len(sent) + 2:
        return Condition.DAMAGED
    for form, condition in _FORMS:
        if unicodedata.normalize(form, sent) == shown:
            return condition
    # A cut may leave half of a character.
    kept = shown.rstrip("\ufffd")
    if sent.startswith(kept):
        left, gone = (any(map(_has_four_bytes, part)) for part in (kept, sent[len(kept) :].lstrip()[:1]))
        return Condition.CUT_AT_FOUR_BYTES if gone and not left and kept == shown else Condition.CUT
    return next((condition for condition, matches in _MANGLINGS if matches(sent, shown)), Condition.DAMAGED)


def _has_four_bytes(character: str) -> bool:
    return character > "\uffff"


def _escaped(sent: str, shown: str) -> bool:
    angles = sent.replace("<", "&lt;").replace(">", "&gt;")
    return shown == angles or sent in (html.unescape(shown), _NUMERIC.sub(lambda found: html.unescape(found[0]), shown))


def _unescaped(sent: str, shown: str) -> bool:
    once = html.unescape(sent)
    return shown in (once, html.unescape(once))


def _tags_removed(sent: str, shown: str) -> bool:
    bare = re.sub(r"<[^<>]*>", "", sent)
    return shown in (bare, html.unescape(bare), html.escape(bare), html.escape(bare, quote=False))


def _json_twice(sent: str, shown: str) -> bool:
    encoded = (json.dumps(sent), json.dumps(sent, ensure_ascii=False))
    # Without the enclosing quotes, it may just be doubled backslashes.
    return shown in encoded or (shown != sent.replace("\\", "\\\\") and f'"{shown}"' in encoded)


def _backslashes(sent: str, shown: str) -> bool:
    return sent.replace("\\", "") == shown.replace("\\", "") or _ESCAPE.sub(_unescape, sent) == shown


def _unescape(escape: re.Match[str]) -> str:
    code = escape[1]
    return chr(int(code[1:], 16)) if len(code) > 1 else _CONTROL.get(code, code)


def _percent_decoded(sent: str, shown: str) -> bool:
    return shown in (urllib.parse.unquote(sent), urllib.parse.unquote_plus(sent))


def _mojibake(sent: str, shown: str) -> bool:
    raw = sent.encode()
    windows = "".join(_WINDOWS[byte] for byte in raw)
    return shown in (raw.decode("latin-1"), windows, raw.decode("cp1252", "replace"))


def _newlines(sent: str, shown: str) -> bool:
    if "\n" not in sent:
        return False
    lines = [re.escape(line) for line in re.split(r"\n+", sent)]
    return re.fullmatch(_LINE_END.join(lines), shown) is not None


def _white_space(sent: str, shown: str) -> bool:
    return "".join(sent.split()) == "".join(shown.split())


def _invisible(sent: str, shown: str) -> bool:
    return _visible(sent) == _visible(shown)


def _visible(text: str) -> str:
    """The text without invisible characters that join, select or direct others (category Cf, variation selectors)."""
    return "".join(
        letter
        for letter in text
        if letter < "\x80" or not (unicodedata.category(letter) == "Cf" or "\ufe00" <= letter <= "\ufe0f")
    )


def _replaced(sent: str, shown: str) -> bool:
    return bool(_REPLACEMENTS & set(shown)) and _lacks_only(sent, shown)


def _lacks_only(sent: str, shown: str) -> bool:
    """Whether `shown` only lacks non-ASCII characters of `sent`, replaced or not, and adds nothing."""
    kept = set(sent) | _REPLACEMENTS
    return kept.issuperset(shown) and _ascii(sent) == _ascii(shown)


def _ascii(text: str) -> str:
    return "".join(letter for letter in text if letter < "\x80" and letter != "?")


_MANGLINGS: tuple[tuple[Condition, Callable[[str, str], bool]], ...] = (
    (Condition.HTML_ESCAPED, _escaped),
    (Condition.HTML_UNESCAPED, _unescaped),
    (Condition.TAGS_REMOVED, _tags_removed),
    (Condition.JSON_TWICE, _json_twice),
    (Condition.BACKSLASHES, _backslashes),
    (Condition.PERCENT_DECODED, _percent_decoded),
    (Condition.MOJIBAKE, _mojibake),
    (Condition.NEWLINES, _newlines),
    (Condition.WHITESPACE, _white_space),
    (Condition.INVISIBLE, _invisible),
    (Condition.REPLACED, _replaced),
    (Condition.DROPPED, _lacks_only),
)
"""In this order, because a later one would also match what an earlier one explains better."""
