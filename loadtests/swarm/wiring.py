"""Joins a run to Locust: its command line, its start and stop, and the messages between its processes.

The same listeners serve a single process, a master and a worker: a single process sends its messages to itself.
"""

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
import gevent.socket
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.event import Events
from locust.rpc import Message
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from chatswarm.loadtests import scenario
from chatswarm.loadtests.children import PROGRESS
from chatswarm.loadtests.history.manifest import boot_id, history_file
from chatswarm.loadtests.identity import new_run
from chatswarm.loadtests.runs import claim_folder, claim_next
from chatswarm.loadtests.targets import DEFAULT, TARGETS, target_of
from chatswarm.loadtests.verdict import ExitCode

from .conductor import Conductor, processes_of, shares
from .node import Node, enter
from .plan import Plan, Progress
from .prometheus import Scene, exposition
from .report import Report
from .rows import Rows
from .scrapes import Scrapes, join_page
from .users import DashboardUser, WidgetUser

logger = logging.getLogger(__name__)

_PIECE = 1 << 18  # bytes of a history in one message
_REPORT_EVERY = 0.25  # seconds between two reports of a process to the conductor


def wire(events: Events) -> None:
    """Registers everything with Locust. To be called once, by the locustfile."""
    events.init_command_line_parser.add_listener(_add_arguments)
    events.init.add_listener(_on_init)


def _add_arguments(parser: LocustArgumentParser) -> None:
    group = parser.add_argument_group("chatswarm")
    group.add_argument(
        "--scenario", default="steady", help="a shipped scenario's name or a TOML file (default: steady)"
    )
    group.add_argument("--adapter", default=DEFAULT, choices=sorted(TARGETS), help="the kind of chat under test")
    group.add_argument("--seed", type=int, default=1, help="the same seed gives the same schedule")
    group.add_argument("--via", default="", help="for chatswarm run: sockets=HOST:PORT,… of the fault proxies")
    group.add_argument("--out", default="", help="the run's folder (default: runs/<time>-<scenario>)")
    port = group.add_argument(
        "--metrics-port", type=int, env_var="CHATSWARM_METRICS_PORT", metavar="PORT",
        help="serve live figures for Prometheus at /metrics of this port (0: a free one; default: not at all)",
    )  # fmt: skip
    host = group.add_argument(
        "--metrics-host", default="127.0.0.1", env_var="CHATSWARM_METRICS_HOST", metavar="HOST",
        help="the address of that port (default: 127.0.0.1, this machine only)",
    )  # fmt: skip
    for fixed in (port, host):
        fixed.include_in_web_ui = False  # its form is for what may differ from run to run


