"""Searches for limits that are planted: in the target, in the rig, and in the machine that they share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.bench.opponents.tutorial import tutorial
from tests.e2e.command import scenario
from tests.plants import Chat, serving
from tests.plants.limits import AdmitsSoManyDashboards, ServesAtAFixedRate

from .starved import STARVED, remove
from .trial import Trial, tried

_SCENARIO = """
[swarm]
dashboards = {dashboards}
widgets = 10
rate = {rate}
ramp = "1s"
drain = "4s"
refetch = "1s"

[[slo]]
expect = "visible.p99 <= 2s"
[[slo]]
expect = "lost == 0"
"""


@dataclass(frozen=True)
class PlantedLimit:
    """A search, and what it has to find."""

    name: str
    by: str
    start: int
    to: int
    gives_out: str
    serve: Callable[[], AbstractContextManager[str]]
    """Starts the chat."""
    limit: int | None = None
    """The highest load that holds; None: it depends on the machine."""
    times: int = 3
    """How often it is searched."""
    dashboards: int = 4
    rate: int = 5
    before: Sequence[str] = ()

    def search(self, number: int, folder: Path) -> Trial:
        """One search."""
        text = _SCENARIO.format(dashboards=self.dashboards, rate=self.rate)
        words = ["capacity", scenario(folder, text), "--by", self.by, "--from", str(self.start), "--to", str(self.to)]
        words += ["--probe", "10s", "--seed", str(100 * number + 1), "--out", str(folder / "search")]
        try:
            with self.serve() as url:
                return tried(f"capacity, {self.name}", [*words, "--target", url], folder, self.judged, self.before)
        finally:
            remove()

    def judged(self, code: int, report: dict[str, Any]) -> tuple[str, str]:
        """What a search found, and what is wrong with it."""
        result = report["result"]
        low, high = result["low"], result["high"]
        interval = f"{'?' if low is None else f'{low:.0f}'} to {'?' if high is None else f'{high:.0f}'}"
        found = f"{result['kind']}, {interval}, gave out: {result['gave_out']}"
        if result["gave_out"] != self.gives_out:
            return found, f"expected the {self.gives_out}, got {'; '.join(result['evidence'])}"
        if self.gives_out != "target":
            return found, "" if code == 3 and high is None else f"expected 3 and no upper bound, got {code}, {high}"
        assert self.limit is not None
        if code or low is None or high is None:
            return found, f"expected an interval and exit code 0, got {code}"
        return found, "" if low <= self.limit <= high else f"{self.limit} is not in it"


@contextmanager
def tutorial_on_one_core() -> Iterator[str]:
    """The tutorial's chat on the first core."""
    with tutorial() as server:
        psutil.Process(server.pid).cpu_affinity([0])
        yield f"http://127.0.0.1:{server.port}"


LIMITS = (
    PlantedLimit(
        "137 messages/s", "rate", 40, 640, "target", lambda: serving(ServesAtAFixedRate(ids=True, tail=3)), 137
    ),
    PlantedLimit(
        "260 dashboards", "dashboards", 40, 640, "target",
        lambda: serving(AdmitsSoManyDashboards(ids=True, tail=3)), 260,
    ),
    PlantedLimit(
        "a starved rig", "rate", 20, 2560, "rig",
        lambda: serving(Chat(ids=True, tail=3)), times=1, dashboards=20, before=STARVED,
    ),
    # On one core, of which both need a good part.
    PlantedLimit(
        "a busy machine", "rate", 20, 1280, "machine",
        tutorial_on_one_core, times=1, dashboards=100, before=("taskset", "-c", "0"),
    ),
)  # fmt: skip
"""The last two show that a limit which is not the target's is never called its limit."""
