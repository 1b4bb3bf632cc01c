"""What a scenario may say of faults: the kinds with their parameters, and a `[[fault]]` table read into a plan.

Read and checked without knowing the target, and without the code that makes a fault happen: that is in `faults/`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from chatswarm.loadtests.system.units import seconds

from .toml_reader import TomlTable, count, fraction, not_negative, one_of, positive, span, text, whole

Value = float | int | str | bool | tuple[str, ...]

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class FaultParameter:
    """One parameter of a kind: how it is read from TOML, and what it is if it is not given (None: it must be)."""

    read: Callable[[object], Value]
    default: Value | None
    about: str


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """One `[[fault]]` of a scenario. Times are seconds; `at` counts from the start of the measured part."""

    name: str  # in the windows of SLOs, faults of one name are one
    kind: str
    at: float
    length: float
    every: float | None  # it occurs again so often
    on: str  # what it strikes
    values: Mapping[str, Value] = field(default_factory=dict)  # all parameters of its kind

    @property
    def shown(self) -> str:
        """For people: `slow-net: latency on dashboards, 10 s after the start, for 5 s`."""
        lasting = f", for {self.length:g} s" if self.length else ""
        again = f", again every {self.every:g} s" if self.every is not None else ""
        return f"{self.name}: {self.kind} on {self.on}, {self.at:g} s after the start{lasting}{again}"

    def number(self, key: str) -> float:
        """A parameter that is a number."""
        value = self.values[key]
        assert isinstance(value, (int, float))
        return value

    def text(self, key: str) -> str:
        """A parameter that is a text."""
        return str(self.values[key])

    def occurrences(self, duration: float) -> list[float]:
        """When it begins, in a measured part of that length: each is healed before the end."""
        times = [self.at]
        while self.every is not None and times[-1] + self.every + self.length <= duration:
            times.append(times[-1] + self.every)
        return times


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind, as scenarios know it."""

    places: tuple[str, ...]
    """What `on` may say; the first is what it is if nothing is said."""
    parameters: Mapping[str, FaultParameter] = field(default_factory=dict)
    alone: bool = False
    """Whether two of its kind at one place would heal each other."""
    problems: Callable[[FaultPlan], list[str]] = lambda _: []
    """What is wrong with parameters that are each right: `key: expected …, got …`."""


NET_PLACES = {
    "dashboards": ("sockets", "refetches"),
    "sockets": ("sockets",),
    "refetches": ("refetches",),
    "widgets": ("widgets",),
    "everything": ("sockets", "refetches", "widgets"),
    "broker": ("broker",),
}
"""Where on the net a fault may strike → the proxies there, by the place in which each stands."""
STREAMS = {"downstream": ("downstream",), "upstream": ("upstream",), "both": ("downstream", "upstream")}


def _toxic(problems: Callable[[FaultPlan], list[str]] = lambda _: [], /, **parameters: FaultParameter) -> FaultKind:
    common = {
        "stream": FaultParameter(
            one_of(*STREAMS), "downstream", "to the swarm (downstream), to the target (upstream), or both"
        ),
        "toxicity": FaultParameter(fraction, 1.0, "the share of the connections that it strikes"),
    }
    return FaultKind(tuple(NET_PLACES), common | parameters, problems=problems)


def _sizes(plan: FaultPlan) -> list[str]:
    if plan.number("size_variation") < plan.number("average_size"):
        return []
    return [f"size_variation: expected fewer bytes than average_size, got {plan.values['size_variation']:g}"]


def _process(*places: str, **parameters: FaultParameter) -> FaultKind:
    return FaultKind(places, parameters, alone=True)


def _store() -> FaultKind:
    database = FaultParameter(text, "", "the target's SQLite file; that of the reference backend is known")
    return FaultKind(("target",), {"database": database}, alone=True)


def _rogue(**parameters: FaultParameter) -> FaultKind:
    return FaultKind(("target",), parameters)