def _on_init(environment: Environment, runner: Any, **_: object) -> None:  # noqa: ANN401
    link = _Link(environment)
    _die_with_parent()
    if isinstance(runner, (LocalRunner, MasterRunner)):
        link.lead()
    if isinstance(runner, (LocalRunner, WorkerRunner)):
        link.follow()
    if isinstance(runner, WorkerRunner):
        # Ctrl-C reaches every process of the terminal. Only the master may act on it: it knows how to end a run.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Link:
    """What this process is to the run: its conductor, a node of it, or both."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.options: Any = environment.parsed_options
        self.runner: Any = environment.runner
        self.conductor: Conductor | None = None
        self.node: Node | None = None
        self._watched: Conductor | None = None  # the last run, also when it is over
        self._scrapes: Scrapes | None = None

    # The conductor's side.

    def lead(self) -> None:
        """This process conducts: the master, or the only one."""
        self._apply_options()
        for kind, listener in {
            "hello": self._on_hello,
            "ask": self._on_ask,
            "progress": self._on_progress,
            "clocked": self._on_clocked,
            "history": self._on_history,
            "closed": self._on_closed,
        }.items():
            self.runner.register_message(f"chatswarm-{kind}", listener)
        events = self.environment.events
        events.test_start.add_listener(self._on_test_start)
        events.test_stopping.add_listener(self._on_test_stopping)
        events.test_stop.add_listener(self._on_test_stop)
        # Registered after the runner's own listener and fired in reverse, so that this one comes first.
        events.quitting.add_listener(self._on_quitting)
        events.worker_connect.add_listener(self._on_worker_connect)

    def _apply_options(self) -> None:
        """Locust's own words win over the scenario: `-u`, `-r`, `-t`, `--host`. Refuses what makes no run."""
        options, host = self.options, self.environment.host
        problems: list[str] = []
        self.overrides: dict[str, object] = {}
        if options.run_time and options.headless:
            # Locust counts from the first user; a run of that length is measured from T0, when all are there.
            self.overrides["duration"], options.run_time = float(options.run_time), None
        try:
            plan = scenario.load(options.scenario, self.overrides)
        except scenario.ScenarioError as error:
            _refuse(error.problems)
        if plan.faults and PROGRESS not in os.environ:
            names = ", ".join(fault.name for fault in plan.faults)
            problems.append(f"--scenario: expected one without faults (chatswarm run makes them happen), got {names}")
        users = plan.dashboards + plan.widgets
        options.num_users = options.num_users or users
        options.spawn_rate = options.spawn_rate or max(1.0, options.num_users / max(plan.ramp, 1.0))
        if options.num_users < 2:
            problems.append(f"-u: expected at least 2 users, a dashboard and a widget, got {options.num_users}")
        if options.headless and not host:
            problems.append("--host: expected the target's base URL, such as http://127.0.0.1:8000, got none")
        elif options.headless and host:
            problems += unreachable(host)
        problems += self._serve_metrics()
        if problems:
            _refuse(problems)

    def _serve_metrics(self) -> list[str]:
        """From before any load to the process's end. Returns why it cannot be."""
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
        return exposition(Scene() if self._watched is None else self._watched.scene())

    def _on_test_start(self, **_: object) -> None:
        try:
            plan = self._plan()
        except scenario.ScenarioError as error:
            for problem in error.problems:
                logger.error(problem)
            self.environment.process_exit_code = ExitCode.USAGE
            gevent.spawn(self.runner.quit)
            return
        processes = processes_of(self.environment)
        self.conductor = self._watched = Conductor(plan, self.environment, processes, self._tell, self._stop)
        for client, process in processes.items():
            self._tell("plan", {"plan": plan.wire(), "process": process}, client)
        logger.info("chatswarm: %s against %s, run %s, in %s", plan.name, plan.base_url, plan.run, plan.folder)

    def _plan(self) -> Plan:
        """The run that the options ask for. Sets how many of each user Locust is to spawn."""
        options, users = self.options, self.runner.target_user_count
        chosen = scenario.load(options.scenario, self.overrides)
        dashboards, widgets = shares(users, chosen.dashboards, chosen.widgets)
        if (dashboards, widgets) != (chosen.dashboards, chosen.widgets):
            chosen = scenario.load(options.scenario, {**self.overrides, "dashboards": dashboards, "widgets": widgets})
        if unfit := chosen.unfit_for(target_of(options.adapter)):
            raise scenario.ScenarioError(unfit)
        DashboardUser.fixed_count, WidgetUser.fixed_count = chosen.dashboards, chosen.widgets
        if PROGRESS in os.environ:
            # Whoever started this process has made it for this run.
            folder = Path(options.out)
        else:
            folder = claim_next(Path(options.out)) if options.out else claim_folder(chosen.name)
        return Plan(
            new_run(), options.seed, str(folder.resolve()), self.environment.host or "", options.adapter, chosen.name,
            dict(chosen.table), boot_id(), dict(pair.split("=") for pair in filter(None, options.via.split(","))),
            self._scrapes is not None or self.environment.web_ui is not None,
        )  # fmt: skip

    def _on_hello(self, msg: Message, **_: object) -> None:
        if self.conductor is not None:
            self.conductor.hello(msg.node_id, msg.data["process"], msg.data["boot_id"])

    def _on_clocked(self, msg: Message, **_: object) -> None:
        if self.conductor is not None:
            self.conductor.clocked(msg.data["process"], msg.data["sent"], msg.data["there"])

    def _on_history(self, msg: Message, **_: object) -> None:
        if self.conductor is not None:
            self.conductor.received(msg.data["process"], msg.data["data"])

    def _on_ask(self, msg: Message, **_: object) -> None:
        if self.conductor is not None:
            kind = msg.data["kind"]
            self._tell("grant", {"kind": kind, "number": self.conductor.next_place(kind)}, msg.node_id)

    def _on_progress(self, msg: Message, **_: object) -> None:
        if self.conductor is not None:
            progress = dict(msg.data["progress"])
            # Numbers as keys come back as text from some transports.
            progress["latencies"] = {int(key): count for key, count in progress["latencies"].items()}
            self.conductor.progressed(msg.data["process"], Progress(**progress))
            if (report := msg.data["report"]) is not None:
                self.conductor.reported(msg.data["process"], Report.read(report))

    def _on_closed(self, msg: Message, **_: object) -> None:
        if self.conductor is not None:
            self.conductor.closed(msg.data["process"], msg.data["failure"])

    def _on_worker_connect(self, client_id: str, **_: object) -> None:
        if self.conductor is not None and not self.conductor.over:
            self.conductor.trouble(f"a process joined the swarm in the middle of the run: {client_id}")

    def _on_test_stopping(self, **_: object) -> None:
        if self.conductor is not None:
            self.conductor.finish()

    def _on_test_stop(self, **_: object) -> None:
        # Let go of first: from the web page, the next run may begin while this one is judged.
        conductor, self.conductor = self.conductor, None
        if conductor is None or PROGRESS in os.environ:
            return
        command = [sys.executable, "-m", "chatswarm.loadtests.cli", "judge", conductor.plan.folder]
        self.environment.process_exit_code = subprocess.run(command, check=False).returncode

    def _on_quitting(self, **_: object) -> None:
        self.runner.stop()

    def _stop(self) -> None:
        """The measured part is over. In a greenlet of its own, because the conductor's ends with it."""
        quits = self.options.headless or self.options.autoquit >= 0
        gevent.spawn(self.runner.quit if quits else self.runner.stop)

    def _tell(self, kind: str, data: object, client: str | None = None) -> None:
        self.runner.send_message(f"chatswarm-{kind}", data, client)

    # The side of a process with users in it.

    def follow(self) -> None:
        """This process has users: a worker, or the only one."""
        self.runner.register_message("chatswarm-plan", self._on_plan)
        self.runner.register_message("chatswarm-grant", self._on_grant)
        self.runner.register_message("chatswarm-clock", self._on_clock)
        self.runner.register_message("chatswarm-begin", self._on_begin)
        self.runner.register_message("chatswarm-ids", self._on_ids)
        # Concurrent, because a worker must go on talking to its master while it drains.
        self.runner.register_message("chatswarm-drain", self._on_drain, concurrent=True)

    def _on_plan(self, msg: Message, **_: object) -> None:
        plan = Plan(**msg.data["plan"])
        process, boot = msg.data["process"], boot_id()
        if boot != plan.boot_id:
            # Another machine: what is written here is sent over when it is whole.
            plan = replace(plan, folder=tempfile.mkdtemp(prefix="chatswarm-"))
        self.node = Node(plan, process, Rows(self.environment), self._ask)
        enter(self.node)
        self._tell("hello", {"process": process, "boot_id": boot})
        gevent.spawn(self._report, self.node)

    def _ask(self, kind: str) -> None:
        self._tell("ask", {"kind": kind})

    def _report(self, node: Node) -> None:
        with_figures = cycle((True, False))
        while not node.recorder.closed:
            self._tell_progress(node, with_figures=next(with_figures))
            gevent.sleep(_REPORT_EVERY)

    def _tell_progress(self, node: Node, *, with_figures: bool = True) -> None:
        """Figures are for scrapes that are a second apart: every other time will do."""
        report = node.live.report().wire() if node.live is not None and with_figures else None
        self._tell("progress", {"process": node.process, "progress": node.progress.wire(), "report": report})

    def _on_grant(self, msg: Message, **_: object) -> None:
        if self.node is not None:
            self.node.grant(msg.data["kind"], msg.data["number"])

    def _on_clock(self, msg: Message, **_: object) -> None:
        if self.node is not None:
            there = time.monotonic()
            self._tell("clocked", {"process": self.node.process, "sent": msg.data["sent"], "there": there})

    def _on_begin(self, msg: Message, **_: object) -> None:
        if self.node is not None:
            self.node.begin(msg.data["start"])

    def _on_ids(self, msg: Message, **_: object) -> None:
        if self.node is not None and self.node.live is not None:
            self.node.live.name(msg.data)

    def _on_drain(self, msg: Message, **_: object) -> None:
        if self.node is not None:
            failure = self.node.finish(msg.data["end"])
            self._tell_progress(self.node)
            if self.node.plan.boot_id != boot_id():
                self._send_history(self.node)
            self._tell("closed", {"process": self.node.process, "failure": failure})
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _send_history(self, node: Node) -> None:
        """From another machine: the closed file, in pieces, and then nothing is left here."""
        with history_file(node.plan.path, node.process).open("rb") as file:
            while data := file.read(_PIECE):
                self._tell("history", {"process": node.process, "data": data})
                gevent.sleep(0)
        shutil.rmtree(node.plan.path)


def unreachable(base_url: str) -> list[str]:
    """Why nothing can be sent to the target; empty if a TCP connection to it stands."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return [f"--host: expected a URL such as http://127.0.0.1:8000, got {base_url!r}"]
    try:
        socket.create_connection((parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)), 5).close()
    except OSError as error:
        return [f"--host: expected a target that answers, got {error} from {base_url}"]
    return []


def _refuse(problems: list[str]) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(ExitCode.USAGE)


def _die_with_parent() -> None:
    """Ends this process when the pipe to the one that started it closes, so that none is left behind."""
    number = os.environ.get("CHATSWARM_LIFELINE_FD")
    if number is None:
        return

    def wait() -> None:
        gevent.socket.wait_read(int(number))
        os._exit(ExitCode.INTERNAL)

    gevent.spawn(wait)
