"""Makes text from users, files and targets safe for one line, for JSON, or for a shell."""

import re
import shlex
from collections.abc import Sequence

import msgspec

_SURROGATE = re.compile("[\ud800-\udfff]")
_VISIBLE = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def one_line(text: str) -> str:
    """`text` with line breaks, control characters and direction marks shown as escapes.

    The result cannot control a terminal; letters, emoji and combining marks stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def encodable(text: str) -> str:
    """`text` with surrogates shown as escapes: bytes of a path that was not UTF-8, halves of surrogate pairs."""
    return _SURROGATE.sub(lambda found: _shown(found[0]), text)


def to_json(value: object) -> bytes:
    """Encodes a struct, or anything else that msgspec takes, as JSON. No text makes it fail: see `encodable`."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_encodable(msgspec.to_builtins(value)))


def command_line(words: Sequence[str]) -> str:
    """The words as one shell command line.

    Words with unprintable characters are quoted byte by byte as `$'…'`, which bash, zsh and ksh read back exactly.
    """
    return " ".join(shlex.quote(word) if word.isprintable() else f"$'{_ansi_c_quoted(word)}'" for word in words)


def _ansi_c_quoted(word: str) -> str:
    shown = []
    for character in word:
        if character.isprintable():
            shown.append(f"\\{character}" if character in "\\'" else character)
        else:
            # A surrogate escape stands for a byte of a path that was not UTF-8.
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
    # The zero-width joiner is not printable, but part of many emoji.
    if character.isprintable() or character == "\u200d":
        return character
    if character in _VISIBLE:
        return _VISIBLE[character]
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        # A byte of a file name that was not UTF-8.
        return f"\\x{number - 0xDC00:02x}"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
