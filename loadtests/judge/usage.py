"""What the rig's machines and the target's processes used. These are figures to explain a verdict: they change none."""

import numpy as np

from .ledger.arrays import Bools, Floats, Ints
from .ledger.observations import MachineSamples, ProcessSamples
from .verdict import RigMachine, TargetProcess


def machine_of(machines: list[MachineSamples], begin: float, until: float) -> RigMachine | None:
    """The worst second of the worst machine, for each figure, between two moments. None: nothing was measured."""
    measured = [(samples, inside) for samples in machines if (inside := _between(samples.time, begin, until)).any()]
    if not measured:
        return None
    busiest, inside = max(measured, key=lambda one: _share(*one))
    return RigMachine(
        cpu=_worst(busiest.cpu[inside]),
        cores=int(busiest.cores[inside].max()),
        cpu_pressure=_worst(np.concatenate([samples.cpu_pressure[at] for samples, at in measured])),
        io_pressure=_worst(np.concatenate([samples.io_pressure[at] for samples, at in measured])),
        memory_pressure=_worst(np.concatenate([samples.memory_pressure[at] for samples, at in measured])),
    )


def target_processes_of(samples: ProcessSamples, begin: float, until: float) -> list[TargetProcess]:
    """Each process of the target that was seen between two moments, in the order in which they were found."""
    rows: dict[int, list[int]] = {}
    for row in np.flatnonzero(_between(samples.time, begin, until)).tolist():
        rows.setdefault(int(samples.pid[row]), []).append(row)
    return [
        # A name is that of the last sample: a process may replace its program.
        TargetProcess(samples.name[its[-1]], pid, _worst(samples.cpu[its]), int(samples.memory[its].max()))
        for pid, its in rows.items()
    ]


def target_cpu(samples: ProcessSamples) -> tuple[Floats, Floats]:
    """When the target's processes were sampled, and the cores that they used together; NaN: none of them was measured.

    What a process used in the second in which it was found is missing.
    """
    times, which = np.unique(samples.time, return_inverse=True)
    known = ~np.isnan(samples.cpu)
    used = np.bincount(which[known], samples.cpu[known], len(times))
    counted: Ints = np.bincount(which[known], minlength=len(times))
    return times, np.where(counted > 0, used, np.nan)


def _between(time: Floats, begin: float, until: float) -> Bools:
    return np.asarray((time >= begin) & (time <= until))


def _share(samples: MachineSamples, inside: Bools) -> float:
    return (_worst(samples.cpu[inside]) or 0.0) / max(1, int(samples.cores[inside].max()))


def _worst(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.max()) if len(known) else None
