"""One trial: a command against chats with a planted truth, and whether it was right in the time that it told."""

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.command import CHATSWARM, Command, running

_LATE = 120.0
"""Seconds after the told time at which a command is ended."""
_TIME = re.compile(r"(?:(\d+) h )?(\d+) (s|min)\b")


@dataclass(frozen=True)
class Trial:
    """What came of one. `problem` is empty if the command was right."""

    kind: str
    found: str
    problem: str
    told: float
    """Seconds that it would take at most."""
    took: float


def tried(
    kind: str,
    words: Sequence[str],
    folder: Path,
    judged: Callable[[int, dict[str, Any]], tuple[str, str]],
    before: Sequence[str] = (),
) -> Trial:
    """Runs a command. `judged` says what its exit code and result found, and what is wrong with that.

    `before`: a command that starts it.
    """
    began = time.monotonic()
    with running([*before, *CHATSWARM, *words, "--json"], folder) as command:
        told = told_by(command)
        result = command.result(told + _LATE)
    took = time.monotonic() - began
    if not result.out.strip():
        return Trial(kind, "no result", result.err.strip()[-300:] or f"exit code {result.code}", told, took)
    found, problem = judged(result.code, json.loads(result.out))
    if took > told:
        problem = problem or f"it took {took:.0f} s, and told {told:.0f} s"
    return Trial(kind, found, problem, told, took)


def told_by(command: Command) -> float:
    """The seconds that a command says it takes at most, in its first line; 0 if it ends without one."""
    while "\n" not in command.said() and command.process.poll() is None:
        time.sleep(0.05)
    return told_in(command.said().partition("\n")[0])


def told_in(line: str) -> float:
    """The seconds of the last time that a line tells, such as `at most 1 h 20 min`; 0 if it tells none."""
    found = _TIME.findall(line)
    if not found:
        return 0.0
    hours, number, unit = found[-1]
    return 3600.0 * int(hours or 0) + int(number) * (60.0 if unit == "min" else 1.0)
