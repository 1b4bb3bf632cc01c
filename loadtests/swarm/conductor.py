"""Conducts a run over all processes of the swarm, from the plan and T0 to the drain and the closed histories.

It lives in Locust's master, or in the only process. Locust gives its workers three seconds when a test ends, and Ctrl-C
reaches them at the same moment as the master. So `test_stopping` blocks here until every worker has reported that its
history is closed.
"""

import logging
import math
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.runners import STATE_MISSING, MasterRunner

from chatswarm.loadtests.history.manifest import (
    NEMESIS,
    PROTOCOL,
    PROXY,
    TARGET,
    Clock,
    Manifest,
    boot_id,
    history_file,
)
from chatswarm.loadtests.scenario.schedule import intended_times
from chatswarm.loadtests.system.machine import processor_name
from chatswarm.loadtests.system.version import installed_version

from .clock_offset import ClockOffset, both
from .clock_sync import ClockSync
from .live.active_faults import ActiveFaults
from .live.combined_figures import CombinedFigures
from .live.increment import Increment
from .live.live_audience import LiveAudience
from .live.progress_line import ProgressLines
from .live.prometheus import Snapshot
from .live.run_table import RunRow, RunView, run_rows
from .locust.messages import (
    CancelledRun,
    ClockRequest,
    MessageIds,
    PlannedRun,
    RoomIds,
    RunEnd,
    RunStart,
    SeparateFolder,
    SwarmMessage,
)  # fmt: skip
from .locust.parent_pipes import ProgressPipe
from .locust.testbed_process import TestbedProcess
from .net.http import TIMEOUT
from .plan import ProcessProgress, RunPlan
from .room_creator import RoomCreator
from .run_rooms import RunRooms

logger = logging.getLogger(__name__)

_LEAD = 0.3  # seconds from announcing T0 to T0, so that every process knows it, and has got ready, in time
_SHORT_LEAD = 0.05  # the same for at most `_FEW` users, who all are on this machine
_FEW = 200
_PATIENCE = 15.0  # seconds after the ramp; then the measured part begins without the users that are not ready
_POLL = 0.05  # seconds between two looks
_REPORT_EVERY = 0.5
_FINAL_READ = 60.0  # seconds that the final read may take
_JOIN_TIMEOUT = 10.0  # seconds that a process may take to read the plan and open its history
_VISIBLE_WITHIN = 2.0  # seconds until a file that another process made must be visible here


