"""Runs two short swarms under a real Prometheus, and collects what it recorded.

`faulty` runs against the reference backend, with the events that some panels exist for: dashboards cut off from the
network, a locked store, a dashboard that does not read. `lossy` runs against a chat that loses exactly one message, so
that there are losses but all except the highest quantiles are finite. Both run at once: the panels' variables must
separate them.
"""

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import tomli_w

from chatswarm.loadtests.system.children import free_port
from chatswarm.loadtests.testbed.reference_chat import ReferenceBackend
from tests.e2e.command import CHATSWARM, running
from tests.plants.chat import serving
from tests.plants.losing import LosesEveryTenth

from .asked import Asked, asked
from .prometheus import Prometheus, Sample, watching

Run = Literal["faulty", "lossy"]
RUNS: Final[tuple[Run, ...]] = ("faulty", "lossy")
_PATIENCE = 120.0  # seconds that a run may take
_STEP = 0.25
_SHORT = "5s"  # the window with which panels are drawn over time

# The ramp spans several scrapes, because no rate shows what a counter counted before its first scrape.
_FAULTY: Final[dict[str, Any]] = {
    "swarm": {
        "dashboards": 6, "widgets": 10, "rate": 100, "duration": "15s", "ramp": "6s", "drain": "4s",
        "update_target": "1s",
    },
    "fault": [
        {"name": "reader", "kind": "slow_reader", "at": "0s", "for": "14s", "readers": 1},
        {"name": "net", "kind": "down", "at": "3s", "for": "2s", "on": "dashboards"},
        {"name": "locked", "kind": "lock_store", "at": "9s", "for": "1500ms"},
    ],
    # Only lost deliveries may fail this run: the faults cause other findings on purpose.
    "slo": [{"expect": "lost == 0"}],
}  # fmt: skip
_LOSSY: Final[dict[str, Any]] = {
    "swarm": {
        "dashboards": 10, "widgets": 6, "rate": 25, "duration": "10s", "ramp": "6s", "drain": "5s",
        "update_target": "2s",
    },
    "slo": [{"expect": "lost == 0"}],
}  # fmt: skip


class _LosesOneMessage(LosesEveryTenth):
    """Loses the 150th message: no dashboard ever sees it."""

    def nth(self, step: int) -> bool:
        return self.sends == 150


@dataclass
class Seen:
    """What Prometheus returned for one query of one run."""

    query: str
    end: list[Sample]  # at the run's last scrape, over the whole run
    drawn: list[Sample]  # everything that a panel would have drawn, with a short window

    @property
    def last(self) -> float | None:
        """The single value at the end; None if there was none, or it was not finite."""
        finite = [sample.value for sample in self.end if math.isfinite(sample.value)]
        return finite[0] if len(finite) == 1 else None

    @property
    def peak(self) -> float | None:
        return max((sample.value for sample in self.drawn), default=None)


@dataclass
class Watched:
    """One run: its verdict, and what Prometheus recorded. `window`: the whole run, in seconds."""

    verdict: dict[str, Any]
    window: int
    panels: dict[Asked, Seen] = field(default_factory=dict)
    rules: dict[str, Seen] = field(default_factory=dict)  # for a recording rule its values, for an alert when it fired


@dataclass
class Evidence:
    """Everything recorded, and the rules that Prometheus could not evaluate, with the reason."""

    runs: dict[Run, Watched]
    broken: dict[str, str]


def watch(folder: Path) -> Evidence:
    """Complete both runs. Raises AssertionError if a run has no verdict, or Prometheus rejects a query."""
    ports = {run: free_port() for run in RUNS}
    chat = free_port()
    with ExitStack() as opened:
        backend = ReferenceBackend(folder / "backend.log", folder / "chat.db", chat, {"unsent_limit": "500ms"})
        opened.callback(backend.stop)
        backend.wait()
        urls: dict[Run, str] = {
            "faulty": backend.base_url,
            "lossy": opened.enter_context(serving(_LosesOneMessage(ids=True, tail=None))),
        }
        prometheus = opened.enter_context(
            watching(
                folder,
                {
                    "backend:8000": [f"127.0.0.1:{chat}"],
                    "locust:9646": [f"127.0.0.1:{port}" for port in ports.values()],
                },
            )
        )
        began = time.time()
        commands = {
            run: opened.enter_context(running(_command(folder / run, run, urls[run], ports[run]), folder / run))
            for run in RUNS
        }
        results = {run: command.result(_PATIENCE) for run, command in commands.items()}
        for run, result in results.items():
            assert result.out.startswith("{"), f"{run}: no verdict, exit code {result.code}: {result.err[-2000:]}"
        ended = time.time()
        runs = {
            run: _look(prometheus, results[run].verdict, [f"127.0.0.1:{port}", f"127.0.0.1:{chat}"], began, ended)
            for run, port in ports.items()
        }
        unwell = [rule for rule in prometheus.rules() if rule["health"] != "ok"]
        return Evidence(runs, {rule["name"]: rule.get("lastError", rule["health"]) for rule in unwell})


def _command(folder: Path, run: Run, url: str, port: int) -> list[str]:
    folder.mkdir()
    content = dict(_FAULTY if run == "faulty" else _LOSSY)
    if run == "faulty":
        content["fault"] = [
            {**fault, **({"database": str(folder.parent / "chat.db")} if fault["kind"] == "lock_store" else {})}
            for fault in content["fault"]
        ]
    file = folder / f"{run}.toml"
    file.write_text(tomli_w.dumps(content), encoding="utf-8")
    return [*CHATSWARM, "run", str(file), "--target", url, "--out", "run", "--json", "--metrics-port", str(port)]


def _look(prometheus: Prometheus, verdict: dict[str, Any], instances: list[str], began: float, ended: float) -> Watched:
    """Query Prometheus for one run. `instances`: the swarm's and the backend's."""
    info = f'chatswarm_run_info{{instance="{instances[0]}"}}'
    at = max(_moments(prometheus, info, began, ended))
    (run,) = {sample.labels["run"] for sample in prometheus.ask(info, at)}
    watched = Watched(verdict, math.ceil(at - began))
    chosen = {"swarm": ".*", "run": run, "backend": ".*"}
    for one in asked():
        query = one.filled({**chosen, "window": f"{watched.window}s"})
        drawn = prometheus.over_time(one.filled({**chosen, "window": _SHORT}), began, ended, _STEP)
        watched.panels[one] = Seen(query, prometheus.ask(query, at), drawn)
    for rule in prometheus.rules():
        name, query = rule["name"], rule["query"]
        result = name if rule["type"] == "recording" else f'ALERTS{{alertname="{name}", alertstate="firing"}}'
        end, drawn = prometheus.ask(query, at), prometheus.over_time(result, began, ended, _STEP)
        watched.rules[name] = Seen(query, _of(instances, end), _of(instances, drawn))
    return watched


def _of(instances: list[str], samples: list[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.labels.get("instance") in instances]


def _moments(prometheus: Prometheus, query: str, began: float, ended: float) -> list[float]:
    """The times at which the query returned something."""
    drawn = prometheus.over_time(f"timestamp({query})", began, ended, _STEP)
    assert drawn, f"Prometheus never saw {query}"
    return [sample.value for sample in drawn]
