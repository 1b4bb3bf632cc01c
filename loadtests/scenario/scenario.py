"""A scenario: what the swarm does, for how long, and what is expected of the target. Read from TOML, or refused whole.

A wrong scenario is refused before any load, with every problem at once, each as place, expected and got.
"""

import difflib
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, get_args

import tomli_w

from chatswarm.loadtests.messages.alphabet import Alphabet
from chatswarm.loadtests.protocols import ChatProtocol
from chatswarm.loadtests.system.text import encodable, one_line
from chatswarm.loadtests.system.units import seconds

from . import slo
from .fault_kinds import FaultPlan, read_plans
from .schedule import Arrivals, Rates
from .toml_reader import TomlTable, not_negative, one_of, positive, span, text, whole

SHIPPED = Path(__file__).parents[1] / "scenarios"
Reconnect = Literal["jitter", "origin"]


class ScenarioError(ValueError):
    """A scenario that cannot be run. `problems` holds all of them, a line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = [one_line(problem) for problem in problems]
        super().__init__("\n".join(self.problems))


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
    question: str  # that it answers, for people; empty if it does not say
    widgets: int
    stages: tuple[Stage, ...]
    arrivals: Arrivals
    ramp: float
    drain: float
    refetch: Refetch
    reconnect: Reconnect
    update_target: float  # a message that becomes visible later than this is late
    size: int  # characters (code points) of a message's text
    text: Alphabet  # which characters it is made of
    list_window: int | None  # the target's list shows only this many chats; None: what its protocol says
    handshake: float  # seconds for each of: TCP, TLS and HTTP; `connected`; `subscribed`
    ping_interval: float  # seconds of silence after which a dashboard pings
    ping_timeout: float  # seconds without an answer to that, after which its connection counts as dead
    slos: tuple[slo.Slo, ...]
    faults: tuple[FaultPlan, ...]
    backend: Mapping[str, Any]  # with which flags the reference backend is started, where it is
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
    def fault_names(self) -> set[str]:
        """The names of its faults, also of those that this version does not know."""
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

    def eligible(self, at: float) -> int:
        """How many dashboards, from number 0, must show a message intended `at` seconds after the start.

        One whose planned stop comes before the end must have had the whole update target to show it.
        """
        begun, count = 0.0, self.stages[0].dashboards
        for stage in self.stages:
            if begun <= at:
                count = stage.dashboards
            elif begun < at + self.update_target - 1e-9:
                count = min(count, stage.dashboards)
            begun += stage.seconds
        return count

    def toml(self) -> str:
        """The scenario as it was resolved, ready to be run again."""
        return tomli_w.dumps(dict(self.table))

    def unfit_for(self, target: ChatProtocol) -> list[str]:
        """Why this scenario cannot be judged on this target; empty if it can."""
        window = target.list_window
        if self.list_window is not None or window is None or self.widgets <= window:
            return []
        problem = (
            f"{self.name}: swarm.widgets: expected at most {window}, the chats that a list of the protocol "
            f"{target.name} shows (or swarm.list_window, to accept that older chats are excused), got {self.widgets}"
        )
        return [one_line(problem)]


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
        # Editors of Windows begin a file with a byte order mark.
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        near = difflib.get_close_matches(name, shipped(), 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ScenarioError(
            [f"scenario: expected one of {', '.join(shipped())} or the path of a TOML file, got {name!r}{hint}"]
        ) from None
    except UnicodeDecodeError:
        problem = f"{place}: expected TOML in UTF-8, got a file in another encoding (UTF-16?)"
        raise ScenarioError([problem]) from None
    except RecursionError:
        raise ScenarioError([f"{place}: expected a readable TOML file, got: brackets nested too deeply"]) from None
    except (OSError, ValueError) as error:
        # ValueError: no TOML, or a number with thousands of digits.
        raise ScenarioError([f"{place}: expected a readable TOML file, got: {error}"]) from None
    return parse(table, encodable(str(table.get("name", path.stem))), place, overrides)


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
    reader = TomlTable(place, table)
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

    dashboards = swarm.take("dashboards", 100, whole)
    widgets = swarm.take("widgets", 50, whole)
    rate = swarm.take("rate", 20.0, positive)
    duration = swarm.take("duration", 30.0, span)
    update_target = swarm.take("update_target", 2.0, span)
    drain = swarm.take("drain", update_target + 3, seconds)
    if drain < update_target + 2 - 1e-9:
        swarm.problem("drain", f"at least the update target + 2 s = {update_target + 2:g}s", f"{drain:g}s")
    stages = _stages(reader, table, dashboards) or (Stage(duration, rate, dashboards),)
    length = sum(stage.seconds for stage in stages)
    scenario = Scenario(
        name=name,
        question=reader.take("question", "", text),
        widgets=widgets,
        stages=stages,
        arrivals=swarm.take("arrivals", "poisson", one_of(*get_args(Arrivals))),
        ramp=swarm.take("ramp", 5.0, seconds),
        drain=drain,
        refetch=swarm.take("refetch", Refetch("interval", 0.3), _refetch),
        reconnect=swarm.take("reconnect", "jitter", one_of(*get_args(Reconnect))),
        update_target=update_target,
        size=swarm.take("size", 100, whole),
        text=swarm.take("text", "ascii", one_of(*get_args(Alphabet))),
        list_window=swarm.take("list_window", None, whole),
        handshake=swarm.take("handshake", 10.0, span),
        ping_interval=swarm.take("ping_interval", 30.0, span),
        ping_timeout=swarm.take("ping_timeout", 10.0, span),
        slos=_slos(reader, table, None if recorded else _fault_names(table)),
        faults=() if recorded else read_plans(reader, reader.rows("fault", table), length),
        backend=reader.table("backend", table.get("backend", {})).values,
        table={**table, "name": name, "swarm": swarm.values},
    )
    swarm.finish()
    reader.unknown({"name", "question", "swarm", "stage", "slo", "fault", "backend"})
    if reader.problems:
        raise ScenarioError(reader.problems)
    return scenario


def _stages(reader: TomlTable, table: Mapping[str, Any], dashboards: int) -> tuple[Stage, ...]:
    stages = []
    for number, row in enumerate(reader.rows("stage", table), 1):
        part = reader.table(f"stage {number}", row)
        stages.append(
            Stage(
                part.take("for", None, span) or 1.0,
                part.take("rate", None, not_negative) or 0.0,
                part.take("dashboards", dashboards, whole),
            )
        )
        part.require("for", "rate")
        part.finish()
    if stages and not any(stage.rate for stage in stages):
        reader.problem("stage", "at least one stage with a rate above 0", "none")
    return tuple(stages)


def _fault_names(table: Mapping[str, Any]) -> set[str]:
    rows = table.get("fault", [])
    tables = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    named = [row.get("name", row.get("kind")) for row in tables]
    return {name for name in named if isinstance(name, str)}


def _slos(reader: TomlTable, table: Mapping[str, Any], faults: Collection[str] | None) -> tuple[slo.Slo, ...]:
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


def _refetch(value: object) -> Refetch:
    if value == "every":
        return Refetch("every")
    if value == "coalesce":
        return Refetch("coalesce")
    try:
        return Refetch("interval", span(value))
    except ValueError:
        raise ValueError("expected every, coalesce or a duration such as 300ms") from None
