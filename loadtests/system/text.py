"""Text as it is: what comes from users, files and targets, made fit for a line, for JSON, or for a shell."""

import re
import shlex
from collections.abc import Sequence

import msgspec

_HALF = re.compile("[\ud800-\udfff]")
_VISIBLE = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def one_line(text: str) -> str:
    """`text` with all that would break its line, move a cursor or turn the writing round shown as an escape.

    Nothing in it can be a command to a terminal any more; letters, emoji and combining marks stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def encodable(text: str) -> str:
    """`text` with what no encoding has shown as an escape: bytes of a path that was not UTF-8, halves of characters."""
    return _HALF.sub(lambda found: _shown(found[0]), text)


def to_json(value: object) -> bytes:
    """A struct, or anything else that msgspec takes, as JSON. No text in it can make it fail: see `encodable`."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_encodable(msgspec.to_builtins(value)))


def command_line(words: Sequence[str]) -> str:
    """The words as one line for a shell. Those that would break the line or move a cursor are quoted as `$'…'`, byte by
    byte, which bash, zsh and ksh read back exactly.
    """
    return " ".join(shlex.quote(word) if word.isprintable() else f"$'{_bytewise(word)}'" for word in words)


def _bytewise(word: str) -> str:
    shown = []
    for character in word:
        if character.isprintable():
            shown.append(f"\\{character}" if character in "\\'" else character)
        else:
            # A byte of a path that was not UTF-8 comes back as that byte.
            escape = "surrogateescape" if 0xDC80 <= ord(character) <= 0xDCFF else "surrogatepass"
            shown += [f"\\x{byte:02x}" for byte in character.encode("utf-8", escape)]
    return "".join(shown)


def _encodable(value: object) -> object:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_encodable(one) for one in value]
    return value


def _shown(character: str) -> str:
    # A joiner is not printable by itself, but emoji are made with it.
    if character.isprintable() or character == "\u200d":
        return character
    if character in _VISIBLE:
        return _VISIBLE[character]
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        # A byte of a file's name that was not UTF-8.
        return f"\\x{number - 0xDC00:02x}"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
