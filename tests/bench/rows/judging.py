"""P6: judging five million deliveries, all well; P6b: the slowest other case beside it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.bench.figure import fresh
from tests.bench.generated import DELIVERIES
from tests.bench.judge import ALL_WELL, CASES, ROOMS, written
from tests.bench.row import Row, Sample, Sides


def _judged(folder: Path, slos: Sequence[str]) -> Sample:
    """One verdict in a fresh process."""
    found = fresh("judge", str(folder), *slos)
    return Sample(found["seconds"], found["deliveries"], details={"mebibytes": found["mebibytes"]})


def _slowest(cases: Mapping[str, tuple[Path, Sequence[str]]]) -> Sample:
    """Judges all of them. `details`: the seconds of each."""
    samples = {name: _judged(folder, slos) for name, (folder, slos) in cases.items()}
    slowest = max(samples.values(), key=lambda sample: sample.figure)
    return Sample(slowest.figure, slowest.work, details={name: sample.figure for name, sample in samples.items()})


@contextmanager
def _all_well() -> Iterator[Sides]:
    run, slos = CASES[ALL_WELL]
    with written(run) as folder:
        yield Sides(partial(_judged, folder, slos))


@contextmanager
def _others() -> Iterator[Sides]:
    """Every other case with as many deliveries."""
    rooms = [(name, run) for name, (run, *_) in ROOMS.items() if run.deliveries == DELIVERIES]
    with ExitStack() as stack:
        cases = {name: (stack.enter_context(written(run)), slos) for name, (run, slos) in CASES.items()}
        cases |= {name: (stack.enter_context(written(run)), []) for name, run in rooms}
        well, slos = cases.pop(ALL_WELL)
        yield Sides(partial(_slowest, cases), partial(_judged, well, slos))


ROWS = (
    Row("P6", "judging 5 million deliveries, all well", "s", reach=1.5, sides=_all_well, runs=5),
    Row(
        "P6b", "judging 5 million deliveries of the slowest other case (a loss, disorder, an unsound rig, rooms, …)",
        "s", reach=2.0, sides=_others, opponent="all well",
    ),
)  # fmt: skip
