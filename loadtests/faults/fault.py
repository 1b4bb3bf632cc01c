"""The base class of all faults, and the context that they act on.

A kind of fault is a row in `fault_kinds.py`, a subclass of Fault in this folder, and a row in KINDS. Its parameters are
checked before any load: first without the target (in `fault_kinds.py`), then with it (`unfit`). The nemesis then makes
one instance per occurrence, and calls `begin` and `heal` in a separate thread.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from chatswarm.loadtests.scenario.fault_kinds import FaultPlan

from .target_processes import Managed
from .toxiproxy import Toxiproxy
from .undo_log import UndoLog

if TYPE_CHECKING:
    # With numpy, which a run without faults need not load.
    from chatswarm.loadtests.history.faults import Evidence


@dataclass
class FaultContext:
    """What the faults of one run can act on."""

    target: str  # its base URL
    protocol: str
    folder: Path  # the run's, for logs
    undo_log: UndoLog  # what must be undone however this process ends
    token: str | None = None  # admits dashboards
    run: str = ""  # its name, known once the measured part begins
    rooms: Sequence[str] = ()  # the ids of the run's rooms, likewise
    processes: dict[str, Managed] = field(default_factory=dict)  # by `on`: target, broker
    toxiproxy: Toxiproxy | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)  # place in the network → name of the proxy there
    database: Path | None = None  # the target's SQLite file
    giving_up: threading.Event = field(default_factory=threading.Event)  # once set, faults heal at once
    protocol_text: str = ""  # of the protocol's file, if it has been read already


class Fault(ABC):
    """One occurrence of a fault. Neither method is called twice."""

    def __init__(self, plan: FaultPlan, number: int, context: FaultContext) -> None:
        """`number`: the index of this occurrence, from 0."""
        self.plan = plan
        self.number = number
        self.context = context

    @classmethod
    def unfit(cls, plan: FaultPlan, context: FaultContext) -> str | None:
        """Why this target cannot have this fault: what was expected. None if it can. Called before any load."""
        del plan, context
        return None

    @abstractmethod
    def begin(self) -> None:
        """Makes the fault happen. Raises FaultError; `heal` is called even then."""

    @abstractmethod
    def heal(self) -> "Evidence":
        """Undoes the fault, and returns once that has worked. Returns its evidence: if every value is 0 or empty, it
        proves nothing.

        Called on every way out, even if `begin` failed half-way. Raises FaultError.
        """
