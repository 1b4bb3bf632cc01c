"""The kinds of faults with their parameters, and the reader of a scenario's `[[fault]]` tables.

They are validated without knowing the target. The code that injects faults is in `faults/`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from chatswarm.loadtests.system.toml_reader import (
    TomlTable,
    count,
    fraction,
    not_negative,
    one_of,
    positive,
    span,
    text,
    whole,
)
from chatswarm.loadtests.system.units import seconds

Value = float | int | str | bool | tuple[str, ...]

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class FaultParameter:
    """One parameter of a kind: its TOML reader, its default (None: it is required), and its description."""

    read: Callable[[object], Value]
    default: Value | None
    about: str


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """One `[[fault]]` of a scenario. Times are in seconds; `at` counts from the start of the measured part."""

    name: str  # faults with the same name are one fault in the window of an SLO
    kind: str
    at: float
    length: float
    every: float | None  # seconds from one occurrence to the next
    on: str  # what it affects
    values: Mapping[str, Value] = field(default_factory=dict)  # all parameters of its kind

    @property
    def shown(self) -> str:
        """For people: `slow-net: latency on dashboards, 10 s after the start, for 5 s`."""
        lasting = f", for {self.length:g} s" if self.length else ""
        again = f", again every {self.every:g} s" if self.every is not None else ""
        return f"{self.name}: {self.kind} on {self.on}, {self.at:g} s after the start{lasting}{again}"

    @property
    def silences_sockets(self) -> bool:
        """Whether dashboards' connections stay open, but nothing comes on them any more."""
        if self.kind == "pause":
            return self.on != "broker"
        if self.kind != "timeout" or self.number("timeout") > 0:
            return False
        return "sockets" in NET_PLACES[self.on] and "downstream" in STREAMS[self.text("stream")]

    def number(self, key: str) -> float:
        """The value of a numeric parameter."""
        value = self.values[key]
        assert isinstance(value, (int, float))
        return value

    def text(self, key: str) -> str:
        """The value of a text parameter."""
        return str(self.values[key])

    def occurrences(self, duration: float) -> list[float]:
        """The start of each occurrence in a measured part of `duration` seconds. All are healed before its end."""
        times = [self.at]
        while self.every is not None and times[-1] + self.every + self.length <= duration:
            times.append(times[-1] + self.every)
        return times


