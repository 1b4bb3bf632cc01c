"""A scenario: what the swarm does, for how long, and what is expected of the target. Read from TOML, or refused whole.

A wrong scenario is refused before any load, with every problem at once, each as place, expected and got.
"""

import difflib
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import tomli_w

from . import slo
from .schedule import Arrivals, Rates
from .targets import Target
from .units import seconds

_T = TypeVar("_T")

SHIPPED = Path(__file__).parent / "scenarios"
Reconnect = Literal["jitter", "origin"]


class ScenarioError(ValueError):
    """A scenario that cannot be run. `problems` holds all of them, a line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Refetch:
    """When a dashboard refetches after a frame: after each, one in flight and one waiting, or at most so often."""

    policy: Literal["every", "coalesce", "interval"]
    interval: float = 0.0  # seconds between two starts; the last frame is always followed by a refetch


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the measured time with a rate, and perhaps a number of dashboards, of its own."""

    seconds: float
    rate: float
    dashboards: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """A checked scenario. All durations are in seconds, rates in messages per second over all widgets."""

    name: str
    widgets: int
    stages: tuple[Stage, ...]
    arrivals: Arrivals
    ramp: float
    drain: float
    refetch: Refetch
    reconnect: Reconnect
    update_target: float  # a message that becomes visible later than this is late
    size: int  # characters of a message's text
    list_window: int | None  # the target's list shows only this many chats; None: what its adapter says
    slos: tuple[slo.Slo, ...]
    table: Mapping[str, Any]  # the resolved TOML, flags applied

    @property
    def dashboards(self) -> int:
        """How many dashboards there are at the most."""
        return max(stage.dashboards for stage in self.stages)

    @property
    def duration(self) -> float:
        """The length of the measured part in seconds."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def faults(self) -> set[str]:
        """The names of its faults."""
        return _fault_names(self.table)

    @property
    def rates(self) -> Rates:
        edges = (0.0, *accumulate(stage.seconds for stage in self.stages))
        return Rates(edges, tuple(stage.rate for stage in self.stages))

    def planned(self, dashboard: int) -> list[tuple[float, float]]:
        """When dashboard number `dashboard` (from 0) is there: spans of seconds after the start, ascending."""
        spans: list[tuple[float, float]] = []
        at = 0.0
        for stage in self.stages:
            if dashboard < stage.dashboards:
                if spans and spans[-1][1] == at:
                    spans[-1] = (spans[-1][0], at + stage.seconds)
                else:
                    spans.append((at, at + stage.seconds))
            at += stage.seconds
        return spans

    def toml(self) -> str:
        """The scenario as it was resolved, ready to be run again."""
        return tomli_w.dumps(dict(self.table))

    def unfit_for(self, target: Target) -> list[str]:
        """Why this scenario cannot be judged on this target; empty if it can."""
        window = target.list_window
        if self.list_window is not None or window is None or self.widgets <= window:
            return []
        problem = (
            f"{self.name}: swarm.widgets: expected at most {window}, the chats that a list of the adapter "
            f"{target.name} shows (or swarm.list_window, to accept that older chats are excused), got {self.widgets}"
        )
        return [problem]


def shipped() -> dict[str, Path]:
    """The scenarios that come with chatswarm, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}


