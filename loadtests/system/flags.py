"""Reads the values of command-line flags so that all problems can be reported at once."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def read_flag(flag: str, parse: Callable[[str], T], value: str, problems: list[str]) -> T | None:
    """The parsed value; None if `parse` raises ValueError, which is added to `problems` under the flag's name."""
    try:
        return parse(value)
    except ValueError as error:
        problems.append(f"{flag}: {error}")
        return None
