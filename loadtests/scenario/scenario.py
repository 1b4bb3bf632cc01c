"""A scenario: the load, its length, the faults, and the SLOs of the target. Read from TOML and validated.

A wrong scenario is refused before any load, with all problems at once, each as location, expected and got.
"""

import difflib
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import tomli_w

from chatswarm.loadtests.messages.alphabet import Alphabet
from chatswarm.loadtests.protocols.promises import Promises, SendOver
from chatswarm.loadtests.protocols.protocol import DEFAULT, ChatProtocol
from chatswarm.loadtests.system.text import encodable, one_line
from chatswarm.loadtests.system.toml_reader import TomlTable, count, not_negative, one_of, positive, span, text, whole
from chatswarm.loadtests.system.units import seconds

from . import slo
from .fault_kinds import FaultPlan, read_plans
from .schedule import Arrivals, Rates

if TYPE_CHECKING:
    # With numpy, which takes as long as all the rest here: only scenarios with rooms load it.
    from .rooms import MembershipChange, Memberships, Rooms

SHIPPED = Path(__file__).parents[1] / "scenarios"
Reconnect = Literal["jitter", "origin"]
PUSH = "push"
"""The protocol that the reference backend speaks with `[backend] push = true`."""
_ROOMS_FLAGS = {"rooms": "count", "members": "members"}
"""Flags that override keys of `[rooms]`, not of `[swarm]`."""


