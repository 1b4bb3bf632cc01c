"""A process with users: its part in each run, the messages it handles, and how it exits without losing a history.

A single process is a master and a worker at once: it has the same listeners, and sends its messages to itself.
"""

import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import gevent
import msgspec
from gevent.event import Event
from locust.env import Environment
from locust.rpc import Message
from locust.runners import WorkerRunner

from chatswarm.loadtests.history.manifest import boot_id, history_file, read_manifest
from chatswarm.loadtests.net.address import split_host_port
from chatswarm.loadtests.net.reachability import tcp_problem
from chatswarm.loadtests.protocols.secrets import TOKEN
from chatswarm.loadtests.swarm.node import Node, enter
from chatswarm.loadtests.swarm.plan import RunPlan
from chatswarm.loadtests.system.exit_code import ExitCode
from chatswarm.loadtests.system.open_files import needed_files, open_files, raise_open_files

from .compatibility import THIS_BUILD, build_in, mismatch
from .messages import (
    CancelledRun,
    CannotJoin,
    ClockReading,
    ClockRequest,
    ClosedHistory,
    GrantedNumber,
    Hello,
    HelloRequest,
    HistoryPart,
    HistoryReceived,
    JoinedRun,
    LeavingRun,
    MessageIds,
    NumberRequest,
    PlannedRun,
    ProgressReport,
    R,
    RoomIds,
    RunEnd,
    RunStart,
    SeparateFolder,
    SwarmMessage,
    Welcome,
    WrongProtocol,
    bus_name,
    decode,
    encode,
    run_of,
)  # fmt: skip
from .stats_rows import StatsRows

logger = logging.getLogger(__name__)

_PART = 1 << 18  # bytes of a history in one message
_PARENT_POLL = 0.5  # seconds between two looks at whether the parent is still there
_REPORT_EVERY = 0.25  # seconds between two progress reports to the conductor
_CONNECTING_EVERY = 0.02  # the same until T0, which waits for the report that all users are ready
_PATIENCE = 5.0  # seconds that a worker which is to exit waits for responses to its sends, and then for its master


class WorkerRun:
    """This process's part in one run, from its plan to the closed history."""

    def __init__(
        self, environment: Environment, plan: RunPlan, process: str, send: Callable[[SwarmMessage], None]
    ) -> None:
        """Opens the history. Raises OSError if there are too few open files, nowhere to write, or a fault proxy that
        cannot be reached.
        """
        scenario = plan.scenario()
        if problem := raise_open_files(needed_files(scenario.dashboards, scenario.widgets, plan.processes)):
            raise OSError(problem)
        for route, address in plan.via.items():
            if problem := tcp_problem(*split_host_port(address), _PATIENCE):
                raise OSError(
                    f"{problem}: the fault proxy for {route} ({address}) cannot be reached from here; --proxy-host of "
                    "the master names the address by which workers reach it"
                )
        self._send = send
        self._plan, self._process = plan, process
        self._own_folder: Path | None = None  # with the history, if the run's folder is not there or not writable
        self._sends_history = False
        self.draining = False
        self.drained = Event()
        self.received = Event()  # the conductor has everything that this process sent
        self.node = self._open_node(StatsRows(environment))

    def _open_node(self, rows: StatsRows) -> Node:
        """With its history in the run's folder, if that is the folder that the conductor made, and writable.

        Processes of one host need not have the same files: containers, pods, other users, read-only mounts.
        """
        if _is_folder_of(self._plan):
            try:
                return Node(self._plan, self._process, rows, self._request_number, self._report_wrong)
            except OSError as error:
                logger.info("chatswarm: no history can be written to the run's folder: %s", error)
        logger.info("chatswarm: the history is kept here, and sent over at the end of the run")
        self._own_folder, self._sends_history = Path(tempfile.mkdtemp(prefix="chatswarm-")), True
        plan = replace(self._plan, folder=str(self._own_folder))
        return Node(plan, self._process, rows, self._request_number, self._report_wrong)

    @property
    def active(self) -> bool:
        return not self.node.recorder.closed

    def join(self) -> None:
        """Tells the conductor that the history is open, and starts to report."""
        self._send(JoinedRun(self._plan.run, self._process, boot_id(), shared=not self._sends_history))
        gevent.spawn(self._report)

    def cancel(self, _: CancelledRun) -> None:
        """The run does not begin."""
        self.node.leave(0)
        self.remove_own_folder()

    def keep_apart(self, _: SeparateFolder) -> None:
        """The conductor cannot read what is written here, though the folder looks like its own."""
        self._sends_history = True

    def grant(self, message: GrantedNumber) -> None:
        self.node.grant(message.role, message.number)

    def name_rooms(self, message: RoomIds) -> None:
        self.node.name_rooms(message.ids)

    def read_clock(self, message: ClockRequest) -> None:
        self._send(ClockReading(self._plan.run, self._process, message.sent, time.monotonic()))

    def begin(self, message: RunStart) -> None:
        self.node.begin(message.start)

    def identify(self, message: MessageIds) -> None:
        if self.node.live is not None:
            self.node.live.identify(message.identified)

    def drain(self, end: float) -> None:
        """Drains, closes the history and hands it over. Raises nothing."""
        try:
            self._hand_over(self.node.finish(end))
        except Exception as error:
            logger.exception("chatswarm: the drain failed")
            self.node.recorder.close()
            self._send(ClosedHistory(self._plan.run, self._process, f"{type(error).__name__}: {error}"))
        finally:
            self.drained.set()

    def leave(self, stop_users: Callable[[], object]) -> None:
        """Hands the history over in the middle of the run: this process is to exit."""
        self._send(LeavingRun(self._plan.run, self._process))
        # Users first, so that the history says that they were taken away.
        stop_users()
        self._hand_over(self.node.leave(_PATIENCE))
        self.received.wait(_PATIENCE)

    def remove_own_folder(self) -> None:
        if self._own_folder is not None:
            shutil.rmtree(self._own_folder, ignore_errors=True)
            self._own_folder = None

    def _request_number(self, role: str) -> None:
        self._send(NumberRequest(self._plan.run, self._process, role))

    def _report_wrong(self, reason: str) -> None:
        self._send(WrongProtocol(self._plan.run, self._process, reason))

    def _report(self) -> None:
        with_increment = cycle((True, False))
        while self.active:
            try:
                self._send_progress(with_increment=next(with_increment))
            except Exception:
                logger.exception("chatswarm: a report could not be sent")
            gevent.sleep(_REPORT_EVERY if self.node.started.is_set() else _CONNECTING_EVERY)

    def _send_progress(self, *, with_increment: bool = True) -> None:
        """Increments are for scrapes, which are a second apart: every other report is enough."""
        live = self.node.live if self._plan.watched else None
        increment = live.take_increment() if live is not None and with_increment else None
        self._send(ProgressReport(self._plan.run, self._process, self.node.progress, increment))

    def _hand_over(self, failure: str | None) -> None:
        """Sends what the conductor still has to know of a run whose history is closed here."""
        self._send_progress()
        if self._sends_history:
            self._send_history()
        self._send(ClosedHistory(self._plan.run, self._process, failure))

    def _send_history(self) -> None:
        """Sends the closed file in parts, and then removes it."""
        with history_file(self.node.plan.path, self._process).open("rb") as file:
            while data := file.read(_PART):
                self._send(HistoryPart(self._plan.run, self._process, data))
                gevent.sleep(0)
        self.remove_own_folder()


