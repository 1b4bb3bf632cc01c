"""Dashboard connections that were lost after subscribing, with their close codes."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from chatswarm.loadtests.history.tables import ConnectionEvent

from .ledger import Ledger
from .ledger.arrays import Floats, Ints
from .verdict import Connections
from .windows import Window


@dataclass(frozen=True, slots=True)
class Closings:
    """One entry per lost connection: when (monotonic seconds), and the close code (1006: no close frame)."""

    at: Floats
    code: Ints

    def counted(self, code: int | None = None, window: Window | None = None) -> int:
        """How many there were, with that code and in that window if given."""
        here = np.ones(len(self.at), bool) if window is None else window.holds(self.at, self.at)
        return int((here & (self.code == code)).sum() if code is not None else here.sum())


def closings_of(ledger: Ledger) -> Closings:
    """The lost connections of the scenario's dashboards."""
    connections = ledger.observations.connections
    planned = (connections.dashboard >= 0) & (connections.dashboard < ledger.scenario.dashboards)
    lost = planned & (connections.event == ConnectionEvent.CLOSED)
    return Closings(connections.ended[lost], connections.code[lost])


def connections_of(ledger: Ledger) -> Connections:
    """The connection counts of the verdict."""
    connections, closings = ledger.observations.connections, closings_of(ledger)
    planned = (connections.dashboard >= 0) & (connections.dashboard < ledger.scenario.dashboards)
    return Connections(
        subscribed=int((planned & np.isfinite(connections.subscribed)).sum()),
        failed=int((planned & (connections.event == ConnectionEvent.FAILED) & ~connections.rig_failed).sum()),
        closed=len(closings.at),
        codes={str(code): times for code, times in sorted(Counter(closings.code.tolist()).items())},
    )
