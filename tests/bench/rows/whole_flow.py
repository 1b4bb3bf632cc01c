"""P5 and P5b: the whole of `chatswarm run` on one machine, chat included, with 1,000 dashboards and 100 messages/s."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.bench.row import Row, Sample, Sides
from tests.bench.swarm_run import SwarmRun

DASHBOARDS, WIDGETS, RATE, PROCESSES = 1000, 100, 100, 2
_BUSY = 0.2  # of a core


def _sides(scenario: str) -> Callable[[], AbstractContextManager[Sides]]:
    flags = {"dashboards": DASHBOARDS, "widgets": WIDGETS, "rate": RATE, "processes": PROCESSES}

    def run() -> Sample:
        measured = SwarmRun(scenario, flags).perform()
        verdict = measured.verdict
        p99 = verdict.latency.visible.p99
        others = (measured.cpu_of_machine - measured.cpu) / measured.seconds
        problems = measured.problems
        if problems and others > _BUSY:
            problems.append("other programs were busy on this machine")
        details = {
            "cores": measured.cpu / verdict.seconds,
            "cores_of_other_programs": others,
            "lag_p99": verdict.rig.lag_p99 or 0.0,
            "late_sends": verdict.rig.late_sends,
            "late": verdict.deliveries.late,
        }
        # A quantile that falls among the lost is infinite.
        return Sample(math.inf if p99 is None else p99, verdict.deliveries.visible, problems, details)

    @contextmanager
    def sides() -> Iterator[Sides]:
        yield Sides(run)

    return sides


ROWS = [
    Row(
        "P5",
        f"`chatswarm run steady --dashboards {DASHBOARDS} --widgets {WIDGETS} --rate {RATE} --processes {PROCESSES}`: "
        "visible p99",
        "s",
        0.5,
        _sides("steady"),
    ),
    Row(
        "P5b",
        f"the same with texts in frames to everybody ({DASHBOARDS * RATE:,} frames/s): visible p99",
        "s",
        0.15,
        _sides("push-everybody"),
    ),
]
