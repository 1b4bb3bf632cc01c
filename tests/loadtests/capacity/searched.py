"""Searches whose probes are made up, for tests: a target with a known limit, and a rig with its own."""

from dataclasses import dataclass, field
from pathlib import Path

from chatswarm.loadtests.capacity.findings import PlannedProbe, time_of
from chatswarm.loadtests.capacity.record import AskedCapacity, CapacityProbe, CapacityReport, Purpose
from chatswarm.loadtests.capacity.search import ProbesStoppedError

ASKED = AskedCapacity(
    version="1", scenario="steady", toml="", by="rate", start=20, to=1280, precision=0.1, probe=15, ramp=5, drain=5,
    update_target=2, processes=1, seed=1, protocol="reference", target="http://127.0.0.1:8000", rig=False,
    target_here=True, target_cores=None, null_chat=True,
)  # fmt: skip


@dataclass
class MadeUp:
    """Makes probes of a target that holds up to `limit`. Each takes as long as planned, and `longer`."""

    limit: float
    rig: float = 1e9  # with one process
    twice: float = 1e9  # with twice the processes
    machine: float = 0.5  # the share of its 2 cores that is in use
    target: float = 0.4
    undecided: bool = False
    longer: float = 0.0
    backlog: float = 0.0
    null_fails: int = 0  # so many probes against the null chat fail for no reason
    stops_at: int = 0  # the number of the probe that cannot be made; 0: none
    made: list[tuple[Purpose, float]] = field(default_factory=list)

    def __call__(self, planned: PlannedProbe, number: int) -> CapacityProbe:
        load, purpose = planned.load, planned.purpose
        if number == self.stops_at:
            raise ProbesStoppedError("interrupted")
        self.made.append((purpose, load.level))
        rig = self.rig if planned.processes == 1 else self.twice
        limit = 1e9 if purpose == "null" else self.limit
        held = load.level <= min(limit, rig)
        if purpose == "null" and self.null_fails:
            held, self.null_fails = False, self.null_fails - 1
        return CapacityProbe(
            level=load.level, seconds=load.seconds, purpose=purpose, processes=planned.processes,
            folder=f"{number:02d}", took=load.seconds + 12 + self.longer, held=None if self.undecided else held,
            why=[] if held else ["not visible.p99 <= 2s"], deliveries=1000, p50=0.1, p99=0.3 if held else None,
            backlog=self.backlog, rig_sound=load.level <= rig, rig_cpu=0.6, machine_cpu=2 * self.machine, cores=2,
            cpu_pressure=0.1, target_cpu=self.target, list_bytes=1000.0 * number,
        )  # fmt: skip


def begun(folder: Path, asked: AskedCapacity = ASKED) -> CapacityReport:
    return CapacityReport(asked, time_of(asked), folder=str(folder))