class Conductor:
    """Conducts one run. `send(message, client)` sends to one process; `stop` ends Locust's test.

    First `prepare`: until it returns without a problem, there is no load and nothing to judge. Then `begin`.
    """

    def __init__(
        self, plan: RunPlan, environment: Environment, processes: dict[str, str],
        send: Callable[[SwarmMessage, str], None], stop: Callable[[], None], spawning: float = 0.0,
        testbed: TestbedProcess | None = None,
    ) -> None:  # fmt: skip
        """`processes`: the names of the processes with users, by Locust's client id. `spawning`: the seconds that
        Locust takes to start all users. `testbed` has been set up for this run, and ends with it. Raises OSError if
        the run's folder cannot be written to.
        """
        self.plan = plan
        self.scenario = plan.scenario()
        self._environment = environment
        self._processes = processes
        self._send = send
        self._stop = stop
        self._testbed = testbed
        self._ramp = max(self.scenario.ramp, spawning)
        self._next_number = {"widget": 0, "dashboard": 0}
        self._progress: dict[str, ProcessProgress] = {}
        self._closed: dict[str, str | None] = {}
        self._joined: set[str] = set()
        self._unfit: dict[str, str] = {}
        self._left: set[str] = set()
        self._last_report: dict[str, float] = {}  # of each process, in monotonic seconds
        self._clocks = ClockSync(self._ask_clock)
        self._offsets: dict[str, ClockOffset] = {}
        self._heard = Event()  # of any progress
        self._all_closed = Event()
        self._finished = Event()
        self._warned = False
        self._phase = "connecting"
        self._phase_began = time.monotonic()
        self._pipe = ProgressPipe()
        self._lines = ProgressLines()
        self.over = False
        self._figures = self._new_figures() if plan.watched else None
        self._faults = ActiveFaults(self.scenario.faults, history_file(plan.path, NEMESIS))
        protocol = plan.chat_protocol()
        window = self.scenario.list_window or protocol.list_window
        self.manifest = Manifest(
            run=plan.run,
            scenario=plan.name,
            target=plan.base_url,
            protocol=plan.protocol,
            list_window=window,
            promises=protocol.promises,
            traceparent=plan.traceparent,
            version=installed_version(),
            seed=plan.seed,
            started=datetime.now(UTC).isoformat(timespec="milliseconds"),
            boot_id=boot_id(),
            processor=processor_name(),
            processes=[
                *sorted(processes.values()),
                *([NEMESIS] if self.scenario.faults else []),
                *([PROXY] if plan.via else []),
                *([TARGET] if testbed is not None and testbed.watches else []),
            ],
        )
        self.manifest.write(plan.path)
        if plan.protocol_text:
            (plan.path / PROTOCOL).write_text(plan.protocol_text, encoding="utf-8")
        (plan.path / "scenario.toml").write_text(self.scenario.toml(), encoding="utf-8")
        self._greenlets: list[gevent.Greenlet] = []
        self.room_ids: list[str] = []

    def prepare(self, version: str, wire: str) -> list[str]:
        """Sends every process the plan and this build, and waits until each has opened its history.

        Returns why the run cannot begin; empty if it can.
        """
        for client, process in self._processes.items():
            self._send(PlannedRun(version, wire, process, self.plan), client)
        names = set(self._processes.values())
        deadline = time.monotonic() + _JOIN_TIMEOUT
        while self._joined != names and not self._unfit and time.monotonic() < deadline:
            if not all(map(self._is_there, self._processes)):
                break
            gevent.sleep(_POLL)
        problems = list(self._unfit.values())
        for client, process in self._processes.items():
            if process not in self._joined | self._unfit.keys():
                why = f"nothing for {_JOIN_TIMEOUT:g} s" if self._is_there(client) else "its end"
                problems.append(f"the worker {process} ({client}): expected an answer to the plan, got {why}")
        if self._joined != names:
            return problems
        return self._create_rooms()

    def _create_rooms(self) -> list[str]:
        """Creates the scenario's rooms with their members, and says what they are called. Returns as `prepare` does."""
        rooms = RunRooms.planned(self.scenario, self.manifest.promises, self.plan.seed)
        if rooms is None:
            return []
        problems: list[str] = []
        if rooms.rooms.fixed is not None:
            self.room_ids = [room for room, _ in rooms.rooms.fixed]
        else:
            creator = RoomCreator(self.plan, self.scenario, rooms)
            problems, self.room_ids = creator.create(), creator.ids
        for client in self._processes if not problems else ():
            self._send(RoomIds(self.plan.run, self.room_ids), client)
        return problems

    def begin(self) -> None:
        """From now on there may be load."""
        self._greenlets = [gevent.spawn(self._conduct_or_stop), gevent.spawn(self._report)]

    def cancel(self) -> None:
        """The run does not begin: its processes forget it."""
        self.over = True
        for client in self._processes:
            self._send(CancelledRun(self.plan.run), client)

    @property
    def clients(self) -> set[str]:
        """Locust's client ids of the processes that take part."""
        return set(self._processes)

    def next_number(self, role: str) -> int:
        """The next number for a `widget` or `dashboard`. An operator added those beyond the scenario's."""
        number = self._next_number[role]
        self._next_number[role] += 1
        return number

    def progressed(self, process: str, progress: ProcessProgress) -> None:
        """A process reported its progress."""
        self._last_report[process] = time.monotonic()
        self._progress[process] = progress
        self._heard.set()
        if self._figures is not None:
            self._figures.progressed(self.total())

    def reported(self, process: str, increment: Increment) -> None:
        """A process reported what it saw since its last report. Message ids are passed on to the others."""
        if self._figures is None:
            return
        identified = self._figures.take(process, increment)
        for client, name in self._processes.items():
            if identified and name != process:
                self._send(MessageIds(self.plan.run, identified), client)

    def snapshot(self) -> Snapshot:
        """The run as a scrape sees it now."""
        manifest = self.manifest
        phase = "idle" if self._phase == "closed" else self._phase
        # Nobody writes down what becomes of the faults of a testbed that is gone.
        faults = self._faults.active() if manifest.void is None else None
        if manifest.start is None:
            return Snapshot(phase, figures=self._figures, faults=faults)
        until = math.inf
        if manifest.end is not None and manifest.cut_short:
            until = manifest.end - manifest.start
        return Snapshot(phase, time.monotonic() - manifest.start, until, self._figures, faults)

    def rows(self) -> list[RunRow]:
        """The run as people see it now, on Locust's page."""
        manifest, total = self.manifest, self.total()
        return run_rows(
            RunView(
                scenario=self.scenario,
                target=self.plan.base_url,
                folder=self.plan.folder,
                phase=self._phase,
                now=time.monotonic(),
                start=manifest.start,
                dashboards=total.subscribed,
                widgets=total.widgets,
                faults=self._faults.records(),
                cut_short=manifest.cut_short,
                void=manifest.void,
            )
        )

    def _new_figures(self) -> CombinedFigures:
        plan, scenario = self.plan, self.scenario
        schedule = [
            intended_times(plan.seed, widget, scenario.widgets, scenario.rates, scenario.arrivals)
            for widget in range(scenario.widgets)
        ]
        audience = LiveAudience(scenario, plan.chat_protocol().promises, seed=plan.seed)
        return CombinedFigures(scenario, schedule, plan.run, plan.base_url, audience)

    def closed(self, process: str, failure: str | None) -> None:
        """A process has closed its history; `failure` is why it is incomplete."""
        self._closed[process] = failure
        if self._closed.keys() >= set(self._processes.values()):
            self._all_closed.set()

    def joined(self, client: str, process: str, boot: str, *, shared: bool) -> None:
        """A process has opened its history; `shared`: in the run's folder. `boot` tells whether its clock is ours."""
        if boot != self.manifest.boot_id:
            self._clocks.add(process, client)
        if shared and not self._can_read(history_file(self.plan.path, process)):
            # The same names but other files: a copy of the folder, or an overlay of it.
            self._send(SeparateFolder(self.plan.run), client)
        self._joined.add(process)

    def _can_read(self, path: Path) -> bool:
        """Some network file systems show a new file only after a moment."""
        deadline = time.monotonic() + _VISIBLE_WITHIN
        while not os.access(path, os.R_OK):
            if time.monotonic() > deadline:
                return False
            gevent.sleep(_POLL)
        return True

    def cannot_join(self, client: str, process: str, reason: str) -> None:
        """A process cannot take part, or no longer."""
        text = f"the worker {process} ({client}): {reason}"
        if self._greenlets:
            self.trouble(text)
            self._stop()
        else:
            self._unfit[process] = text

    def protocol_is_wrong(self, reason: str) -> None:
        """The protocol's file does not fit the target: nothing that follows would be worth anything."""
        if self.manifest.wrong_protocol is None:
            logger.error(reason)
            self.manifest.wrong_protocol = reason
            if not self.over:
                self._stop()

    def testbed_died(self, reason: str) -> None:
        """Nothing makes or heals the faults any more, and proxies and the reference chat are gone with it."""
        logger.error(reason)
        self.manifest.void = reason
        if not self.over:
            self._stop()

    def leaving(self, process: str) -> None:
        """A process was ended in the middle of the run. What it observed so far will still come."""
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
        """A process reported what its clock showed."""
        self._clocks.answered(process, sent, there)

    def _ask_clock(self, client: str, sent: float) -> None:
        self._send(ClockRequest(self.plan.run, sent), client)

    def _measure_clocks(self) -> dict[str, ClockOffset]:
        """How far the clocks of processes on other machines are from ours, now."""
        offsets = self._clocks.measure(gone=self._left)
        for process, offset in offsets.items():
            if offset is None:
                self.trouble(f"the process {process} of the swarm did not say what its clock shows")
        return {process: offset for process, offset in offsets.items() if offset is not None}

    def _announce(self, message: type[RunStart] | type[RunEnd], moment: float) -> None:
        """Sends every process a moment, each by its own clock."""
        for client, process in self._processes.items():
            offset = self._offsets.get(process, ClockOffset(0.0, 0.0))
            self._send(message(self.plan.run, moment + offset.seconds), client)

    def received(self, process: str, data: bytes) -> None:
        """The next part of the history of a process that has no access to the run's folder."""
        path = history_file(self.plan.path, process)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(data)
        except OSError as error:
            self._trouble_once(f"the history of the process {process} of the swarm could not be written here: {error}")

    def trouble(self, text: str) -> None:
        """Something went wrong with the rig: it goes into the verdict."""
        logger.error(text)
        self.manifest.troubles.append(text)

    def _trouble_once(self, text: str) -> None:
        if text not in self.manifest.troubles:
            self.trouble(text)

    def _write_manifest(self) -> None:
        """A failed write must not keep the run from ending. The judge sees what is missing."""
        try:
            self.manifest.write(self.plan.path)
        except OSError as error:
            self._trouble_once(f"the run's manifest could not be written: {error}")

    def finish(self) -> None:
        """Ends the run, and blocks until every process that is left has closed its history; any number of callers."""
        if not self.over:
            self.over = True
            try:
                self._finish()
            finally:
                self._finished.set()
        self._finished.wait()

    def interrupt(self) -> None:
        """Ctrl-C during the drain gives up the last observations. If the run ended by itself, it takes a second one."""
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
        if self._testbed is not None:
            self._testbed.heal()
        start, duration = self.manifest.start, self.scenario.duration
        if start is None:
            self.manifest.cut_short = "ended before the measured part began"
            end = now
        else:
            end = min(now, start + duration)
            if end < start + duration - _POLL:
                self.manifest.cut_short = f"ended after {max(0.0, end - start):.1f} s of {duration:g} s"
        self.manifest.end = end
        self._write_manifest()
        self._set_phase("draining")
        after = self._measure_clocks()
        self.manifest.clocks = {
            process: Clock(*both(offset, after.get(process, offset))) for process, offset in self._offsets.items()
        }
        self._announce(RunEnd, end)
        self._await_closed(end + self.scenario.drain + 2 * TIMEOUT + _FINAL_READ)
        if self._testbed is not None:
            trouble = self._testbed.end()
            self.manifest.void = self.manifest.void or trouble
        self._set_phase("closed")
        gevent.killall(self._greenlets)
        self._write_progress()
        self.manifest.ended = not self._report_incomplete()
        self._write_manifest()

    def _report_incomplete(self) -> list[str]:
        """Reports every history that is incomplete. Returns the processes that did not close theirs."""
        missing = sorted(set(self._processes.values()) - self._closed.keys())
        for process in missing:
            heard = self._last_report.get(process)
            last = "never heard of" if heard is None else f"last heard of {self._when(heard)}"
            self.trouble(f"the process {process} of the swarm did not close its history: it died or hangs ({last})")
        for process, failure in sorted(self._closed.items()):
            if failure is not None:
                self.trouble(f"the process {process} of the swarm could not write its history: {failure}")
        return missing

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
        """Whatever goes wrong here, the run ends and says why."""
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
            self._heard.wait(_POLL)
            self._heard.clear()
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
            self._report_unstarted()
        self._offsets = self._measure_clocks()
        few = dashboards + widgets <= _FEW and not self._offsets
        start = time.monotonic() + (_SHORT_LEAD if few else _LEAD)
        self.manifest.start = start
        self.manifest.write(self.plan.path)
        if self._testbed is not None:
            self._testbed.begin(self.plan.run, start, self.room_ids)
        self._announce(RunStart, start)
        self._set_phase("measuring")
        gevent.sleep(start + self.scenario.duration - time.monotonic())
        self._stop()

    def _report_unstarted(self) -> None:
        """The target is not to blame for users that Locust has not started."""
        for role, wanted in (("dashboard", self.scenario.dashboards), ("widget", self.scenario.widgets)):
            if (started := self._next_number[role]) < wanted:
                self.trouble(f"Locust had started {started} of {wanted} {role}s when the measured part began")

    def total(self) -> ProcessProgress:
        """The figures of all processes together, as last reported."""
        total = ProcessProgress()
        for progress in self._progress.values():
            total.add(progress)
        return total

    def _set_phase(self, phase: str) -> None:
        self._phase, self._phase_began = phase, time.monotonic()
        logger.info("chatswarm: %s", phase)
        self._write_progress()

    def _report(self) -> None:
        while True:
            gevent.sleep(_REPORT_EVERY)
            self._write_progress()

    def _write_progress(self) -> None:
        """Writes a progress line for whoever started this swarm."""
        lengths = {
            "connecting": self.scenario.ramp,
            "measuring": self.scenario.duration,
            "draining": self.scenario.drain,
        }
        length = lengths.get(self._phase, 0.0)
        line = self._lines.next(self._phase, self._phase_began, length, self.scenario.dashboards, self.total())
        self._pipe.write(line)
