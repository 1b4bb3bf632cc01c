"""Conducts a run over all processes of the swarm: places, T0, the end, the drain, the closed histories.

Lives in Locust's master, or in the only process. Locust has its own ideas of how a test ends: it gives its workers
three seconds, and Ctrl-C reaches them at the same moment as the master. Therefore `test_stopping` blocks here until
each worker has said that its history is closed.
"""

import json
import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.runners import STATE_MISSING, LocalRunner, MasterRunner

from chatswarm.loadtests.children import PROGRESS
from chatswarm.loadtests.clock import Exchange, Offset, both, estimate
from chatswarm.loadtests.history.manifest import NEMESIS, PROXY, Clock, Manifest, boot_id, history_file
from chatswarm.loadtests.schedule import intended_times

from .figures import Figures
from .http import TIMEOUT
from .live import Identified
from .plan import Plan, Progress
from .prometheus import Scene
from .report import Report
from .strikes import Strikes

logger = logging.getLogger(__name__)

_LEAD = 0.3  # seconds from saying T0 to T0: every process must hear of it before
_PATIENCE = 15.0  # seconds after the ramp, after which the measured part begins without those who did not come
_LOOK = 0.05
_REPORT_EVERY = 0.5
_CLOCK_EXCHANGES = 20
_CLOCK_PAUSE = 0.02  # seconds between two
_RECENT = 7  # reports over which rates are taken
_FINAL_READ = 60.0  # seconds that the final read may take at the most


