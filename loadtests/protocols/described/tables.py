"""Tables of a protocol file, whose problems name their line, and readers of their values.

Readers raise ValueError, as those of `toml_reader` do.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from chatswarm.loadtests.system.toml_reader import ExplainedValueError, TomlTable

from .description import NextValue
from .lines import Place, line_of, shown
from .paths import Path, Paths, path_of
from .patterns import pattern_of
from .requests import METHODS, Keep, keep_of

_T = TypeVar("_T")


class FileTable(TomlTable):
    """A table whose problems name their line."""

    def __init__(
        self, location: str, values: Mapping[str, Any], problems: list[str], lines: Mapping[Place, int], place: Place
    ) -> None:
        super().__init__(location, values, problems)
        self.place = place
        self._lines = lines

    def inner(self, name: str) -> "FileTable":
        """The table under a key; an empty one if there is none."""
        self._taken.add(name)
        values = self.values.get(name, {})
        if not isinstance(values, dict):
            self.problem(name, "a table", repr(values))
            values = {}
        return FileTable(self.location, values, self.problems, self._lines, (*self.place, name))

    def several(self, name: str) -> list["FileTable"]:
        """The `[[tables]]` under a key."""
        self._taken.add(name)
        rows = self.values.get(name, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.problem(name, f"[[{shown((*self.place, name))}]] tables", repr(rows))
            rows = []
        return [
            FileTable(self.location, row, self.problems, self._lines, (*self.place, name, number))
            for number, row in enumerate(rows)
        ]

    def know(self, *keys: str) -> None:
        """These keys may be there, though nothing takes them if they are not."""
        self._taken.update(keys)

    @property
    def line(self) -> int:
        return line_of(self._lines, self.place)

    def line_of(self, key: str) -> int:
        return line_of(self._lines, (*self.place, key))

    def _where(self, key: str) -> str:
        return f"{self.location}: line {self.line_of(key)}: {shown((*self.place, key))}"


def explained(read: Callable[[], _T]) -> _T:
    """Raises ExplainedValueError for a ValueError, whose text says what was expected and what came."""
    try:
        return read()
    except ExplainedValueError:
        raise
    except ValueError as error:
        raise ExplainedValueError(str(error)) from None


def keep_reader(name: str, *, answers: bool) -> Callable[[object], Keep]:
    """A reader of one entry of `keep`: see `keep_of`."""
    return lambda value: explained(lambda: keep_of(name, value, answers=answers))


def one_path(value: object) -> Path:
    """A path that names one value."""
    if not isinstance(value, str):
        raise ValueError("expected a path such as $.data.text")
    return explained(lambda: path_of(value))


def any_paths(value: object) -> Paths:
    """A path that may name several."""
    if not isinstance(value, str):
        raise ValueError("expected a path such as $.messages[*]")
    return explained(lambda: Paths(value))


def next_value(value: object) -> NextValue:
    """A path of `next`."""
    if not isinstance(value, str):
        raise ValueError("expected a path such as @.id or $.next")
    of_last = value.startswith("@")
    return explained(lambda: NextValue(path_of(value, current=of_last), of_last))


def any_text(value: object) -> str:
    """A text, which may be empty."""
    if isinstance(value, str):
        return value
    raise ValueError("expected a text")


def texts(value: object) -> tuple[str, ...]:
    """A list of texts."""
    if isinstance(value, list) and value and all(isinstance(one, str) and one for one in value):
        return tuple(value)
    raise ValueError("expected a list of texts")


def numbers(value: object) -> tuple[int, ...]:
    """A list of statuses or close codes."""
    if isinstance(value, list) and value and all(type(one) is int and 0 < one < 5000 for one in value):
        return tuple(value)
    raise ValueError("expected a list of numbers, such as [302, 303]")


def span_text(value: object) -> str:
    """A text that may be a duration with holes."""
    if isinstance(value, str):
        return value
    raise ValueError('expected a text such as "30s"')


def flag(value: object) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    raise ValueError("expected true or false")


def named_pattern(value: object) -> re.Pattern[str]:
    """A regular expression with named groups."""
    if not isinstance(value, str):
        raise ValueError("expected a regular expression")
    compiled = explained(lambda: pattern_of(value, "a regular expression", re.DOTALL))
    if not compiled.groupindex:
        raise ExplainedValueError(
            f"expected a regular expression with named groups, such as (?P<text>.*), got {value!r}"
        )
    return compiled


def request_line(value: object) -> str:
    """A method and a path."""
    method, _, path = value.partition(" ") if isinstance(value, str) else ("", "", "")
    if method in METHODS and path.startswith(("/", "${")):
        return f"{method} {path}"
    raise ValueError('expected a method and a path, such as "POST /api/login"')
