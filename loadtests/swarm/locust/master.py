"""Locust's master, or the only process: checks the options, starts and stops runs, has them judged, and exits.

Locust starts a test by itself, and only logs what its listeners raise. So nothing that may fail is left to them:
`start` prepares the whole run, from the options to an open history in every process, before Locust starts it.
"""

import logging
import os
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import psutil
from gevent.event import Event
from locust import User
from locust.env import Environment
from locust.rpc import Message
from locust.runners import STATE_INIT, STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerNode

from chatswarm.loadtests.history.folders import give_back
from chatswarm.loadtests.history.manifest import boot_id
from chatswarm.loadtests.messages.identity import new_run
from chatswarm.loadtests.protocols.catalogue import find_protocol, is_shipped
from chatswarm.loadtests.protocols.protocol import DEFAULT
from chatswarm.loadtests.protocols.secrets import token_of
from chatswarm.loadtests.scenario.scenario import ScenarioError, load
from chatswarm.loadtests.swarm.conductor import Conductor
from chatswarm.loadtests.swarm.live.prometheus import Snapshot, exposition
from chatswarm.loadtests.swarm.live.scrapes import Scrapes, join_page
from chatswarm.loadtests.swarm.plan import RunPlan
from chatswarm.loadtests.swarm.users import DashboardUser, WidgetUser
from chatswarm.loadtests.system.children import python
from chatswarm.loadtests.system.exit_code import ExitCode
from chatswarm.loadtests.system.open_files import needed_files, raise_open_files
from chatswarm.loadtests.system.progress import SwarmNote, SwarmRefusal
from chatswarm.loadtests.testbed.messages import SetUpTestbed

from .compatibility import SILENT, THIS_BUILD, WorkerInfo, mismatch, worker_info
from .dispatcher import SteadyDispatcher, client_processes
from .incoming import IncomingMessages
from .messages import Hello, HelloRequest, SwarmMessage, Welcome, bus_name, encode
from .options import FIXED, RefusedOptionsError, RunOptions, claim, locust_problems, read, said_of_shipped
from .page import guard_page, show_run, suggest_scenarios
from .parent_pipes import ProgressPipe, driven
from .testbed_process import TestbedProcess, problems_with_testbed, proxy_address

logger = logging.getLogger(__name__)

_NO_WORKER = "expected at least one worker that is connected, got none"
_LOOK_EVERY = 0.05  # seconds between two looks at the runner's state
_CONNECTING = 2.0  # seconds in which workers usually connect
_HELLO_TIMEOUT = 5.0  # seconds that a worker which has just connected may take to say hello