class ScenarioError(ValueError):
    """A scenario that cannot be run. `problems` holds all reasons, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = [one_line(problem) for problem in problems]
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Refetch:
    """When a dashboard refetches: after every frame, one at a time with one pending, or at most once per interval."""

    policy: Literal["every", "coalesce", "interval"]
    interval: float = 0.0  # seconds between two starts; the last frame is always followed by a refetch


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the measured part, with its own rate and number of dashboards."""

    seconds: float
    rate: float
    dashboards: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """A valid scenario. Durations are in seconds, rates in messages per second over all widgets."""

    name: str
    question: str  # the question that it answers, for people; may be empty
    widgets: int
    stages: tuple[Stage, ...]
    arrivals: Arrivals
    ramp: float
    drain: float
    refetch: Refetch
    reconnect: Reconnect
    update_target: float  # a message that takes longer to become visible is late
    size: int  # length of a message's text in code points
    text: Alphabet  # the characters of a message's text
    list_window: int | None  # how many chats the target's list shows; None: as many as its protocol says
    handshake: float  # deadline for each of: TCP, TLS and HTTP together; `connected`; `subscribed`
    ping_interval: float  # silence after which a dashboard pings
    ping_timeout: float  # time without a pong after which the connection counts as dead
    send_over: SendOver | None  # None: as the target's protocol does it, by requests if both are possible
    deflate: bool  # sockets offer compression, as browsers do
    rooms: "Rooms | None"  # None: each widget has a chat, and every dashboard shows all of them
    slos: tuple[slo.Slo, ...]
    faults: tuple[FaultPlan, ...]
    backend: Mapping[str, Any]  # flags of the reference backend, if it is the target
    table: Mapping[str, Any]  # the resolved TOML, flags applied

    @property
    def dashboards(self) -> int:
        """The largest number of dashboards in any stage."""
        return max(stage.dashboards for stage in self.stages)

    @property
    def duration(self) -> float:
        """The length of the measured part in seconds."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def fault_names(self) -> set[str]:
        """The names of its faults, including kinds that this version does not know."""
        return _fault_names(self.table)

    @property
    def senders_are_members(self) -> bool:
        """Whether the first dashboards send, and not widgets."""
        return self.rooms is not None and self.rooms.senders == "members"

    @property
    def widget_users(self) -> int:
        """How many widgets are separate users, because they are not dashboards as well."""
        return 0 if self.senders_are_members else self.widgets

    @property
    def rates(self) -> Rates:
        edges = (0.0, *accumulate(stage.seconds for stage in self.stages))
        return Rates(edges, tuple(stage.rate for stage in self.stages))

    @property
    def own_protocol(self) -> str:
        """The protocol of the chat that is started for a run without a target."""
        return PUSH if self.backend.get("push") else DEFAULT

    def speaking_push(self) -> "Scenario":
        """The same, but the chat that is started for a run without a target is the push chat."""
        table = {**self.table, "backend": {**self.backend, "push": True}}
        return replace(self, backend=table["backend"], table=table)

    def rooms_for(self, promises: Promises) -> "Rooms | None":
        """Its rooms with such a chat, where a scenario without rooms has one for everybody; None: the chat has none."""
        if not promises.has_rooms:
            return None
        from .rooms import Rooms

        return self.rooms or Rooms(1)

    def memberships_for(self, promises: Promises, seed: int) -> "Memberships | None":
        """Who is a member of which room with such a chat; None if it has no rooms."""
        rooms = self.rooms_for(promises)
        if rooms is None:
            return None
        from .rooms import memberships_of

        return memberships_of(rooms, self.dashboards, seed, self.widgets)

    def sends_over(self, promises: Promises) -> SendOver:
        """How messages are sent to such a chat."""
        return self.send_over or promises.sends_over[0]

    def planned(self, dashboard: int) -> list[tuple[float, float]]:
        """When dashboard number `dashboard` (from 0) should be connected: spans in seconds after the start."""
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

        A dashboard with a planned stop counts only if it had the whole update target to show the message.
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
        """The resolved scenario, ready to be run again."""
        return tomli_w.dumps(dict(self.table))

    def unfit_for(self, protocol: ChatProtocol) -> list[str]:
        """Why this scenario cannot be judged with this protocol; empty if it can."""
        found = [*self._unfit_list(protocol), *self._unfit_rooms(protocol), *self._unfit_silences(protocol)]
        found += self._unfit_sends(protocol)
        if self.send_over is not None and self.send_over not in protocol.promises.sends_over:
            ways = " or ".join(protocol.promises.sends_over)
            found.append(
                f"swarm.send_over: expected {ways}, because that is how the protocol {protocol.name} sends, got "
                f"{self.send_over}"
            )
        return [one_line(f"{self.name}: {problem}") for problem in found]

    def _unfit_list(self, protocol: ChatProtocol) -> list[str]:
        window = protocol.list_window
        if self.list_window is not None:
            if protocol.promises.visible == "refetch":
                return []
            why = f"because dashboards of the protocol {protocol.name} refetch no list"
            return [f"swarm.list_window: expected none, {why}, got {self.list_window}"]
        if window is None or self.widgets <= window:
            return []
        instead = "(or swarm.list_window, to accept that older chats are excused)"
        shown = f"the chats that a list of the protocol {protocol.name} shows {instead}"
        return [f"swarm.widgets: expected at most {window}, {shown}, got {self.widgets}"]

    def _unfit_sends(self, protocol: ChatProtocol) -> list[str]:
        limit, peak = protocol.promises.sends_per_user, max(stage.rate for stage in self.stages)
        if limit is None or peak <= limit * self.widgets:
            return []
        why = f"because a user of the protocol {protocol.name} may send {limit:g} messages/s"
        return [
            f"swarm.rate: expected at most {limit * self.widgets:g} for {self.widgets} senders, {why}, got {peak:g}"
        ]

    def _unfit_rooms(self, protocol: ChatProtocol) -> list[str]:
        promises = protocol.promises
        if self.rooms is None:
            return []
        if not promises.has_rooms:
            why = f"because the protocol {protocol.name} has no rooms"
            return [f"rooms: expected none (or another --protocol), {why}, got {self.rooms.count}"]
        found = []
        if promises.most_rooms is not None and self.rooms.fixed is None and self.rooms.count > promises.most_rooms:
            why = f"as many as there are with the protocol {protocol.name}"
            found.append(f"rooms.count: expected at most {promises.most_rooms}, {why}, got {self.rooms.count}")
        everybody = self.rooms.members in (None, self.dashboards)
        if not promises.joins_rooms and not promises.has_members and not everybody:
            why = f"because the protocol {protocol.name} shows every room to everybody"
            found.append(f"rooms.members: expected {self.dashboards}, {why}, got {self.rooms.members}")
        if promises.one_room and not self.rooms.one_for_each(self.dashboards):
            why = f"because a connection of the protocol {protocol.name} has one room"
            found.append(f"rooms: expected each dashboard to be a member of one room, {why}, got other members")
        if self.rooms.changes and not (promises.has_members and promises.members_change and not promises.one_room):
            why = f"because the members of a room do not change with the protocol {protocol.name}"
            found.append(f"rooms.change: expected none, {why}, got {len(self.rooms.changes)}")
        return found

    def _unfit_silences(self, protocol: ChatProtocol) -> list[str]:
        """Faults that prove nothing, because the run ends before a client may consider its connection dead."""
        patience = protocol.promises.dead_after
        if patience is None:
            return []
        end = self.duration + self.drain
        found = []
        for plan in self.faults:
            left = end - plan.occurrences(self.duration)[-1]
            if plan.silences_sockets and left <= patience:
                found.append(
                    f"fault {plan.name}: expected more than {patience:g}s from its start to the end of the drain, the "
                    f"time that clients of the protocol {protocol.name} wait on a silent connection, got {left:g}s"
                )
        return found


def shipped() -> dict[str, Path]:
    """The scenarios that come with chatswarm, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}