def load(name: str, overrides: Mapping[str, object] | None = None) -> Scenario:
    """The shipped scenario of that name, or the one in that file; `overrides` replace keys of `[swarm]` by flag name.

    Raises ScenarioError.
    """
    path = shipped().get(name) or Path(name)
    place = f"scenarios/{path.name}" if path.parent == SHIPPED else str(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = difflib.get_close_matches(name, shipped(), 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ScenarioError(
            [f"scenario: expected one of {', '.join(shipped())} or the path of a TOML file, got {name!r}{hint}"]
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ScenarioError([f"{place}: expected a readable TOML file, got: {error}"]) from None
    return parse(table, str(table.get("name", path.stem)), place, overrides)


def parse(
    table: Mapping[str, Any],
    name: str,
    place: str,
    overrides: Mapping[str, object] | None = None,
    *,
    recorded: bool = False,
) -> Scenario:
    """The scenario in a TOML table. `place` names its file in errors. Raises ScenarioError with all problems.

    `recorded`: the scenario of a run that is over. Its faults are those of its history, so that the judge, not this,
    says whether an SLO's window names one.
    """
    reader = _Reader(place, table)
    swarm = reader.table("swarm", table.get("swarm", {}))
    given = dict(overrides or {})
    for key, value in given.items():
        swarm.override(key, value)
    if "stage" in table:
        for key in ("rate", "duration"):
            if key in given:
                swarm.problem(key, "no such flag, because the scenario's stages say it", given[key])
            elif key in swarm.values:
                swarm.problem(key, "either [[stage]] or this, not both", swarm.values[key])

    dashboards = swarm.take("dashboards", 100, _whole)
    widgets = swarm.take("widgets", 50, _whole)
    rate = swarm.take("rate", 20.0, _positive)
    duration = swarm.take("duration", 30.0, _span)
    update_target = swarm.take("update_target", 2.0, _span)
    drain = swarm.take("drain", update_target + 3, seconds)
    if drain < update_target + 2 - 1e-9:
        swarm.problem("drain", f"at least the update target + 2 s = {update_target + 2:g}s", f"{drain:g}s")
    scenario = Scenario(
        name=name,
        widgets=widgets,
        stages=_stages(reader, table, dashboards) or (Stage(duration, rate, dashboards),),
        arrivals=swarm.take("arrivals", "poisson", _one_of(*get_args(Arrivals))),
        ramp=swarm.take("ramp", 5.0, seconds),
        drain=drain,
        refetch=swarm.take("refetch", Refetch("interval", 0.3), _refetch),
        reconnect=swarm.take("reconnect", "jitter", _one_of(*get_args(Reconnect))),
        update_target=update_target,
        size=swarm.take("size", 100, _whole),
        list_window=swarm.take("list_window", None, _whole),
        slos=_slos(reader, table, None if recorded else _fault_names(table)),
        table={**table, "name": name, "swarm": swarm.values},
    )
    swarm.finish()
    if "fault" in table and not recorded:
        reader.problem(
            "fault", "no faults: this version cannot inject any", f"{len(reader.rows('fault', table))} of them"
        )
    reader.unknown({"name", "swarm", "stage", "slo", "fault"})
    if reader.problems:
        raise ScenarioError(reader.problems)
    return scenario


def _stages(reader: "_Reader", table: Mapping[str, Any], dashboards: int) -> tuple[Stage, ...]:
    stages = []
    for number, row in enumerate(reader.rows("stage", table), 1):
        part = reader.table(f"stage {number}", row)
        stages.append(
            Stage(
                part.take("for", None, _span) or 1.0,
                part.take("rate", None, _not_negative) or 0.0,
                part.take("dashboards", dashboards, _whole),
            )
        )
        part.require("for", "rate")
        part.finish()
    if stages and not any(stage.rate for stage in stages):
        reader.problem("stage", "at least one stage with a rate above 0", "none")
    return tuple(stages)


def _fault_names(table: Mapping[str, Any]) -> set[str]:
    rows = table.get("fault", [])
    named = [row.get("name") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return {name for name in named if isinstance(name, str)}


def _slos(reader: "_Reader", table: Mapping[str, Any], faults: Collection[str] | None) -> tuple[slo.Slo, ...]:
    """`faults`: the names that a window may have; None if any will do."""
    slos = []
    for number, row in enumerate(reader.rows("slo", table), 1):
        part = reader.table(f"slo {number}", row)
        expected = part.take("expect", None, slo.parse)
        part.require("expect")
        part.finish()
        if expected is None:
            continue
        slos.append(expected)
        if faults is not None and (wrong := expected.unknown_fault(faults)):
            part.say("expect", wrong)
    return tuple(slos)


class _Reader:
    """Takes values out of one table, and gathers what is wrong with them instead of stopping at the first."""

    def __init__(self, place: str, values: Mapping[str, Any], problems: list[str] | None = None) -> None:
        self.place = place
        self.values = dict(values)
        self.problems: list[str] = [] if problems is None else problems
        self._taken: set[str] = set()
        self._flags: set[str] = set()

    def table(self, name: str, values: object) -> "_Reader":
        place = f"{self.place}: {name}"
        if not isinstance(values, dict):
            self.problems.append(f"{place}: expected a table, got {values!r}")
            values = {}
        return _Reader(place, values, self.problems)

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
        except slo.SloError as error:
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


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError("expected a whole number above 0")


def _number(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value and abs(value) < 1e9:
        return float(value)
    raise ValueError("expected a number")


def _positive(value: object) -> float:
    if isinstance(value, (int, float)) and _number(value) > 0:
        return float(value)
    raise ValueError("expected a positive number")


def _not_negative(value: object) -> float:
    if isinstance(value, (int, float)) and _number(value) >= 0:
        return float(value)
    raise ValueError("expected a number that is 0 or more")


def _span(value: object) -> float:
    if (span := seconds(value)) > 0:
        return span
    raise ValueError("expected a duration above 0, such as 30s or 300ms")


def _one_of(*choices: _T) -> Callable[[object], _T]:
    def read(value: object) -> _T:
        for choice in choices:
            if value == choice:
                return choice
        raise ValueError(f"expected one of {', '.join(map(str, choices))}")

    return read


def _refetch(value: object) -> Refetch:
    if value == "every":
        return Refetch("every")
    if value == "coalesce":
        return Refetch("coalesce")
    try:
        return Refetch("interval", _span(value))
    except ValueError:
        raise ValueError("expected every, coalesce or a duration such as 300ms") from None