class Master:
    """Listens to Locust and to the processes with users, and has one conductor per run."""

    def __init__(self, environment: Environment, testbed: TestbedProcess | None) -> None:
        """`testbed`: one that is being set up already, for the first run."""
        self.environment = environment
        self.options: Any = environment.parsed_options
        runner: Any = environment.runner
        self.runner = runner
        self.conductor: Conductor | None = None
        self._last: Conductor | None = None  # of the last run, even if it is over
        self._scrapes: Scrapes | None = None
        self._known_workers: dict[str, WorkerInfo] = {}  # by Locust's client id
        self._overrides: dict[str, object] = {}
        self._preparing = False
        self._refusals: list[str] = []  # of the last start
        self._start_over = Event()  # it is a run, or refused
        self._idle = Event()  # no run is to be finished or judged
        self._idle.set()
        self._waiting = True  # for workers, until the first start
        self._locust_start: Callable[..., None] = runner.start
        self._parent = ProgressPipe()
        self._fixed = {name: getattr(self.options, name) for name in FIXED}
        self._given_protocol: str = getattr(self.options, "protocol", DEFAULT)
        self._early_testbed = testbed
        self._testbed: TestbedProcess | None = None  # of the last run

    def register(self) -> None:
        """From here on this process conducts runs. Exits if the options allow none."""
        incoming = IncomingMessages(lambda: self.conductor, self._send)
        for name, listener in {bus_name(Hello): self._on_hello, **incoming.listeners()}.items():
            self.runner.register_message(name, self._safe(listener))
        self._apply_options()
        events = self.environment.events
        events.test_stopping.add_listener(self._safe(self._on_test_stopping))
        events.test_stop.add_listener(self._safe(self._on_test_stop))
        # Registered after the runner's own listener and fired in reverse, so that this one comes first.
        events.quitting.add_listener(self._safe(self._on_quitting))
        events.worker_connect.add_listener(self._safe(self._on_worker_connect))
        self.environment.dispatcher_class = self._make_dispatcher  # type: ignore[assignment]
        self.runner.start = self.start
        if self.environment.web_ui is not None:
            guard_page(self.environment.web_ui, self.options, self._problems_on_page, self._start_refused)
            show_run(self.environment.web_ui, lambda: [] if self._last is None else self._last.rows())
            suggest_scenarios(self.environment.web_ui, said_of_shipped())
        if self.options.headless and isinstance(self.runner, MasterRunner):
            self._await_workers()

    def _await_workers(self) -> None:
        """Returns as soon as the expected workers are there, or take long. Locust itself looks only once a second."""
        with gevent.Timeout(_CONNECTING, False):
            while len(self.runner.clients.ready) < self.options.expect_workers:
                gevent.sleep(_LOOK_EVERY)

    # Before a run.

    def _apply_options(self) -> None:
        """Locust's `-u`, `-r`, `-t` and `--host` override the scenario. Exits if the options allow no run."""
        options = self.options
        problems = self._problems_with_locust()
        if options.run_time and (options.headless or options.autostart):
            # Locust counts from the first user; here the measured part is that long, from T0, when all users are ready.
            self._overrides["duration"], options.run_time = float(options.run_time), None
        try:
            plan = load(options.scenario, self._overrides)
            options.num_users = options.num_users or plan.dashboards + plan.widgets
            options.spawn_rate = options.spawn_rate or max(1.0, options.num_users / max(plan.ramp, 1.0))
        except ScenarioError as error:
            problems += error.problems
        except ValueError as error:
            problems.append(f"--scenario: expected a name or a file, got {options.scenario!r} ({error})")
        if not problems and options.headless:
            problems += self._problems_with(options, self.environment.host, options.num_users, options.spawn_rate)
        problems += self._serve_metrics()
        if problems:
            self._print(problems)
            gevent.sleep(0.5 if isinstance(self.runner, MasterRunner) else 0)  # for workers that connect right now
            self.runner.quit()
            self._end_children()
            sys.exit(ExitCode.USAGE)
        if options.headless and getattr(options, "expect_workers_max_wait", 0):
            # Locust would exit with 1, which means that the target failed.
            gevent.spawn_later(options.expect_workers_max_wait, self._on_workers_timeout)
            options.expect_workers_max_wait = 0

    def _problems_with_locust(self) -> list[str]:
        """What in Locust's own settings rules out any scenario."""
        shape, picked = self.environment.shape_class, self.options.class_picker and not self.options.headless
        return locust_problems(None if picked else shape, [kind.__name__ for kind in self.environment.user_classes])

    def _problems_with(self, options: Namespace, host: str | None, users: int | None, spawn_rate: float) -> list[str]:
        """Why no run can begin with these options; empty if one can. Leaves no folder behind."""
        try:
            asked = self._read(options, host, users, spawn_rate)
            _, made = claim(asked, given=driven())
        except RefusedOptionsError as error:
            return error.problems
        give_back(made)
        # `chatswarm run` starts a run at once, and then hears the same.
        return problems_with_testbed(self._order(asked, "")) if asked.needs_testbed and not driven() else []

    def _problems_on_page(
        self, options: Namespace, host: str | None, users: int, spawn_rate: float, kinds: list[str] | None
    ) -> list[str]:
        """The same for the web page, and why a current run cannot be edited like this."""
        if self._running():
            fine = users >= 0 and spawn_rate > 0
            return [] if fine else [f"expected a number of users and users per second, got {users} and {spawn_rate:g}"]
        if why := self._why_busy():
            return [why]
        if isinstance(self.runner, MasterRunner) and not self._workers():
            return [_NO_WORKER]
        problems = locust_problems(None, kinds) if self.options.class_picker and kinds else []
        problems = problems or self._problems_with(options, host, users, spawn_rate)
        if not problems:
            self._refusals = []
            self._start_over.clear()
        return problems

    def _start_refused(self) -> list[str]:
        """Waits until the start that Locust has accepted is a run, or refused. Returns why it is refused."""
        while self.runner.state not in (STATE_RUNNING, STATE_SPAWNING) and not self._start_over.wait(_LOOK_EVERY):
            pass
        return self._refusals

    def _running(self) -> bool:
        return self.conductor is not None and not self.conductor.over and not self._preparing

    def _why_busy(self) -> str | None:
        """Why no run can begin right now; None if one can."""
        if self._preparing:
            return "expected one start at a time, got another while a run is being prepared"
        if self.conductor is not None and self.conductor.over:
            return "expected a start after the end of the last run, got one while its last messages are on their way"
        return None

    def _read(self, options: Namespace, host: str | None, users: int | None, spawn_rate: float) -> RunOptions:
        """The run that is asked for. Raises RefusedOptionsError if this process or a worker cannot take part."""
        if problems := self._problems_with_locust():
            raise RefusedOptionsError(problems)
        options = Namespace(**{**vars(options), **self._fixed})
        if options.protocol != self._given_protocol and not is_shipped(options.protocol):
            # It may name code to run, or any file of this host.
            raise RefusedOptionsError(
                [f"--protocol: expected a shipped protocol or that of the command line, got {options.protocol!r}"]
            )
        asked = read(options, host, users, spawn_rate, self._overrides, driven=driven())
        dashboards, widgets = asked.scenario.dashboards, asked.scenario.widgets
        if not isinstance(self.runner, MasterRunner):
            if problem := raise_open_files(needed_files(dashboards, widgets)):
                raise RefusedOptionsError([problem])
        elif problems := self._unfit_workers(needed_files(dashboards, widgets, max(1, len(self._workers())))):
            raise RefusedOptionsError(problems)
        return asked

    def _workers(self) -> list[str]:
        """Locust's client ids of the workers that wait for a run or have users."""
        clients = self.runner.clients
        return [worker.id for worker in (*clients.ready, *clients.spawning, *clients.running)]

    def _unfit_workers(self, needed: int) -> list[str]:
        """Why workers that said hello cannot take part."""
        known = [client for client in self._workers() if client in self._known_workers]
        # A master has no dashboards, so it needs no token; either all workers need one, or none does.
        token = token_of(os.environ) is not None or any(self._known_workers[client].token for client in known)
        found = [self._known_workers[client].unfit_for(client, needed, token=token) for client in known]
        return [problem for problem in found if problem is not None]

    def _serve_metrics(self) -> list[str]:
        """Serves metrics from now until the process exits. Returns why that is impossible; empty if it is not."""
        host, port = self.options.metrics_host, self.options.metrics_port
        if self.environment.web_ui is not None:
            join_page(self.environment.web_ui, self._exposition)
        if port is None:
            return []
        try:
            self._scrapes = Scrapes(host, port, self._exposition)
        except (OSError, OverflowError) as error:
            return [f"--metrics-port: expected a free port of {host}, got {port}: {error}"]
        logger.info("chatswarm: metrics at %s", self._scrapes.url)
        return []

    def _exposition(self) -> bytes:
        return exposition(Snapshot() if self._last is None else self._last.snapshot())

    # A run.

    def start(self, user_count: int, spawn_rate: float, wait: bool = False, user_classes: Any = None) -> None:  # noqa: ANN401
        """Replaces the runner's `start`: a run begins with all its processes or not at all."""
        self._waiting = False
        if self._running():
            if self.runner.state == STATE_RUNNING and user_count == self.runner.target_user_count:
                return  # Locust wants to rebalance users over its workers
            self._locust_start(user_count, spawn_rate, wait=wait, user_classes=user_classes)
            return
        if self.conductor is not None and self.runner.state in (STATE_RUNNING, STATE_SPAWNING):
            return  # the same, while the run ends
        try:
            if why := self._why_busy():
                raise RefusedOptionsError([why])
            self._prepare(user_count, spawn_rate)
        except RefusedOptionsError as error:
            self._refuse(error.problems)
        except Exception as error:
            logger.exception("chatswarm: no run")
            self._refuse([f"chatswarm could not begin a run: {type(error).__name__}: {error}"], ExitCode.INTERNAL)
        else:
            self._locust_start(user_count, spawn_rate, wait=wait, user_classes=user_classes)
        finally:
            self._start_over.set()

    def _prepare(self, users: int, spawn_rate: float) -> None:
        """Prepares and begins a run. Raises RefusedOptionsError, and then leaves nothing behind."""
        self._preparing, begun = True, False
        made: list[Path] = []
        testbed: TestbedProcess | None = None
        try:
            self._await_hellos()
            asked = self._read(self.options, self.environment.host, users, spawn_rate)
            folder, made = claim(asked, given=driven())
            base_url, via = asked.testbed.base_url or "", {}
            if asked.needs_testbed:
                testbed = self._testbed = self._testbed_for(self._order(asked, str(folder.resolve())))
                ready = testbed.ready(self._note, self._on_testbed_death)
                base_url, via = ready.base_url, ready.via
            self.conductor = conductor = self._make_conductor(asked, folder, users / spawn_rate, base_url, via, testbed)
            if isinstance(self.runner, MasterRunner) and not conductor.clients:
                raise RefusedOptionsError([_NO_WORKER])
            if problems := conductor.prepare(*THIS_BUILD):
                raise RefusedOptionsError(problems)
            # Locust spawns exactly this many of each.
            DashboardUser.fixed_count, WidgetUser.fixed_count = asked.scenario.dashboards, asked.scenario.widgets
            self._idle.clear()
            conductor.begin()
            self._last, begun = conductor, True
            plan = conductor.plan
            logger.info("chatswarm: %s against %s, run %s, in %s", plan.name, plan.base_url, plan.run, plan.folder)
        except OSError as error:
            raise RefusedOptionsError([f"--out: expected a folder that can be written to, got {error}"]) from None
        finally:
            self._preparing = False
            if not begun:
                if self.conductor is not None:
                    self.conductor.cancel()
                    self.conductor = None
                if testbed is not None:
                    testbed.kill()
                give_back(made)

    def _order(self, asked: RunOptions, folder: str) -> SetUpTestbed:
        bound = getattr(self.options, "master_bind_host", "*")
        return asked.order(folder, proxy_address(self._master_hosts(), bound, asked.proxy_host))

    def _testbed_for(self, order: SetUpTestbed) -> TestbedProcess:
        """The one that is being set up already, if that is what it sets up; otherwise a new one."""
        early, self._early_testbed = self._early_testbed, None
        if early is not None and early.order == order:
            return early
        if early is not None:
            early.kill()
        return TestbedProcess(order)

    def _master_hosts(self) -> set[str]:
        """The names by which workers reach this host."""
        if not isinstance(self.runner, MasterRunner):
            return set()
        return {info.master_host for client in self._workers() if (info := self._known_workers.get(client))}

    def _on_testbed_death(self, reason: str) -> None:
        if self.conductor is not None:
            self.conductor.testbed_died(reason)

    def _note(self, text: str) -> None:
        """Says what happens, also to the parent process."""
        logger.info("chatswarm: %s", text)
        self._parent.write(SwarmNote(text))

    def _make_conductor(
        self, asked: RunOptions, folder: Path, spawning: float, base_url: str, via: dict[str, str],
        testbed: TestbedProcess | None,
    ) -> Conductor:  # fmt: skip
        processes, protocol = client_processes(self.environment), find_protocol(asked.testbed.protocol)
        plan = RunPlan(
            run=new_run(), seed=asked.seed, folder=str(folder.resolve()), base_url=base_url,
            protocol=asked.testbed.protocol, protocol_text=protocol.text, name=asked.scenario.name,
            table=dict(asked.scenario.table),
            boot_id=boot_id(), via=via,
            watched=self._scrapes is not None or self.environment.web_ui is not None,
            processes=len(processes), origin=asked.testbed.origin, users_file=asked.testbed.users_file,
            traceparent=asked.testbed.traceparent,
        )  # fmt: skip
        if asked.proxy_host:
            plan = plan.reached_by(asked.proxy_host)
        return Conductor(plan, self.environment, processes, self._send, self._stop, spawning, testbed)

    def _await_hellos(self) -> None:
        """Waits until workers that have just connected say hello.

        Raises RefusedOptionsError if there is no worker, or one that does not fit, even if it has left at once.
        """
        if not isinstance(self.runner, MasterRunner):
            return
        asked = self._workers()
        if not asked:
            raise RefusedOptionsError([_NO_WORKER])
        for client in set(asked) - self._known_workers.keys():
            # It connected and said hello before anything here listened.
            self._send(HelloRequest(), client)
        with gevent.Timeout(_HELLO_TIMEOUT, False):
            while not set(self._workers()) <= self._known_workers.keys():
                gevent.sleep(0.05)
        for client in self._workers():
            self._known_workers.setdefault(client, SILENT)
        builds = {client: self._known_workers[client].build for client in asked if client in self._known_workers}
        if unfit := [why for client, build in builds.items() if (why := mismatch(f"the worker {client}", build))]:
            raise RefusedOptionsError(unfit)

    def _make_dispatcher(self, worker_nodes: list[WorkerNode], user_classes: list[type[User]]) -> SteadyDispatcher:
        """For the workers that know the run's plan: another may have connected while the run was prepared."""
        known = set() if self.conductor is None else self.conductor.clients
        nodes = [node for node in worker_nodes if node.id in known or not isinstance(self.runner, MasterRunner)]
        return SteadyDispatcher(nodes, user_classes)

    def _refuse(self, problems: list[str], code: ExitCode = ExitCode.USAGE) -> None:
        """Says why there is no run. Ends this process and its workers if nobody is there to try again."""
        self._refusals = problems
        if not self._unattended():
            for problem in problems:
                logger.error(problem)
            return
        self._print(problems)
        self.environment.process_exit_code = code
        gevent.spawn(self._give_up)

    def _print(self, problems: list[str]) -> None:
        for problem in problems:
            print(problem, file=sys.stderr)
        self._parent.write(SwarmRefusal(problems))

    def _unattended(self) -> bool:
        return bool(self.options.headless or self.options.autoquit >= 0)

    def _quit(self) -> None:
        """Ends Locust. Call it in a new greenlet, because the runner kills its own."""
        self.runner.quit()
        if self.environment.web_ui is not None:
            self.environment.web_ui.stop()

    def _give_up(self) -> None:
        """Ends Locust without a run, and its workers, even those that are not connected yet."""
        self._quit()
        self._end_children()
        if self._waiting:
            # Locust's main greenlet waits for workers, and checks nothing else.
            raise SystemExit(self.environment.process_exit_code)

    def _end_children(self) -> None:
        """Ends the workers that this process started (`--processes`): they would wait for a master that is gone."""
        if self.options.processes and isinstance(self.runner, MasterRunner):
            for child in psutil.Process().children():
                child.terminate()

    def _on_workers_timeout(self) -> None:
        if self._waiting:
            wanted, got = self.options.expect_workers, len(self._workers())
            self._refuse([f"--expect-workers: expected {wanted} workers in time, got {got}"])

    # Locust's events.

    def _on_worker_connect(self, client_id: str, **_: object) -> None:
        conductor = self.conductor
        if conductor is not None and not conductor.over and client_id not in client_processes(self.environment):
            logger.warning("chatswarm: the worker %s joined in the middle of a run: it waits for the next", client_id)

    def _on_test_stopping(self, **_: object) -> None:
        if (conductor := self.conductor) is not None:
            # From here on Ctrl-C would end this process during the drain or the judging.
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, lambda *_: gevent.spawn(conductor.interrupt))
            conductor.finish()

    def _on_test_stop(self, **_: object) -> None:
        # First, because the next run may begin from the web page while this one is judged.
        conductor, self.conductor = self.conductor, None
        if conductor is None:
            return
        try:
            if conductor.manifest.wrong_protocol is not None:
                self._print([conductor.manifest.wrong_protocol])
                self.environment.process_exit_code = ExitCode.USAGE
            elif conductor.manifest.void is not None:
                self._print([f"internal error: {conductor.manifest.void}"])
                self.environment.process_exit_code = ExitCode.INTERNAL
            elif not driven():
                self._judge(conductor.plan.folder)
        finally:
            self._idle.set()
            if not self._unattended() and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def _judge(self, folder: str) -> None:
        # In its own session, so that a signal to this process does not keep the verdict from being written.
        command = python("chatswarm.loadtests.entry", "judge", "--report", folder)
        code = subprocess.run(command, check=False, start_new_session=True).returncode
        # Usage (2) is for what comes before any load: here it means that there can be no verdict.
        usable = code >= 0 and code != ExitCode.USAGE
        self.environment.process_exit_code = code if usable else ExitCode.INTERNAL

    def _on_quitting(self, **_: object) -> None:
        """Whatever ends this process, and whenever, a run that has begun is finished and judged first."""
        self.runner.stop()
        if not self._idle.is_set():
            self._on_test_stopping()
            self._on_test_stop()
            self._idle.wait()
        if self._testbed is not None:
            self._testbed.kill()  # it may just be set up
        if self.environment.process_exit_code is None and self._unattended() and not driven():
            self.environment.process_exit_code = ExitCode.UNDECIDED

    def _stop(self) -> None:
        """Ends the measured part, in a new greenlet, because the conductor's ends with it."""
        gevent.spawn(self._stop_and_quit if self._unattended() else self.runner.stop)

    def _stop_and_quit(self) -> None:
        if not self.options.headless:
            self.runner.stop()
            gevent.sleep(self.options.autoquit)
        self._quit()

    # Messages from processes.

    def _on_hello(self, msg: Message, **_: object) -> None:
        self._send(Welcome(*THIS_BUILD), msg.node_id)
        info = self._known_workers[msg.node_id] = worker_info(msg.data)
        if problem := mismatch(f"the worker {msg.node_id}", info.build):
            if self._waiting:
                self._refuse([problem])
            else:
                logger.error(problem)

    def _send(self, message: SwarmMessage, client: str) -> None:
        self.runner.send_message(bus_name(type(message)), encode(message), client)

    def _safe(self, listener: Callable[..., None]) -> Callable[..., None]:
        """Locust only logs what a listener raises, and goes on to a run that nobody ends or judges."""

        def call(*args: object, **kwargs: object) -> None:
            try:
                listener(*args, **kwargs)
            except Exception as error:
                logger.exception("chatswarm: %s failed", listener.__name__)
                self.environment.process_exit_code = ExitCode.INTERNAL
                conductor = self.conductor
                if conductor is not None:
                    conductor.trouble(f"chatswarm failed: {type(error).__name__}: {error}")
                if conductor is not None and not conductor.over:
                    self._stop()
                elif self._unattended() and self.runner.state in (STATE_INIT, STATE_SPAWNING):
                    gevent.spawn(self._give_up)

        return call