def load(name: str, overrides: Mapping[str, object] | None = None) -> Scenario:
    """The shipped scenario of that name, or the one in that file. `overrides` replace keys of `[swarm]`.

    Raises ScenarioError.
    """
    path = shipped().get(name) or Path(name)
    location = f"scenarios/{path.name}" if path.parent == SHIPPED else str(path)
    try:
        # Editors on Windows write a byte order mark.
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        near = difflib.get_close_matches(name, shipped(), 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ScenarioError(
            [f"scenario: expected one of {', '.join(shipped())} or the path of a TOML file, got {name!r}{hint}"]
        ) from None
    except UnicodeDecodeError:
        problem = f"{location}: expected TOML in UTF-8, got a file in another encoding (UTF-16?)"
        raise ScenarioError([problem]) from None
    except RecursionError:
        raise ScenarioError([f"{location}: expected a readable TOML file, got: brackets nested too deeply"]) from None
    except (OSError, ValueError) as error:
        # ValueError: not TOML, or a number with thousands of digits.
        raise ScenarioError([f"{location}: expected a readable TOML file, got: {error}"]) from None
    return parse(table, encodable(str(table.get("name", path.stem))), location, overrides)


def parse(
    table: Mapping[str, Any],
    name: str,
    location: str,
    overrides: Mapping[str, object] | None = None,
    *,
    recorded: bool = False,
) -> Scenario:
    """The scenario in a TOML table. `location` names its file in errors. Raises ScenarioError with all problems.

    `recorded`: the scenario of a finished run. Its faults are in its history, so the judge checks the names of faults
    in SLOs, not this function, and a fault that cannot be read is left out.
    """
    reader = TomlTable(location, table)
    swarm = reader.table("swarm", table.get("swarm", {}))
    flags = {key: value for key, value in (overrides or {}).items() if key not in _ROOMS_FLAGS}
    _apply_flags(swarm, flags, has_stages="stage" in table)
    table = _with_rooms(table, overrides or {})
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
    # Another version may have recorded faults that this one cannot read.
    plans = TomlTable(location, table) if recorded else reader
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
        send_over=swarm.take("send_over", None, one_of(*get_args(SendOver))),
        deflate=swarm.take("deflate", True, one_of(True, False)),
        rooms=_rooms(reader, table, overrides or {}, stages, widgets),
        slos=_slos(reader, table, None if recorded else _fault_names(table)),
        faults=read_plans(plans, plans.rows("fault", table), length),
        backend=reader.table("backend", table.get("backend", {})).values,
        table={**table, "name": name, "swarm": swarm.values},
    )
    swarm.finish()
    reader.unknown({"name", "question", "swarm", "stage", "rooms", "slo", "fault", "backend"})
    if reader.problems:
        raise ScenarioError(reader.problems)
    return scenario


