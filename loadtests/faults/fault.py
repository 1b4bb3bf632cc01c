"""What a fault does: the work of one occurrence.

A kind of fault is a row in `fault_kinds.py`, a subclass of Fault in a file of this folder, and a row in KINDS. What a
scenario says of it is checked before any load, first without knowing the target (there), then with it (`unfit`). Then
the nemesis makes an instance for each occurrence, and calls `begin` and `heal`, in a thread of its own.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.scenario.fault_kinds import FaultPlan

from .target_processes import Managed
from .toxiproxy import Toxiproxy
from .undo_log import UndoLog


@dataclass
class FaultContext:
    """What the faults of one run can act on."""

    target: str  # its base URL
    protocol: str
    folder: Path  # of the run, for logs
    pledges: UndoLog  # what must be undone however this process ends
    token: str | None = None  # with which dashboards are let in
    processes: Mapping[str, Managed] = field(default_factory=dict)  # by what `on` says: target, broker
    toxiproxy: Toxiproxy | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)  # place on the net → name of the proxy there
    database: Path | None = None  # the target's SQLite file
    giving_up: threading.Event = field(default_factory=threading.Event)  # set: heal at once, wait for nothing else


class Fault(ABC):
    """One occurrence of a fault. Neither method is called twice."""

    def __init__(self, plan: FaultPlan, number: int, world: FaultContext) -> None:
        """`number`: which of the plan's occurrences this is, from 0."""
        self.plan = plan
        self.number = number
        self.world = world

    @classmethod
    def unfit(cls, plan: FaultPlan, world: FaultContext) -> str | None:
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