@dataclass(frozen=True, slots=True)
class ParameterProblem:
    """A parameter that is wrong, and what was expected and what came: `expected …, got …`."""

    key: str
    problem: str


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault, as a scenario names it."""

    places: tuple[str, ...]
    """The allowed values of `on`; the first is the default."""
    parameters: Mapping[str, FaultParameter] = field(default_factory=dict)
    alone: bool = False
    """Whether two of this kind must not overlap at one place, because healing one would heal the other."""
    problems: Callable[[FaultPlan], list[ParameterProblem]] = lambda _: []
    """Finds parameters that are wrong in combination."""


NET_PLACES = {
    "dashboards": ("sockets", "refetches"),
    "sockets": ("sockets",),
    "refetches": ("refetches",),
    "widgets": ("widgets",),
    "everything": ("sockets", "refetches", "widgets"),
    "broker": ("broker",),
}
"""The value of `on` for a network fault → the places of the proxies that it goes through."""
STREAMS = {"downstream": ("downstream",), "upstream": ("upstream",), "both": ("downstream", "upstream")}


def _toxic(
    problems: Callable[[FaultPlan], list[ParameterProblem]] = lambda _: [], /, **parameters: FaultParameter
) -> FaultKind:
    common = {
        "stream": FaultParameter(
            one_of(*STREAMS), "downstream", "towards the swarm (downstream), the target (upstream), or both"
        ),
        "toxicity": FaultParameter(fraction, 1.0, "the share of connections that it affects"),
    }
    return FaultKind(tuple(NET_PLACES), common | parameters, problems=problems)


def _slice_sizes(plan: FaultPlan) -> list[ParameterProblem]:
    if plan.number("size_variation") < plan.number("average_size"):
        return []
    problem = f"expected fewer bytes than average_size, got {plan.values['size_variation']:g}"
    return [ParameterProblem("size_variation", problem)]


def _process(*places: str, **parameters: FaultParameter) -> FaultKind:
    return FaultKind(places, parameters, alone=True)


def _store() -> FaultKind:
    database = FaultParameter(text, "", "the target's SQLite file; known for the reference backend")
    return FaultKind(("target",), {"database": database}, alone=True)


def _rogue(**parameters: FaultParameter) -> FaultKind:
    return FaultKind(("target",), parameters)


FAULT_KINDS: Mapping[str, FaultKind] = {
    # The network between the swarm and its target: Toxiproxy's toxics, by name, and `down`.
    "latency": _toxic(
        latency=FaultParameter(seconds, None, "delay"),
        jitter=FaultParameter(seconds, 0.0, "the delay varies by up to this much either way"),
    ),
    "bandwidth": _toxic(rate=FaultParameter(count, None, "KB per second, on each connection")),
    "slow_close": _toxic(delay=FaultParameter(seconds, None, "how much later the connection closes")),
    "timeout": _toxic(
        timeout=FaultParameter(seconds, 0.0, "time until the connection is closed; 0: when the fault is healed")
    ),
    "reset_peer": _toxic(timeout=FaultParameter(seconds, 0.0, "time from the start of the fault until the reset")),
    "slicer": _toxic(
        _slice_sizes,
        average_size=FaultParameter(whole, None, "bytes per piece, on average"),
        size_variation=FaultParameter(count, 0, "bytes by which a piece may be larger or smaller"),
        delay=FaultParameter(count, 0, "microseconds between pieces"),
    ),
    "limit_data": _toxic(bytes=FaultParameter(count, None, "bytes that pass before the connection is closed")),
    "down": FaultKind(tuple(NET_PLACES), alone=True),
    # The target's processes.
    "kill": _process("target", "worker", "broker"),
    "terminate": _process(
        "target",
        "worker",
        "broker",
        grace=FaultParameter(span, 10.0, "time to exit before it is killed"),
    ),
    "pause": _process("target", "worker", "broker"),
    "restart": _process("target", "broker"),
    # Its store.
    "lock_store": _store(),
    "fill_store": _store(),
    # Clients that misbehave on purpose.
    "slow_reader": _rogue(
        readers=FaultParameter(whole, 3, "dashboards that stop reading"),
        receive_buffer=FaultParameter(whole, 4096, "bytes of each receive buffer, as requested from the kernel"),
        rate=FaultParameter(not_negative, 0.0, "bytes per second that each still reads"),
    ),
    "bad_frames": _rogue(
        size=FaultParameter(whole, 1 << 20, "bytes of the oversized text frame"),
        pause=FaultParameter(span, 1.0, "seconds between rounds"),
        patience=FaultParameter(span, 5.0, "seconds to wait for a response"),
    ),
    "half_handshakes": _rogue(
        connections=FaultParameter(whole, 100, "connections held at once; every second one stops in the handshake"),
        drip=FaultParameter(span, 1.0, "seconds between bytes"),
    ),
    "idle_sockets": _rogue(connections=FaultParameter(whole, 100, "WebSockets held at once")),
    "connection_flood": _rogue(
        connections=FaultParameter(whole, 2000, "TCP connections held at once"),
        rate=FaultParameter(positive, 1000.0, "connections opened per second, replacements included"),
    ),
    "foreign_origin": _rogue(
        attempts=FaultParameter(positive, 5.0, "handshakes per second"),
        origin=FaultParameter(text, "https://evil.example", "their Origin header"),
    ),
    "bad_token": _rogue(attempts=FaultParameter(positive, 5.0, "handshakes and reads of the list per second")),
    "intruders": _rogue(
        intruders=FaultParameter(whole, 3, "users who are members of nothing"),
        attempts=FaultParameter(positive, 5.0, "rooms that are tried per second, each by a join, a read and a send"),
    ),
    # Your own commands.
    "command": FaultKind(
        ("target",),
        {
            "start": FaultParameter(text, None, "shell command that injects the fault"),
            "stop": FaultParameter(text, None, "shell command that heals it; also run if chatswarm is killed"),
            "timeout": FaultParameter(span, 30.0, "time limit for each command"),
        },
    ),
}
"""The kinds, by their names in scenarios."""


def read_plans(reader: TomlTable, rows: Sequence[object], duration: float) -> tuple[FaultPlan, ...]:
    """A plan for each valid row; problems go to the reader. `duration`: seconds of the measured part."""
    read = [_read(reader.table(f"fault {number}", row), duration) for number, row in enumerate(rows, 1)]
    plans = tuple(plan for plan in read if plan is not None)
    for one, other in combinations([plan for plan in plans if FAULT_KINDS[plan.kind].alone], 2):
        if (one.kind, one.on) == (other.kind, other.on) and (at := _overlap(one, other, duration)) is not None:
            both = f"{one.name} and {other.name}" if one.name != other.name else f"two of the name {one.name}"
            reader.problem("fault", f"one {one.kind} on {one.on} at a time", f"{both} at {at:g} s")
    return plans


def _overlap(one: FaultPlan, other: FaultPlan, duration: float) -> float | None:
    """The first moment at which both are active; None if there is none."""
    for begin in one.occurrences(duration):
        for start in other.occurrences(duration):
            if begin <= start + other.length and start <= begin + one.length:
                return max(begin, start)
    return None


def _read(part: TomlTable, duration: float) -> FaultPlan | None:
    known = len(part.problems)
    part.require("kind", "at")
    name_of_kind = part.take("kind", None, one_of(*FAULT_KINDS))
    if name_of_kind is None:
        return None
    kind = FAULT_KINDS[name_of_kind]
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
    plan = FaultPlan(name=name, kind=name_of_kind, at=at, length=length, every=every, on=on, values=values)
    for wrong in kind.problems(plan):
        part.report(wrong.key, wrong.problem)
    return plan


def _name(value: object) -> str:
    if _NAME.fullmatch(text(value)):
        return str(value)
    raise ValueError("expected letters, digits, dots and dashes")