def _apply_flags(swarm: TomlTable, flags: Mapping[str, object], *, has_stages: bool) -> None:
    """Overrides keys of `[swarm]`. With stages, neither a flag nor a key may set the rate or the duration."""
    for key, value in flags.items():
        swarm.override(key, value)
    if not has_stages:
        return
    for key in ("rate", "duration"):
        if key in flags:
            swarm.problem(key, "no such flag, because the scenario has stages", flags[key])
        elif key in swarm.values:
            swarm.problem(key, "either [[stage]] or this, not both", swarm.values[key])


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


def _with_rooms(table: Mapping[str, Any], flags: Mapping[str, object]) -> Mapping[str, Any]:
    """The scenario's table with the flags for `[rooms]`. Values that are wrong are found when they are read."""
    given = {_ROOMS_FLAGS[flag]: value for flag, value in flags.items() if flag in _ROOMS_FLAGS}
    rooms = table.get("rooms", {})
    return {**table, "rooms": {**rooms, **given}} if given and isinstance(rooms, dict) else table


def _rooms(
    reader: TomlTable, table: Mapping[str, Any], flags: Mapping[str, object], stages: tuple[Stage, ...], widgets: int
) -> "Rooms | None":
    if "rooms" not in table:
        return None
    from .rooms import Rooms, Senders

    known = len(reader.problems)
    part = reader.table("rooms", table["rooms"])
    for flag in flags.keys() & _ROOMS_FLAGS.keys():
        part.override(_ROOMS_FLAGS[flag], flags[flag], f"--{flag}")
    dashboards = max(stage.dashboards for stage in stages)
    fixed = part.take("fixed", None, _fixed)
    if fixed is not None:
        for key in part.values.keys() & {"count", "members"}:
            part.problem(key, "either fixed or this, not both", part.values[key])
    rooms = part.take("count", len(fixed or ()) or 1, whole)
    members = part.take("members", None, whole)
    if members is not None and members > dashboards:
        part.problem("members", f"at most {dashboards}, the number of dashboards", members)
    senders: Senders = part.take("senders", "widgets", one_of(*get_args(Senders)))
    there = min(stage.dashboards for stage in stages)
    if senders == "members" and widgets > there:
        problem = f"as many dashboards in every stage as members who send (swarm.widgets = {widgets})"
        part.problem("senders", problem, there)
    duration = sum(stage.seconds for stage in stages)
    rows = part.rows("change", part.values)
    changes = tuple(_change(reader.table(f"rooms: change {n}", row), duration) for n, row in enumerate(rows, 1))
    part.take("change", None, lambda _: None)
    if fixed is None:
        part.require("count")
    part.finish()
    made = Rooms(rooms, members, senders, changes, fixed)
    if len(reader.problems) == known:
        reader.problems += [f"{part.location}: {problem}" for problem in made.problems(dashboards, widgets)]
    return made


def _fixed(value: object) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Rooms by id, each with the numbers of its dashboards."""
    if isinstance(value, dict) and value and all(isinstance(inside, list) for inside in value.values()):
        lists = [(str(room), tuple(inside)) for room, inside in value.items()]
        if all(type(number) is int for _, inside in lists for number in inside):
            return tuple(lists)
    raise ValueError(
        'expected a table of rooms, each with the numbers of its dashboards, such as { "general" = [0, 1] }'
    )


def _change(part: TomlTable, duration: float) -> "MembershipChange":
    from .rooms import MembershipChange

    part.require("at")
    at = part.take("at", 0.0, span)
    if at >= duration:
        part.problem("at", f"a moment before the end of the measured part ({duration:g}s)", f"{at:g}s")
    join, leave = part.take("join", 0, count), part.take("leave", 0, count)
    if not join and not leave:
        part.problem("join", "a number of memberships that begin, or of those that end (leave)", "neither")
    part.finish()
    return MembershipChange(at, join, leave)


def _fault_names(table: Mapping[str, Any]) -> set[str]:
    rows = table.get("fault", [])
    tables = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    named = [row.get("name", row.get("kind")) for row in tables]
    return {name for name in named if isinstance(name, str)}


def _slos(reader: TomlTable, table: Mapping[str, Any], faults: Collection[str] | None) -> tuple[slo.Slo, ...]:
    """`faults`: the names that a window may use; None: any."""
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
            part.report("expect", wrong)
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
