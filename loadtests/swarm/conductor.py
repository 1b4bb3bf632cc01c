"""Conducts a run over all processes of the swarm: places, T0, the end, the drain, the closed histories.

Lives in Locust's master, or in the only process. Locust has its own ideas of how a test ends: it gives its workers
three seconds, and Ctrl-C reaches them at the same moment as the master. Therefore `test_stopping` blocks here until
each worker has said that its history is closed.
"""

import logging
import math
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.runners import STATE_MISSING, MasterRunner

from chatswarm.loadtests.history.manifest import NEMESIS, PROXY, Clock, Manifest, boot_id, history_file
from chatswarm.loadtests.scenario.schedule import intended_times

from .clock_offset import ClockOffset, both
from .clock_sync import ClockSync
from .live.active_faults import ActiveFaults
from .live.combined_figures import LiveFigures
from .live.increment import Increment
from .live.process_figures import Identified
from .live.prometheus import Scene
from .locust.parent_pipes import ProgressPipe
from .net.http import TIMEOUT
from .plan import ProcessProgress, RunPlan

logger = logging.getLogger(__name__)

_LEAD = 0.3  # seconds from saying T0 to T0: every process must hear of it before
_PATIENCE = 15.0  # seconds after the ramp, after which the measured part begins without those who did not come
_LOOK = 0.05
_REPORT_EVERY = 0.5
_FINAL_READ = 60.0  # seconds that the final read may take at the most
_ENTERING = 10.0  # seconds that a process may take to read the plan and to make its history
_SEEN = 2.0  # seconds until a file that another process made must be seen here


