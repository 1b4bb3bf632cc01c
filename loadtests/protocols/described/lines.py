"""Where each key of a TOML text stands, so that a problem can name its line. The standard reader does not say.

Expects text that `tomllib` accepts.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

Place = tuple[str | int, ...]
"""A key's path: names, and the positions of `[[tables]]`, from 0."""

_KEY = re.compile(r"""[ \t]*(?:([A-Za-z0-9_-]+)|"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)')[ \t]*""")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|' + r"'''.*?'{3,5}|" + r'"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'",
    re.DOTALL,
)
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)+")


def lines_of(text: str) -> dict[Place, int]:
    """The line, from 1, of each table and key. Keys of an inline table have the line of that table's key; a table
    without a header has that of the first key or header within it.
    """
    return _Scanner(text).scan()


def line_of(lines: Mapping[Place, int], place: Sequence[str | int]) -> int:
    """The line of a place, or of the nearest place around it."""
    for length in range(len(place), -1, -1):
        if (line := lines.get(tuple(place[:length]))) is not None:
            return line
    return 1


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._lines: dict[Place, int] = {}
        self._counts: dict[Place, int] = {}  # of [[tables]]

    def scan(self) -> dict[Place, int]:
        table: Place = ()
        while True:
            if blank := _BLANK.match(self._text, self._at):
                self._at = blank.end()
            if self._at >= len(self._text):
                return self._lines
            line = self._text.count("\n", 0, self._at) + 1
            if self._text.startswith("[[", self._at):
                self._at += 2
                table = self._table(self._keys(), several=True)
                self._at += 2
            elif self._text.startswith("[", self._at):
                self._at += 1
                table = self._table(self._keys(), several=False)
                self._at += 1
            else:
                keys = self._keys()
                self._at += 1  # the equals sign
                self._skip_value()
                for length in range(1, len(keys) + 1):
                    self._lines.setdefault((*table, *keys[:length]), line)
                continue
            for length in range(1, len(table)):
                self._lines.setdefault(table[:length], line)
            self._lines[table] = line

    def _keys(self) -> list[str]:
        keys: list[str] = []
        while found := _KEY.match(self._text, self._at):
            self._at = found.end()
            bare, escaped, literal = found.groups()
            keys.append(bare or literal or "" if escaped is None else tomllib.loads(f'text = "{escaped}"')["text"])
            if not self._text.startswith(".", self._at):
                break
            self._at += 1
        return keys

    def _table(self, keys: Sequence[str], *, several: bool) -> Place:
        """The place of a table header. `[a.b]` below `[[a]]` belongs to the last of those."""
        place: Place = ()
        for number, key in enumerate(keys):
            place = (*place, key)
            if several and number == len(keys) - 1:
                count = self._counts[place] = self._counts.get(place, 0) + 1
                place = (*place, count - 1)
            elif place in self._counts:
                place = (*place, self._counts[place] - 1)
        return place

    def _skip_value(self) -> None:
        """Goes to the end of a value, which may have several lines."""
        depth, text = 0, self._text
        while self._at < len(text):
            character = text[self._at]
            if string := _STRING.match(text, self._at):
                self._at = string.end()
            elif character == "#":
                self._at = (text + "\n").index("\n", self._at)
            elif character == "\n" and not depth:
                return
            else:
                depth += (character in "[{") - (character in "]}")
                self._at += 1


def shown(place: Sequence[Any]) -> str:
    """A place for people: `socket.open 2.expect`."""
    text = ""
    for part in place:
        text += f" {part + 1}" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