FAULT_KINDS: Mapping[str, FaultKind] = {
    # The net, between the swarm and its target: Toxiproxy's toxics by their names, and `down`.
    "latency": _toxic(
        latency=FaultParameter(seconds, None, "how much later"),
        jitter=FaultParameter(seconds, 0.0, "give or take so much"),
    ),
    "bandwidth": _toxic(rate=FaultParameter(count, None, "KB per second, on each connection")),
    "slow_close": _toxic(delay=FaultParameter(seconds, None, "how much later")),
    "timeout": _toxic(timeout=FaultParameter(seconds, 0.0, "when the connection is closed; 0: when it is healed")),
    "reset_peer": _toxic(timeout=FaultParameter(seconds, 0.0, "how long after it began")),
    "slicer": _toxic(
        _sizes,
        average_size=FaultParameter(whole, None, "bytes in a piece"),
        size_variation=FaultParameter(count, 0, "bytes, more or less"),
        delay=FaultParameter(count, 0, "microseconds between two pieces"),
    ),
    "limit_data": _toxic(bytes=FaultParameter(count, None, "bytes that pass")),
    "down": FaultKind(tuple(NET_PLACES), alone=True),
    # The target's processes.
    "kill": _process("target", "worker", "broker"),
    "terminate": _process(
        "target",
        "worker",
        "broker",
        grace=FaultParameter(span, 10.0, "how long it may take to end before it is killed"),
    ),
    "pause": _process("target", "worker", "broker"),
    "restart": _process("target", "broker"),
    # Its store.
    "lock_store": _store(),
    "fill_store": _store(),
    # Clients that behave badly on purpose.
    "slow_reader": _rogue(
        readers=FaultParameter(whole, 3, "dashboards that stop reading"),
        receive_buffer=FaultParameter(whole, 4096, "bytes of each one's receive buffer, asked of the kernel"),
        rate=FaultParameter(not_negative, 0.0, "bytes/s that each still reads"),
    ),
    "bad_frames": _rogue(
        size=FaultParameter(whole, 1 << 20, "bytes of the oversized text frame"),
        pause=FaultParameter(span, 1.0, "seconds between two rounds"),
        patience=FaultParameter(span, 5.0, "seconds after which no answer counts as none"),
    ),
    "half_handshakes": _rogue(
        connections=FaultParameter(whole, 100, "connections held at once; every other one is a handshake"),
        drip=FaultParameter(span, 1.0, "seconds from one further byte to the next"),
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
    # Your own.
    "command": FaultKind(
        ("target",),
        {
            "start": FaultParameter(text, None, "the shell command that makes the fault"),
            "stop": FaultParameter(text, None, "the shell command that heals it; also run if this process is killed"),
            "timeout": FaultParameter(span, 30.0, "how long each may take"),
        },
    ),
}
"""The kinds by the names that scenarios give them."""


def read_plans(reader: TomlTable, rows: Sequence[object], duration: float) -> tuple[FaultPlan, ...]:
    """One for each row that is right; problems go to the reader. `duration`: seconds of the measured part."""
    read = [_read(reader.table(f"fault {number}", row), duration) for number, row in enumerate(rows, 1)]
    plans = tuple(plan for plan in read if plan is not None)
    for one, other in combinations([plan for plan in plans if FAULT_KINDS[plan.kind].alone], 2):
        if (one.kind, one.on) == (other.kind, other.on) and (at := _meet(one, other, duration)) is not None:
            both = f"{one.name} and {other.name}" if one.name != other.name else f"two of the name {one.name}"
            reader.problem("fault", f"one {one.kind} on {one.on} at a time", f"{both} at {at:g} s")
    return plans


def _meet(one: FaultPlan, other: FaultPlan, duration: float) -> float | None:
    """When both are there; None if they never are."""
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
    plan = FaultPlan(name, name_of_kind, at, length, every, on, values)
    for problem in kind.problems(plan):
        key, _, said = problem.partition(": ")
        part.say(key, said)
    return plan


def _name(value: object) -> str:
    if _NAME.fullmatch(text(value)):
        return str(value)
    raise ValueError("expected letters, digits, dots and dashes")