class Conductor:
    """One run. `tell(kind, data, client)` sends to one process; `stop` ends Locust's test."""

    def __init__(
        self, plan: Plan, environment: Environment, processes: dict[str, str], tell: Callable[[str, Any, str], None],
        stop: Callable[[], None],
    ) -> None:  # fmt: skip
        """`processes`: the names of the processes with users in them, by Locust's client id."""
        self.plan = plan
        self.scenario = plan.scenario()
        self._environment = environment
        self._processes = processes
        self._tell = tell
        self._stop = stop
        self._places = {"widget": 0, "dashboard": 0}
        self._progress: dict[str, Progress] = {}
        self._closed: dict[str, str | None] = {}
        self._far: dict[str, str] = {}  # processes on other machines, with their clients
        self._exchanges: dict[str, list[Exchange]] = {}
        self._offsets: dict[str, Offset] = {}
        self._all_closed = Event()
        self._phase = "connecting"
        self._phase_began = time.monotonic()
        self._pipe = _progress_pipe()
        self._recent: deque[tuple[float, int, int]] = deque(maxlen=_RECENT)
        self.over = False
        self._figures = self._no_figures() if plan.watched else None
        self._strikes = Strikes(self.scenario.faults, history_file(plan.path, NEMESIS))
        target = plan.target()
        window = self.scenario.list_window or target.list_window
        self.manifest = Manifest(
            run=plan.run,
            scenario=plan.name,
            target=plan.base_url,
            adapter=plan.adapter,
            list_window=window,
            seed=plan.seed,
            started=datetime.now(UTC).isoformat(timespec="milliseconds"),
            boot_id=boot_id(),
            processes=[
                *sorted(processes.values()),
                *([NEMESIS] if self.scenario.faults else []),
                *([PROXY] if plan.via else []),
            ],
        )
        self.manifest.write(plan.path)
        (plan.path / "scenario.toml").write_text(self.scenario.toml(), encoding="utf-8")
        self._greenlets = [gevent.spawn(self._conduct), gevent.spawn(self._report)]

    def next_place(self, kind: str) -> int:
        """The next free number for a `widget` or `dashboard`."""
        number = self._places[kind]
        self._places[kind] += 1
        return number

    def progressed(self, process: str, progress: Progress) -> None:
        """A process says how far it is."""
        self._progress[process] = progress
        if self._figures is not None:
            self._figures.progressed(self.total())

    def reported(self, process: str, report: Report) -> None:
        """A process says what it saw since its last report. What the others need to know of it is passed on."""
        if self._figures is None:
            return
        found: list[Identified] = self._figures.take(process, report)
        for client, name in self._processes.items():
            if found and name != process:
                self._tell("ids", found, client)

    def scene(self) -> Scene:
        """The run as it is now, for people who watch."""
        manifest = self.manifest
        phase = "idle" if self._phase == "closed" else self._phase
        if manifest.start is None:
            return Scene(phase, figures=self._figures, faults=self._strikes.active())
        cut = manifest.end is not None and manifest.cut_short
        until = manifest.end - manifest.start if cut and manifest.end is not None else math.inf
        return Scene(phase, time.monotonic() - manifest.start, until, self._figures, self._strikes.active())

    def _no_figures(self) -> Figures:
        plan, scenario = self.plan, self.scenario
        schedule = [
            intended_times(plan.seed, widget, scenario.widgets, scenario.rates, scenario.arrivals)
            for widget in range(scenario.widgets)
        ]
        return Figures(scenario, schedule, plan.run, plan.base_url)

    def closed(self, process: str, failure: str | None) -> None:
        """A process says that its history is closed; `failure` is why it is not whole."""
        self._closed[process] = failure
        if self._closed.keys() >= set(self._processes.values()):
            self._all_closed.set()

    def hello(self, client: str, process: str, boot: str) -> None:
        """A process says whose clock it goes by."""
        if boot != self.manifest.boot_id:
            self._far[process] = client
            self._exchanges[process] = []

    def clocked(self, process: str, sent: float, there: float) -> None:
        """A process answers what its clock showed."""
        self._exchanges[process].append(Exchange(sent, there, time.monotonic()))

    def _ask_clocks(self) -> dict[str, Offset]:
        """How far the clocks of processes on other machines are from ours, now."""
        for process in self._far:
            self._exchanges[process] = []
        for _ in range(_CLOCK_EXCHANGES if self._far else 0):
            for client in self._far.values():
                self._tell("clock", {"sent": time.monotonic()}, client)
            gevent.sleep(_CLOCK_PAUSE)
        found = {}
        for process, exchanges in self._exchanges.items():
            if exchanges:
                found[process] = estimate(exchanges)
            else:
                self.trouble(f"the process {process} of the swarm did not say what its clock shows")
        return found

    def _tell_time(self, kind: str, key: str, moment: float) -> None:
        """Tells every process a moment, each by its own clock."""
        for client, process in self._processes.items():
            offset = self._offsets.get(process, Offset(0.0, 0.0))
            self._tell(kind, {key: moment + offset.seconds}, client)

    def received(self, process: str, data: bytes) -> None:
        """A piece of the history of a process on another machine."""
        path = history_file(self.plan.path, process)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(data)

    def trouble(self, text: str) -> None:
        """Something went wrong with the rig: it will stand in the verdict."""
        logger.error(text)
        self.manifest.troubles.append(text)

    def finish(self) -> None:
        """Ends the run: blocks until every process that is still there has closed its history. Safe to call twice."""
        if self.over:
            return
        self.over = True
        now = time.monotonic()
        start, duration = self.manifest.start, self.scenario.duration
        if start is None:
            self.manifest.cut_short = "ended before the measured part began"
            end = now
        else:
            end = min(now, start + duration)
            if end < start + duration - _LOOK:
                self.manifest.cut_short = f"ended after {max(0.0, end - start):.1f} s of {duration:g} s"
        self.manifest.end = end
        self.manifest.write(self.plan.path)
        self._enter("draining")
        after = self._ask_clocks()
        self.manifest.clocks = {
            process: Clock(*both(offset, after.get(process, offset))) for process, offset in self._offsets.items()
        }
        self._tell_time("drain", "end", end)
        try:
            self._await_closed(end + self.scenario.drain + 2 * TIMEOUT + _FINAL_READ)
        except KeyboardInterrupt:
            self.trouble("interrupted a second time, during the drain: the last observations are missing")
        self._enter("closed")
        gevent.killall(self._greenlets)
        self._write_progress()
        missing = sorted(set(self._processes.values()) - self._closed.keys())
        for process in missing:
            self.trouble(f"the process {process} of the swarm did not close its history: it died or hangs")
        for process, failure in sorted(self._closed.items()):
            if failure is not None:
                self.trouble(f"the process {process} of the swarm could not write its history: {failure}")
        self.manifest.ended = not missing
        self.manifest.write(self.plan.path)

    def _await_closed(self, deadline: float) -> None:
        while not self._all_closed.wait(0.2) and time.monotonic() < deadline:
            if not any(self._is_there(client) for client, name in self._processes.items() if name not in self._closed):
                return

    def _is_there(self, client: str) -> bool:
        runner = self._environment.runner
        if not isinstance(runner, MasterRunner):
            return True
        worker = runner.clients.get(client)
        return worker is not None and worker.state != STATE_MISSING

    def _conduct(self) -> None:
        """From the first connection to the end of the measured part."""
        dashboards, widgets = self.scenario.stages[0].dashboards, self.scenario.widgets
        deadline = time.monotonic() + self.scenario.ramp + _PATIENCE
        while time.monotonic() < deadline:
            gevent.sleep(_LOOK)
            total = self.total()
            if total.subscribed >= dashboards and total.widgets >= widgets:
                break
        else:
            logger.warning(
                "%d of %d dashboards subscribed and %d of %d widgets ready after %g s: going on without the others",
                total.subscribed, dashboards, total.widgets, widgets, self.scenario.ramp + _PATIENCE,
            )  # fmt: skip
        self._offsets = self._ask_clocks()
        start = time.monotonic() + _LEAD
        self.manifest.start = start
        self.manifest.write(self.plan.path)
        self._tell_time("begin", "start", start)
        self._enter("measuring")
        gevent.sleep(start + self.scenario.duration - time.monotonic())
        self._stop()

    def total(self) -> Progress:
        """The figures of all processes together, as last heard."""
        total = Progress()
        for progress in self._progress.values():
            total.add(progress)
        return total

    def _enter(self, phase: str) -> None:
        self._phase, self._phase_began = phase, time.monotonic()
        logger.info("chatswarm: %s", phase)
        self._write_progress()

    def _report(self) -> None:
        while True:
            gevent.sleep(_REPORT_EVERY)
            self._write_progress()

    def _write_progress(self) -> None:
        """One line of JSON for whoever started this swarm and watches."""
        if self._pipe is None:
            return
        total = self.total()
        now = time.monotonic()
        self._recent.append((now, total.sent, total.updates))
        then, sent, updates = self._recent[0]
        span = max(now - then, 0.001)
        lengths = {
            "connecting": self.scenario.ramp,
            "measuring": self.scenario.duration,
            "draining": self.scenario.drain,
        }
        line = {
            "phase": self._phase,
            "elapsed": now - self._phase_began,
            "length": lengths.get(self._phase, 0.0),
            "dashboards": self.scenario.dashboards,
            "p99": total.p99(),
            "sent_rate": (total.sent - sent) / span,
            "update_rate": (total.updates - updates) / span,
            **{key: value for key, value in total.wire().items() if key != "latencies"},
        }
        try:
            os.write(self._pipe, json.dumps(line).encode() + b"\n")
        except OSError:
            self._pipe = None


def processes_of(environment: Environment) -> dict[str, str]:
    """The processes that will have users in them, by Locust's client id."""
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        return {client: f"swarm-{runner.get_worker_index(client)}" for client in runner.clients}
    assert isinstance(runner, LocalRunner)
    return {runner.client_id: "swarm-0"}


def shares(users: int, dashboards: int, widgets: int) -> tuple[int, int]:
    """How many of `users` are dashboards and how many widgets, in the scenario's proportion, at least one of each."""
    if users == dashboards + widgets:
        return dashboards, widgets
    share = math.floor(users * dashboards / (dashboards + widgets) + 0.5)
    share = min(max(1, share), users - 1)
    return share, users - share


def _progress_pipe() -> int | None:
    """Where `chatswarm run` reads the progress of the swarm that it started."""
    number = os.environ.get(PROGRESS)
    return None if number is None else int(number)
