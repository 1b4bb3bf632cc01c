"""Reads settings from TOML, and collects all problems as location, expected and got."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from chatswarm.loadtests.system.units import seconds

_T = TypeVar("_T")


class ExplainedValueError(ValueError):
    """A wrong value. The text itself says what was expected and what came."""


class TomlTable:
    """Reads the values of one table, and collects all problems instead of stopping at the first."""

    def __init__(self, location: str, values: Mapping[str, Any], problems: list[str] | None = None) -> None:
        self.location = location
        self.values = dict(values)
        self.problems: list[str] = [] if problems is None else problems
        self._taken: set[str] = set()
        self._flags: dict[str, str] = {}  # key → the flag that set it

    def table(self, name: str, values: object) -> "TomlTable":
        """A reader of a table in this one, with the same list of problems."""
        location = f"{self.location}: {name}"
        if not isinstance(values, dict):
            self.problems.append(f"{location}: expected a table, got {values!r}")
            values = {}
        return TomlTable(location, values, self.problems)

    def rows(self, name: str, table: Mapping[str, Any]) -> list[Any]:
        """The `[[name]]` tables in `table`."""
        rows = table.get(name, [])
        if isinstance(rows, list):
            return rows
        self.problem(name, f"[[{name}]] tables", rows)
        return []

    def override(self, key: str, value: object, flag: str | None = None) -> None:
        """Sets a value from a flag; None: the one with the key's name. Problems with it name the flag."""
        self.values[key] = value
        self._flags[key] = flag or f"--{key.replace('_', '-')}"

    def take(self, key: str, default: _T, read: Callable[[object], _T]) -> _T:
        """The value of a key as `read` converts it; the default if it is missing or wrong."""
        self._taken.add(key)
        if key not in self.values:
            return default
        try:
            return read(self.values[key])
        except ExplainedValueError as error:
            self.report(key, str(error))
        except ValueError as error:
            expected = str(error).removeprefix("expected ").partition(", got ")[0]
            self.problem(key, expected, self.values[key])
        return default

    def require(self, *keys: str) -> None:
        for key in keys:
            if key not in self.values:
                self.problem(key, "a value", "none")

    def problem(self, key: str, expected: str, got: object) -> None:
        self.report(key, f"expected {expected}, got {got}")

    def report(self, key: str, problem: str) -> None:
        self.problems.append(f"{self._where(key)}: {problem}")

    def finish(self) -> None:
        """Reports keys that nothing has taken."""
        self.unknown(self._taken)

    def unknown(self, known: set[str]) -> None:
        for key in self.values.keys() - known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            self.problem(key, f"one of {', '.join(sorted(known))}", f"this key{hint}")

    def _where(self, key: str) -> str:
        if key in self._flags:
            return self._flags[key]
        return f"{self.location}.{key}" if ": " in self.location else f"{self.location}: {key}"


def whole(value: object) -> int:
    """A whole number above 0."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError("expected a whole number above 0")


def count(value: object) -> int:
    """A whole number that is 0 or more."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("expected a whole number that is 0 or more")


def number(value: object) -> float:
    """Any finite number."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value and abs(value) < 1e9:
        return float(value)
    raise ValueError("expected a number")


def positive(value: object) -> float:
    """A number above 0."""
    if isinstance(value, (int, float)) and number(value) > 0:
        return float(value)
    raise ValueError("expected a positive number")


def not_negative(value: object) -> float:
    """A number that is 0 or more."""
    if isinstance(value, (int, float)) and number(value) >= 0:
        return float(value)
    raise ValueError("expected a number that is 0 or more")


def span(value: object) -> float:
    """A duration above 0, in seconds."""
    if (span := seconds(value)) > 0:
        return span
    raise ValueError("expected a duration above 0, such as 30s or 300ms")


def one_of(*choices: _T) -> Callable[[object], _T]:
    """A reader for one of these values."""

    def read(value: object) -> _T:
        for choice in choices:
            if value == choice:
                return choice
        raise ValueError(f"expected one of {', '.join(map(str, choices))}")

    return read


def fraction(value: object) -> float:
    """A number above 0, at most 1."""
    if isinstance(value, (int, float)) and 0 < number(value) <= 1:
        return float(value)
    raise ValueError("expected a number above 0, at most 1")


def text(value: object) -> str:
    """A text that is not empty."""
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError("expected a text that is not empty")