class WorkerExit:
    """Decides when a worker exits, and lets no observation be lost by it."""

    def __init__(self, environment: Environment, current_run: Callable[[], WorkerRun | None]) -> None:
        self._environment = environment
        self._runner: Any = environment.runner
        self._current_run = current_run
        self._interrupted = False  # by Ctrl-C, in the current run
        self._orphaned = False  # its terminal is closed

    def register(self) -> None:
        # Registered after the runner's own listener and fired in reverse, so that this one comes first.
        self._environment.events.quitting.add_listener(self._on_quitting)
        gevent.signal_handler(signal.SIGINT, self._on_interrupt)
        on_hangup(self._on_terminal_closed)
        options = self._environment.parsed_options
        if options is not None and options.processes:
            gevent.spawn(self._end_with_parent, os.getppid())

    def _end_with_parent(self, parent: int) -> None:
        """A worker that its master has forked ends when that is killed. By itself, Locust notices after a minute."""
        while os.getppid() == parent:
            gevent.sleep(_PARENT_POLL)
        self._terminate()

    def give_up(self, problem: str) -> None:
        """Ends this worker: no run is possible here."""
        logger.error(problem)
        self._environment.process_exit_code = ExitCode.USAGE
        gevent.spawn(self._runner.quit)

    def on_drained(self, run: WorkerRun) -> None:
        self._interrupted = False
        if self._orphaned:
            run.received.wait(_PATIENCE)
            self._terminate()

    def _on_interrupt(self) -> None:
        """Ctrl-C reaches every process of the terminal. During a run the master acts on it: it knows how to end one."""
        if not self._in_run() or self._interrupted:
            self._terminate()
        else:
            self._interrupted = True
            logger.info("chatswarm: Ctrl-C is left to the master; once more ends this worker alone")

    def _on_terminal_closed(self) -> None:
        """As Ctrl-C, but nobody can press it a second time."""
        self._orphaned = True
        if not self._in_run():
            self._terminate()

    def _in_run(self) -> bool:
        run = self._current_run()
        return run is not None and run.active

    def _terminate(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def _on_quitting(self, **_: object) -> None:
        """Hands over what was observed, before Locust tells its master that this worker quits."""
        if self._environment.process_exit_code is None:
            # Failed requests are for the master to judge: they make no worker fail.
            self._environment.process_exit_code = ExitCode.PASS
        run = self._current_run()
        if run is None or (not run.active and run.drained.is_set()):
            return
        if run.draining:
            run.drained.wait(2 * run.node.scenario.drain + _PATIENCE)
        elif run.active:
            run.leave(lambda: self._runner.stop_users(self._runner.user_classes_count))
        run.remove_own_folder()


class Worker:
    """Handles the conductor's messages: compares builds, joins runs, and passes on what concerns the current run."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.runner: Any = environment.runner
        self.run: WorkerRun | None = None
        self._exit = WorkerExit(environment, lambda: self.run)
        # A single process is its own master.
        self._master_host: str = self.runner.master_host if isinstance(self.runner, WorkerRunner) else "127.0.0.1"

    def register(self) -> None:
        """From here on this process takes part in runs."""
        self._listen(HelloRequest, lambda _: self._say_hello())
        self._listen(Welcome, self._on_welcome)
        self._listen(PlannedRun, self._on_plan)
        self._listen_in_run(CancelledRun, WorkerRun.cancel)
        self._listen_in_run(SeparateFolder, WorkerRun.keep_apart)
        self._listen_in_run(GrantedNumber, WorkerRun.grant)
        self._listen_in_run(ClockRequest, WorkerRun.read_clock)
        self._listen_in_run(RoomIds, WorkerRun.name_rooms)
        self._listen_in_run(RunStart, WorkerRun.begin)
        self._listen_in_run(MessageIds, WorkerRun.identify)
        self._listen_in_run(RunEnd, self._on_end)
        self._listen(HistoryReceived, lambda _: self._on_received())
        if isinstance(self.runner, WorkerRunner):
            self._exit.register()
            self._say_hello()

    def _listen(self, kind: type[SwarmMessage], handle: Callable[[object], None]) -> None:
        """Hands over the data as it came: the sender's build may be another one."""

        def listener(msg: Message, **_: object) -> None:
            handle(msg.data)

        self.runner.register_message(bus_name(kind), listener)

    def _listen_in_run(self, kind: type[R], handle: Callable[[WorkerRun, R], None]) -> None:
        """Ignores messages about any other run than this process's last one."""

        def listener(msg: Message, **_: object) -> None:
            run = self.run
            if run is not None and run.node.plan.run == run_of(msg.data):
                handle(run, decode(kind, msg.data))

        self.runner.register_message(bus_name(kind), listener)

    def _send(self, message: SwarmMessage) -> None:
        self.runner.send_message(bus_name(type(message)), encode(message))

    def _say_hello(self) -> None:
        has_token = bool(os.environ.get(TOKEN, "").strip())
        self._send(Hello(*THIS_BUILD, open_files(), has_token, self._master_host))

    def _on_welcome(self, data: object) -> None:
        if problem := mismatch("the master", build_in(data)):
            self._exit.give_up(problem)

    def _on_plan(self, data: object) -> None:
        """Joins a run, or ends this process and says why."""
        if problem := mismatch("the master", build_in(data)):
            self._exit.give_up(problem)
            return
        message = decode(PlannedRun, data)
        try:
            self.run = run = WorkerRun(
                self.environment, message.plan.reached_by(self._master_host), message.process, self._send
            )
            enter(run.node)
            run.join()
        except Exception as error:
            logger.exception("chatswarm: no part in the run")
            reason = (
                f"it cannot take part: {type(error).__name__}: {error} (it runs chatswarm {THIS_BUILD}, as its master "
                "says)"
            )
            self._send(CannotJoin(message.plan.run, message.process, reason))
            if isinstance(self.runner, WorkerRunner):
                self._exit.give_up(reason)

    def _on_end(self, run: WorkerRun, message: RunEnd) -> None:
        """Drains in a separate greenlet, so that the process keeps reporting and Ctrl-C cannot end the drain."""
        if run.active:
            run.draining = True
            gevent.spawn(self._drain, run, message.end)

    def _drain(self, run: WorkerRun, end: float) -> None:
        try:
            run.drain(end)
        finally:
            self._exit.on_drained(run)

    def _on_received(self) -> None:
        if self.run is not None:
            self.run.received.set()


def on_hangup(act: Callable[[], None]) -> None:
    """Acts when the terminal closes, unless `nohup` keeps that from this process."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        gevent.signal_handler(signal.SIGHUP, act)


def _is_folder_of(plan: RunPlan) -> bool:
    """Whether the plan's folder, as this process sees it, is that of its run."""
    try:
        return bool(read_manifest(plan.path).run == plan.run)
    except (OSError, ValueError, msgspec.MsgspecError):
        return False