class Conductor:
    """One run. `tell(kind, data, client)` sends to one process; `stop` ends Locust's test.

    First `prepare`: until it has returned without a problem, there is no load and nothing to judge. Then `begin`.
    """

    def __init__(
        self, plan: RunPlan, environment: Environment, processes: dict[str, str], tell: Callable[[str, Any, str], None],
        stop: Callable[[], None], spawning: float = 0.0,
    ) -> None:  # fmt: skip
        """`processes`: the names of the processes with users in them, by Locust's client id. `spawning`: how many
        seconds Locust takes to start all users. Raises OSError if the run's folder cannot be written to.
        """
        self.plan = plan
        self.scenario = plan.scenario()
        self._environment = environment
        self._processes = processes
        self._tell = tell
        self._stop = stop
        self._ramp = max(self.scenario.ramp, spawning)
        self._places = {"widget": 0, "dashboard": 0}
        self._progress: dict[str, ProcessProgress] = {}
        self._closed: dict[str, str | None] = {}
        self._entered: set[str] = set()
        self._unfit: dict[str, str] = {}
        self._left: set[str] = set()
        self._heard: dict[str, float] = {}  # when each process last said something
        self._clocks = ClockSync(self._ask_clock)
        self._offsets: dict[str, ClockOffset] = {}
        self._all_closed = Event()
        self._finished = Event()
        self._warned = False
        self._phase = "connecting"
        self._phase_began = time.monotonic()
        self._pipe = ProgressPipe()
        self.over = False
        self._figures = self._no_figures() if plan.watched else None
        self._strikes = ActiveFaults(self.scenario.faults, history_file(plan.path, NEMESIS))
        target = plan.target()
        window = self.scenario.list_window or target.list_window
        self.manifest = Manifest(
            run=plan.run,
            scenario=plan.name,
            target=plan.base_url,
            protocol=plan.protocol,
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
        self._greenlets: list[gevent.Greenlet] = []

    def prepare(self, message: dict[str, Any]) -> list[str]:
        """Tells every process the plan, in front of which `message` stands, and waits until each has its history open.

        Returns why the run cannot begin; empty if it can.
        """
        for client, process in self._processes.items():
            self._tell("plan", {**message, "process": process, "plan": self.plan.wire()}, client)
        names = set(self._processes.values())
        deadline = time.monotonic() + _ENTERING
        while self._entered != names and not self._unfit and time.monotonic() < deadline:
            if not all(map(self._is_there, self._processes)):
                break
            gevent.sleep(_LOOK)
        problems = list(self._unfit.values())
        for client, process in self._processes.items():
            if process not in self._entered | self._unfit.keys():
                why = f"nothing for {_ENTERING:g} s" if self._is_there(client) else "its end"
                problems.append(f"the worker {process} ({client}): expected an answer to the plan, got {why}")
        return [] if self._entered == names else problems

    def begin(self) -> None:
        """From here on there may be load."""
        self._greenlets = [gevent.spawn(self._conduct_or_stop), gevent.spawn(self._report)]

    def drop(self) -> None:
        """The run does not begin after all: its processes forget it."""
        self.over = True
        for client in self._processes:
            self._tell("drop", {"run": self.plan.run}, client)

    @property
    def clients(self) -> set[str]:
        """Locust's ids of the processes that take part."""
        return set(self._processes)

    def next_place(self, kind: str) -> int:
        """The next number for a `widget` or `dashboard`. Those beyond the scenario's are an operator's."""
        number = self._places[kind]
        self._places[kind] += 1
        return number

    def progressed(self, process: str, progress: ProcessProgress) -> None:
        """A process says how far it is."""
        self._heard[process] = time.monotonic()
        self._progress[process] = progress
        if self._figures is not None:
            self._figures.progressed(self.total())

    def reported(self, process: str, report: Increment) -> None:
        """A process says what it saw since its last report. What the others need to know of it is passed on."""
        if self._figures is None:
            return
        found: list[Identified] = self._figures.take(process, report)
        for client, name in self._processes.items():
            if found and name != process:
                self._tell("ids", {"run": self.plan.run, "found": found}, client)

    def scene(self) -> Scene:
        """The run as it is now, for people who watch."""
        manifest = self.manifest
        phase = "idle" if self._phase == "closed" else self._phase
        if manifest.start is None:
            return Scene(phase, figures=self._figures, faults=self._strikes.active())
        cut = manifest.end is not None and manifest.cut_short
        until = manifest.end - manifest.start if cut and manifest.end is not None else math.inf
        return Scene(phase, time.monotonic() - manifest.start, until, self._figures, self._strikes.active())

    def _no_figures(self) -> LiveFigures:
        plan, scenario = self.plan, self.scenario
        schedule = [
            intended_times(plan.seed, widget, scenario.widgets, scenario.rates, scenario.arrivals)
            for widget in range(scenario.widgets)
        ]
        return LiveFigures(scenario, schedule, plan.run, plan.base_url)

    def closed(self, process: str, failure: str | None) -> None:
        """A process says that its history is closed; `failure` is why it is not whole."""
        self._closed[process] = failure
        if self._closed.keys() >= set(self._processes.values()):
            self._all_closed.set()

    def entered(self, client: str, process: str, boot: str, *, shared: bool) -> None:
        """A process has opened its history, `shared`: in the run's folder. Says whose clock it goes by."""
        if boot != self.manifest.boot_id:
            self._clocks.add(process, client)
        if shared and not self._sees(history_file(self.plan.path, process)):
            # The same names, but not the same files: a copy of the folder, or an overlay of it.
            self._tell("apart", {"run": self.plan.run}, client)
        self._entered.add(process)

    def _sees(self, path: Path) -> bool:
        """Some file systems of networks show a new file only after a moment."""
        deadline = time.monotonic() + _SEEN
        while not os.access(path, os.R_OK):
            if time.monotonic() > deadline:
                return False
            gevent.sleep(_LOOK)
        return True

    def unfit(self, client: str, process: str, why: str) -> None:
        """A process cannot take part, or no longer."""
        text = f"the worker {process} ({client}): {why}"
        if self._greenlets:
            self.trouble(text)
            self._stop()
        else:
            self._unfit[process] = text

    def leaving(self, process: str) -> None:
        """A process was told to end in the middle of the run. What it observed so far comes yet."""
        if process not in self._left and not self.over:
            self._left.add(process)
            self.trouble(
                f"the process {process} of the swarm was ended {self._when(time.monotonic())} (by a signal), and its "
                "users with it: from then on nothing is known of them"
            )

    def _when(self, moment: float) -> str:
        if self.manifest.start is None or moment < self.manifest.start:
            return "before the measured part"
        return f"{moment - self.manifest.start:.1f} s after the start"

    def clocked(self, process: str, sent: float, there: float) -> None:
        """A process answers what its clock showed."""
        self._clocks.answered(process, sent, there)

    def _ask_clock(self, client: str, sent: float) -> None:
        self._tell("clock", {"run": self.plan.run, "sent": sent}, client)

    def _measure_clocks(self) -> dict[str, ClockOffset]:
        """How far the clocks of processes on other machines are from ours, now."""
        offsets = self._clocks.measure(gone=self._left)
        for process, offset in offsets.items():
            if offset is None:
                self.trouble(f"the process {process} of the swarm did not say what its clock shows")
        return {process: offset for process, offset in offsets.items() if offset is not None}

    def _tell_time(self, kind: str, key: str, moment: float) -> None:
        """Tells every process a moment, each by its own clock."""
        for client, process in self._processes.items():
            offset = self._offsets.get(process, ClockOffset(0.0, 0.0))
            self._tell(kind, {"run": self.plan.run, key: moment + offset.seconds}, client)

    def received(self, process: str, data: bytes) -> None:
        """A piece of the history of a process that has no access to the run's folder."""
        path = history_file(self.plan.path, process)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(data)
        except OSError as error:
            self._trouble_once(f"the history of the process {process} of the swarm could not be written here: {error}")

    def trouble(self, text: str) -> None:
        """Something went wrong with the rig: it will stand in the verdict."""
        logger.error(text)
        self.manifest.troubles.append(text)

    def _trouble_once(self, text: str) -> None:
        if text not in self.manifest.troubles:
            self.trouble(text)

    def _write_manifest(self) -> None:
        """Whatever cannot be written must not keep the run from its end. The judge sees what is missing."""
        try:
            self.manifest.write(self.plan.path)
        except OSError as error:
            self._trouble_once(f"the run's manifest could not be written: {error}")

    def finish(self) -> None:
        """Ends the run: blocks until every process that is still there has closed its history, whoever else ends it."""
        if not self.over:
            self.over = True
            try:
                self._finish()
            finally:
                self._finished.set()
        self._finished.wait()

    def interrupt(self) -> None:
        """Ctrl-C during the drain gives up the last observations. Where the drain is not Ctrl-C's own doing, it takes a
        second one.
        """
        if self._finished.is_set():
            logger.info("chatswarm: the verdict is on its way")
        elif self.manifest.cut_short is None and not self._warned:
            self._warned = True
            logger.info("chatswarm: the measured part is over; Ctrl-C once more gives up the last messages")
        elif not self._all_closed.is_set():
            self.trouble("interrupted during the drain: the last observations are missing")
            self._all_closed.set()

    def _finish(self) -> None:
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
        self._write_manifest()
        self._enter("draining")
        after = self._measure_clocks()
        self.manifest.clocks = {
            process: Clock(*both(offset, after.get(process, offset))) for process, offset in self._offsets.items()
        }
        self._tell_time("drain", "end", end)
        self._await_closed(end + self.scenario.drain + 2 * TIMEOUT + _FINAL_READ)
        self._enter("closed")
        gevent.killall(self._greenlets)
        self._write_progress()
        missing = sorted(set(self._processes.values()) - self._closed.keys())
        for process in missing:
            heard = self._heard.get(process)
            last = "never heard of" if heard is None else f"last heard of {self._when(heard)}"
            self.trouble(f"the process {process} of the swarm did not close its history: it died or hangs ({last})")
        for process, failure in sorted(self._closed.items()):
            if failure is not None:
                self.trouble(f"the process {process} of the swarm could not write its history: {failure}")
        self.manifest.ended = not missing
        self._write_manifest()

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

    def _conduct_or_stop(self) -> None:
        """Whatever goes wrong here, the run comes to an end and says why."""
        try:
            self._conduct()
        except Exception as error:  # noqa: BLE001
            self.trouble(f"the conductor of the swarm failed: {type(error).__name__}: {error}")
            self._stop()

    def _conduct(self) -> None:
        """From the first connection to the end of the measured part."""
        dashboards, widgets = self.scenario.stages[0].dashboards, self.scenario.widgets
        patience = self._ramp + _PATIENCE
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            gevent.sleep(_LOOK)
            total = self.total()
            if total.subscribed >= dashboards and total.widgets >= widgets:
                break
            if gone := [name for client, name in self._processes.items() if not self._is_there(client)]:
                self.trouble(f"before the measured part began, these processes were gone: {', '.join(gone)}")
                self._stop()
                return
        else:
            logger.warning(
                "%d of %d dashboards subscribed and %d of %d widgets ready after %g s: going on without the others",
                total.subscribed, dashboards, total.widgets, widgets, patience,
            )  # fmt: skip
            self._say_who_was_not_started()
        self._offsets = self._measure_clocks()
        start = time.monotonic() + _LEAD
        self.manifest.start = start
        self.manifest.write(self.plan.path)
        self._tell_time("begin", "start", start)
        self._enter("measuring")
        gevent.sleep(start + self.scenario.duration - time.monotonic())
        self._stop()

    def _say_who_was_not_started(self) -> None:
        """Users that Locust has not started cannot have been kept out by the target."""
        for kind, wanted in (("dashboard", self.scenario.dashboards), ("widget", self.scenario.widgets)):
            if self._places[kind] < wanted:
                self.trouble(
                    f"Locust had started {self._places[kind]} of {wanted} {kind}s when the measured part began"
                )

    def total(self) -> ProcessProgress:
        """The figures of all processes together, as last heard."""
        total = ProcessProgress()
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
        lengths = {
            "connecting": self.scenario.ramp,
            "measuring": self.scenario.duration,
            "draining": self.scenario.drain,
        }
        length = lengths.get(self._phase, 0.0)
        self._pipe.tell(self._phase, self._phase_began, length, self.scenario.dashboards, self.total())
