"""One search of `chatswarm capacity` against one chat, with a fresh chat for each probe."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, get_args

import msgspec

from chatswarm.loadtests.capacity.asking import CapacityOptions, asked_of
from chatswarm.loadtests.capacity.findings import PlannedProbe
from chatswarm.loadtests.capacity.record import AskedCapacity, CapacityBy, CapacityReport
from chatswarm.loadtests.capacity.search import RealProbes, begin_or_go_on, perform
from chatswarm.loadtests.run.run import CannotRunError
from chatswarm.loadtests.scenario import scenario as scenarios
from chatswarm.loadtests.system.children import free_port
from chatswarm.loadtests.system.interrupts import Interrupts
from tests.bench.opponents.tutorial import tutorial
from tests.bench.row import NotMeasuredError

CurveChat = Literal["one worker", "two workers", "tutorial"]
CHATS: tuple[CurveChat, ...] = get_args(CurveChat)
"""The reference chat with one and with two workers, and the tutorial's."""
LOADS: dict[CapacityBy, tuple[float, float]] = {"rate": (80, 5120), "dashboards": (100, 6400)}
"""From where to where each load rises; the rest is that of the scenario `steady`."""


def search(chat: CurveChat, by: CapacityBy) -> CapacityReport:
    """How much load a chat holds. Raises NotMeasuredError if the search could not be made or was stopped."""
    with tempfile.TemporaryDirectory() as parent, Interrupts() as interrupts, ExitStack() as serving:
        port = free_port() if chat == "tutorial" else None
        asked = _asked(chat, by, port)
        folder, report = begin_or_go_on(Path(parent) / "search", asked, numbered=False)
        probes = RealProbes(asked, folder, interrupts)

        def begin(planned: PlannedProbe, number: int) -> None:
            if port is not None:
                serving.close()
                probes.asked = msgspec.structs.replace(asked, pid=serving.enter_context(tutorial(port)).pid)
            print(f"{chat} by {by}, probe {number}: {planned.load.level:g} {asked.unit}", flush=True)

        probes.begin = begin
        try:
            found = perform(report, folder, probes)
        except CannotRunError as error:
            raise NotMeasuredError("; ".join(error.problems)) from None
    if found.result is None or found.result.kind == "stopped":
        raise NotMeasuredError(f"{chat} by {by} was stopped")
    return found


def _asked(chat: CurveChat, by: CapacityBy, port: int | None) -> AskedCapacity:
    steady = scenarios.load("steady")
    table = {**steady.table, "backend": {"workers": 2}} if chat == "two workers" else steady.table
    start, to = LOADS[by]
    options = CapacityOptions(
        by=by, start=start, to=to, precision="15%", probe="10s", at_least=None, processes=2, seed=1,
        protocol="reference", target=None if port is None else f"http://127.0.0.1:{port}", rig=False, allowed=False,
        origin=None, users_file=None, pid=None,
    )  # fmt: skip
    asked, problems = asked_of(scenarios.parse(table, "steady", "steady", {}), options)
    if asked is None:
        raise NotMeasuredError("; ".join(problems))
    return asked if port is None else msgspec.structs.replace(asked, target_cores=1)
