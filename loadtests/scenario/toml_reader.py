"""Reading settings out of TOML: values one by one, with every problem gathered as place, expected and got."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from chatswarm.loadtests.system.units import seconds

_T = TypeVar("_T")


class Explained(ValueError):
    """A value that cannot be used. The text says by itself what was expected and what came."""


class TomlTable:
    """Takes values out of one table, and gathers what is wrong with them instead of stopping at the first."""

    def __init__(self, place: str, values: Mapping[str, Any], problems: list[str] | None = None) -> None:
        self.place = place
        self.values = dict(values)
        self.problems: list[str] = [] if problems is None else problems
        self._taken: set[str] = set()
        self._flags: set[str] = set()

    def table(self, name: str, values: object) -> "TomlTable":
        place = f"{self.place}: {name}"
        if not isinstance(values, dict):
            self.problems.append(f"{place}: expected a table, got {values!r}")
            values = {}
        return TomlTable(place, values, self.problems)

    def rows(self, name: str, table: Mapping[str, Any]) -> list[Any]:
        rows = table.get(name, [])
        if isinstance(rows, list):
            return rows
        self.problem(name, f"[[{name}]] tables", rows)
        return []

    def override(self, key: str, value: object) -> None:
        self.values[key] = value
        self._flags.add(key)

    def take(self, key: str, default: _T, read: Callable[[object], _T]) -> _T:
        self._taken.add(key)
        if key not in self.values:
            return default
        try:
            return read(self.values[key])
        except Explained as error:
            self.say(key, str(error))
        except ValueError as error:
            expected = str(error).removeprefix("expected ").partition(", got ")[0]
            self.problem(key, expected, self.values[key])
        return default

    def require(self, *keys: str) -> None:
        for key in keys:
            if key not in self.values:
                self.problem(key, "a value", "none")

    def problem(self, key: str, expected: str, got: object) -> None:
        self.say(key, f"expected {expected}, got {got}")

    def say(self, key: str, problem: str) -> None:
        self.problems.append(f"{self._where(key)}: {problem}")

    def finish(self) -> None:
        self.unknown(self._taken)

    def unknown(self, known: set[str]) -> None:
        for key in self.values.keys() - known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            self.problem(key, f"one of {', '.join(sorted(known))}", f"this key{hint}")

    def _where(self, key: str) -> str:
        if key in self._flags:
            return f"--{key.replace('_', '-')}"
        return f"{self.place}.{key}" if ": " in self.place else f"{self.place}: {key}"


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
