"""What a fault is: a row in a scenario, a kind with its parameters, and the work of one occurrence.

A kind of fault is a subclass of Fault in a file of this folder, and a row in KINDS. What a scenario says of it is
checked before any load, first without knowing the target (`parameters`), then with it (`unfit`). Then the nemesis makes
an instance for each occurrence, and calls `begin` and `heal`, in a thread of its own.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from chatswarm.loadtests.history.faults import Evidence

if TYPE_CHECKING:
    from .pledges import Pledges
    from .processes import Managed
    from .toxiproxy import Toxiproxy

Value = float | int | str | bool | tuple[str, ...]


class FaultError(Exception):
    """A fault that could not begin or could not be healed. The text says where, what was expected, and what came."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a kind: how it is read from TOML, and what it is if it is not given (None: it must be)."""

    read: Callable[[object], Value]
    default: Value | None
    about: str


@dataclass(frozen=True, slots=True)
class Plan:
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


@dataclass
class World:
    """What the faults of one run can act on."""

    target: str  # its base URL
    adapter: str
    folder: Path  # of the run, for logs
    pledges: "Pledges"  # what must be undone however this process ends
    token: str | None = None  # with which dashboards are let in
    processes: Mapping[str, "Managed"] = field(default_factory=dict)  # by what `on` says: target, broker
    toxiproxy: "Toxiproxy | None" = None
    proxies: Mapping[str, str] = field(default_factory=dict)  # place on the net → name of the proxy there
    database: Path | None = None  # the target's SQLite file
    giving_up: threading.Event = field(default_factory=threading.Event)  # set: heal at once, wait for nothing else


class Fault(ABC):
    """One occurrence of a fault. Neither method is called twice."""

    places: ClassVar[tuple[str, ...]]
    """What `on` may say; the first is what it is if nothing is said."""
    parameters: ClassVar[Mapping[str, Parameter]] = {}
    alone: ClassVar[bool] = False
    """Whether two of its kind at one place would heal each other."""

    def __init__(self, plan: Plan, number: int, world: World) -> None:
        """`number`: which of the plan's occurrences this is, from 0."""
        self.plan = plan
        self.number = number
        self.world = world

    @classmethod
    def problems(cls, plan: Plan) -> list[str]:
        """What is wrong with parameters that are each right: `key: expected …, got …`."""
        del plan
        return []

    @classmethod
    def unfit(cls, plan: Plan, world: World) -> str | None:
        """Why it cannot be done to this target: what was expected, and what to do. Asked before any load."""
        del plan, world
        return None

    @abstractmethod
    def begin(self) -> None:
        """Makes it happen. Raises FaultError; `heal` is called all the same."""

    @abstractmethod
    def heal(self) -> Evidence:
        """Undoes it, and returns once that has worked. Returns what it did: numbers that are all 0 prove nothing.

        Called on every way out, also if `begin` failed half-way. Raises FaultError.
        """
