"""Verdicts of runs that never took place, with figures as wished."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from chatswarm.loadtests.compare.kept_runs import KeptRun
from chatswarm.loadtests.judge.verdict import (
    EXIT_CODES,
    Connections,
    Counts,
    Deliveries,
    Frames,
    Latency,
    Messages,
    Quantiles,
    Rig,
    RigMachine,
    Verdict,
)
from chatswarm.loadtests.scenario.metric_names import Outcome

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
NOISE = (1.0, 1.01, 0.99)
"""Factors that runs without a change take in turn."""


def verdict_on(
    day: int,
    p99: float | None = 0.3,
    outcome: Outcome = "pass",
    *,
    scenario: str = "steady",
    load: str = "same",
    processor: str | None = "a",
    sound: bool = True,
    lost: int = 0,
    accepted: int = 500,
    count: int = 1000,
) -> Verdict:
    """A verdict of the run on that day, whose only latency is `visible.p99`, in seconds; None: among the lost."""
    return Verdict(
        verdict=outcome,
        exit_code=EXIT_CODES[outcome],
        scenario=scenario,
        target="http://chat",
        seed=1,
        started=(FIRST + timedelta(days=day)).isoformat(),
        seconds=30.0,
        dashboards=100,
        widgets=50,
        messages=Messages(accepted=accepted),
        deliveries=Deliveries(lost=lost),
        frames=Frames(),
        counts=Counts(),
        latency=Latency(visible=Quantiles(p99=p99, count=count)),
        connections=Connections(),
        slos=[],
        rig=Rig(sound=sound, machine=RigMachine(cores=2, processor=processor)),
        faults=[],
        recoveries=[],
        findings=[],
        reasons=[],
        load=load,
    )


def kept(*verdicts: Verdict) -> list[KeptRun]:
    """Runs in this order, which should be that of time."""
    return [KeptRun(Path("runs", each.started), datetime.fromisoformat(each.started), each) for each in verdicts]


def days(count: int, level: float = 0.3, begin: int = 0, **more: object) -> list[Verdict]:
    """So many runs on days that follow each other, at this level of `visible.p99` with a little noise."""
    return [
        verdict_on(day, level * NOISE[day % len(NOISE)], **more)  # type: ignore[arg-type]
        for day in range(begin, begin + count)
    ]
