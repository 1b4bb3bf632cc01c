"""A scenario's `[[fault]]` tables, read into plans and checked without knowing the target."""

import re
from collections.abc import Sequence
from itertools import combinations

from chatswarm.loadtests.reading import Table, one_of, span, text
from chatswarm.loadtests.units import seconds

from .fault import Plan, Value
from .kinds import KINDS

_NAME = re.compile(r"[\w.-]+")


def read_plans(reader: Table, rows: Sequence[object], duration: float) -> tuple[Plan, ...]:
    """One for each row that is right; problems go to the reader. `duration`: seconds of the measured part."""
    read = [_read(reader.table(f"fault {number}", row), duration) for number, row in enumerate(rows, 1)]
    plans = tuple(plan for plan in read if plan is not None)
    for one, other in combinations([plan for plan in plans if KINDS[plan.kind].alone], 2):
        if (one.kind, one.on) == (other.kind, other.on) and (at := _meet(one, other, duration)) is not None:
            both = f"{one.name} and {other.name}" if one.name != other.name else f"two of the name {one.name}"
            reader.problem("fault", f"one {one.kind} on {one.on} at a time", f"{both} at {at:g} s")
    return plans


def _meet(one: Plan, other: Plan, duration: float) -> float | None:
    """When both are there; None if they never are."""
    for begin in one.occurrences(duration):
        for start in other.occurrences(duration):
            if begin <= start + other.length and start <= begin + one.length:
                return max(begin, start)
    return None


def _read(part: Table, duration: float) -> Plan | None:
    known = len(part.problems)
    part.require("kind", "at")
    name_of_kind = part.take("kind", None, one_of(*KINDS))
    if name_of_kind is None:
        return None
    kind = KINDS[name_of_kind]
    name = part.take("name", name_of_kind, _name)
    at = part.take("at", 0.0, seconds)
    length = part.take("for", 0.0, seconds)
    every = part.take("every", None, span)
    on = part.take("on", kind.places[0], one_of(*kind.places))
    values: dict[str, Value] = {}
    for key, parameter in kind.parameters.items():
        if parameter.default is None:
            part.require(key)
        value = part.take(key, parameter.default, parameter.read)
        if value is not None:
            values[key] = value
    part.finish()
    if at + length > duration:
        part.problem("for", f"its end within the {duration:g} s that are measured", f"{at + length:g} s")
    if every is not None and every <= length:
        part.problem("every", f"more than for = {length:g} s", f"{every:g} s")
    if len(part.problems) > known:
        return None
    plan = Plan(name, name_of_kind, at, length, every, on, values)
    for problem in kind.problems(plan):
        key, _, said = problem.partition(": ")
        part.say(key, said)
    return plan


def _name(value: object) -> str:
    if _NAME.fullmatch(text(value)):
        return str(value)
    raise ValueError("expected letters, digits, dots and dashes")
