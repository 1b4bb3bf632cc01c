"""P2: what each further dashboard costs the rig in memory, with its socket and its HTTP connection."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.row import Row, Sample, Sides
from tests.bench.swarm_run import SwarmRun, reference_chat

FEW, MANY = 100, 1500


def _per_dashboard() -> Sample:
    few, many = _memory(FEW), _memory(MANY)
    return Sample((many - few) / (MANY - FEW) / 1e3, details={"MB_with_few": few / 1e6, "MB_with_many": many / 1e6})


def _memory(dashboards: int) -> int:
    """Bytes, after every dashboard has refetched."""
    with reference_chat() as chat:
        flags = {"dashboards": dashboards, "rate": 2, "duration": "5s", "target": chat.url}
        return SwarmRun("refetch", flags).perform().memory


@contextmanager
def _sides() -> Iterator[Sides]:
    yield Sides(_per_dashboard)


ROWS = [
    Row("P2", f"rig memory per further dashboard, its HTTP connection included ({FEW} → {MANY:,})", "KB", 24, _sides)
]
