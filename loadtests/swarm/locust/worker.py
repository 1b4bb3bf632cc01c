"""Joins a run to Locust: its command line, and the side of a process with users in it.

The same listeners serve a single process, a master and a worker: a single process sends its messages to itself.
`master.py` has the conductor's side.
"""

import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import gevent
import gevent.socket
import msgspec
from gevent.event import Event
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.event import Events
from locust.rpc import Message
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from chatswarm.loadtests.history.manifest import boot_id, history_file, read_manifest
from chatswarm.loadtests.protocols import DEFAULT, PROTOCOLS, TOKEN
from chatswarm.loadtests.swarm.node import Node, enter
from chatswarm.loadtests.swarm.plan import RunPlan
from chatswarm.loadtests.system.exit_code import ExitCode
from chatswarm.loadtests.system.open_files import needed_files, open_files, raise_open_files

from .compatibility import MINE, Hello, build_in, mismatch
from .master import Master
from .parent_pipes import lifeline
from .stats_rows import StatsRows

logger = logging.getLogger(__name__)

_PIECE = 1 << 18  # bytes of a history in one message
_REPORT_EVERY = 0.25  # seconds between two reports of a process to the conductor
_ANSWERS = 5.0  # seconds that a worker which is to end waits for the answers to its sends, and then for its master


def wire(events: Events) -> None:
    """Registers everything with Locust. To be called once, by the locustfile."""
    events.init_command_line_parser.add_listener(_add_arguments)
    events.init.add_listener(_on_init)
    _keep_one_for_verdicts(events)


def _add_arguments(parser: LocustArgumentParser) -> None:
    group = parser.add_argument_group("chatswarm")
    group.add_argument(
        "--scenario", default="steady", help="a shipped scenario's name or a TOML file (default: steady)"
    )
    group.add_argument("--protocol", default=DEFAULT, choices=sorted(PROTOCOLS), help="the kind of chat under test")
    group.add_argument("--seed", type=int, default=1, help="the same seed gives the same schedule")
    group.add_argument("--origin", default="", metavar="URL", help="the Origin of every request (default: none)")
    group.add_argument("--via", default="", help="for chatswarm run: sockets=HOST:PORT,… of the fault proxies")
    group.add_argument("--out", default="", help="the run's folder (default: runs/<time>-<scenario>)")
    port = group.add_argument(
        "--metrics-port", type=int, default=setting("CHATSWARM_METRICS_PORT"), metavar="PORT",
        help="serve live figures for Prometheus at /metrics of this port (0: a free one; default: "
        "$CHATSWARM_METRICS_PORT, else not at all)",
    )  # fmt: skip
    host = group.add_argument(
        "--metrics-host", default=setting("CHATSWARM_METRICS_HOST") or "127.0.0.1", metavar="HOST",
        help="the address of that port (default: $CHATSWARM_METRICS_HOST, else 127.0.0.1, this machine only)",
    )  # fmt: skip
    for fixed in (port, host):
        fixed.include_in_web_ui = False  # its form is for what may differ from run to run


def setting(name: str) -> str | None:
    """A variable of the environment, where somebody set it for chatswarm.

    Kubernetes sets CHATSWARM_METRICS_PORT=tcp://10.0.0.1:9646 in every pod next to a service `chatswarm-metrics`.
    """
    value = os.environ.get(name, "").strip()
    return value if value and "://" not in value else None


def _on_init(environment: Environment, **_: object) -> None:
    try:
        _take_part(environment)
    except Exception:
        logger.exception("chatswarm: this process could not begin")
        sys.exit(ExitCode.INTERNAL)


def _take_part(environment: Environment) -> None:
    runner = environment.runner
    _die_with_parent()
    if isinstance(runner, (LocalRunner, MasterRunner)):
        Master(environment).lead()
        _on_hangup(lambda: os.kill(os.getpid(), signal.SIGTERM))
    if isinstance(runner, (LocalRunner, WorkerRunner)):
        Worker(environment).follow()


def _keep_one_for_verdicts(events: Events) -> None:
    """Locust exits with 1 where it cannot begin, as when the master's port is taken, and Python where an exception is
    not caught. Here 1 says that the target failed.
    """
    leave, show = sys.exit, sys.excepthook
    began = False

    def leave_before_all(code: Any = None) -> NoReturn:  # noqa: ANN401
        leave(ExitCode.USAGE if code == ExitCode.FAIL else code)

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if began or not isinstance(error, Exception):
            show(kind, error, trace)
        else:
            print(f"locust: {kind.__name__}: {error}", file=sys.stderr)
        if isinstance(error, Exception):
            leave(ExitCode.INTERNAL if began else ExitCode.USAGE)

    def begun(**_: object) -> None:
        nonlocal began
        began, sys.exit = True, leave

    sys.exit, sys.excepthook = leave_before_all, uncaught
    events.init.add_listener(begun)


def _on_hangup(act: Callable[[], None]) -> None:
    """When the terminal closes, unless `nohup` keeps that from this process."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        gevent.signal_handler(signal.SIGHUP, act)


class Worker:
    """A process with users in it, or the only one."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.runner: Any = environment.runner
        self.node: Node | None = None
        self._own_folder: Path | None = None  # this process's alone: the run's is not there, or not to be written to
        self._apart = False  # the history is to be sent over
        self._draining = False
        self._drained = Event()
        self._noted = Event()  # the conductor has all that this process sent
        self._interrupted = False  # by Ctrl-C, in the run that goes on
        self._orphaned = False  # its terminal is closed

    def follow(self) -> None:
        """From here on this process takes part in runs."""
        for kind, listener in {
            "who": self._say_hello,
            "welcome": self._on_welcome,
            "plan": self._on_plan,
            "drop": self._on_drop,
            "apart": self._on_apart,
            "grant": self._on_grant,
            "clock": self._on_clock,
            "begin": self._on_begin,
            "ids": self._on_ids,
            "drain": self._on_drain,
            "bye": self._on_bye,
        }.items():
            self.runner.register_message(f"chatswarm-{kind}", listener)
        if isinstance(self.runner, WorkerRunner):
            # Registered after the runner's own listener and fired in reverse, so that this one comes first.
            self.environment.events.quitting.add_listener(self._on_quitting)
            gevent.signal_handler(signal.SIGINT, self._on_interrupt)
            _on_hangup(self._on_terminal_closed)
            self._say_hello()

    # Before a run.

    def _say_hello(self, **_: object) -> None:
        has_token = bool(os.environ.get(TOKEN, "").strip())
        self._tell("hello", Hello(MINE, open_files(), has_token).said())

    def _on_welcome(self, msg: Message, **_: object) -> None:
        if problem := mismatch("the master", build_in(msg.data)):
            self._give_up(problem)

    def _on_plan(self, msg: Message, **_: object) -> None:
        """Takes part in a run, or ends this process and says why."""
        data = msg.data
        if problem := mismatch("the master", build_in(data)):
            self._give_up(problem)
            return
        try:
            plan = RunPlan(**data["plan"])
            self._enter(plan, data["process"])
        except Exception as error:
            logger.exception("chatswarm: no part in the run")
            why = f"it cannot take part: {type(error).__name__}: {error} (it runs chatswarm {MINE}, as its master says)"
            self._tell("unfit", {"run": data["plan"]["run"], "process": data["process"], "why": why})
            if isinstance(self.runner, WorkerRunner):
                self._give_up(why)

    def _enter(self, plan: RunPlan, process: str) -> None:
        scenario = plan.scenario()
        if problem := raise_open_files(needed_files(scenario.dashboards, scenario.widgets, plan.processes)):
            raise OSError(problem)
        self._draining, self._apart = False, False
        self._drained.clear()
        self._noted.clear()
        self.node = self._node(plan, process)
        enter(self.node)
        shared = not self._apart
        self._tell_of_run("entered", boot_id=boot_id(), shared=shared)
        gevent.spawn(self._report, self.node)

    def _node(self, plan: RunPlan, process: str) -> Node:
        """With its history in the run's folder, if that is the one that the conductor made, and can be written to.

        Processes of one host need not have the same files: containers, pods, other users, read-only mounts.
        """
        rows = StatsRows(self.environment)
        if _is_there(plan):
            try:
                return Node(plan, process, rows, self._ask)
            except OSError as error:
                logger.info("chatswarm: no history can be written to the run's folder: %s", error)
        logger.info("chatswarm: the history is kept here, and sent over at the end of the run")
        self._own_folder, self._apart = Path(tempfile.mkdtemp(prefix="chatswarm-")), True
        return Node(replace(plan, folder=str(self._own_folder)), process, rows, self._ask)

    def _on_drop(self, msg: Message, **_: object) -> None:
        """The run does not begin."""
        if (node := self._node_of(msg)) is not None:
            node.leave(0)
            self._remove_own_folder()

    def _on_apart(self, msg: Message, **_: object) -> None:
        """The conductor does not see what is written here, though the folder looks like its own."""
        if self._node_of(msg) is not None:
            self._apart = True

    # During a run.

    def _node_of(self, msg: Message) -> Node | None:
        """The node of the run that the message is about, if that is this process's last one."""
        node = self.node
        return node if node is not None and msg.data["run"] == node.plan.run else None

    def _in_run(self) -> bool:
        return self.node is not None and not self.node.recorder.closed

    def _ask(self, kind: str) -> None:
        self._tell_of_run("ask", kind=kind)

    def _report(self, node: Node) -> None:
        with_figures = cycle((True, False))
        while not node.recorder.closed:
            try:
                self._tell_progress(node, with_figures=next(with_figures))
            except Exception:
                logger.exception("chatswarm: a report could not be sent")
            gevent.sleep(_REPORT_EVERY)

    def _tell_progress(self, node: Node, *, with_figures: bool = True) -> None:
        """Figures are for scrapes that are a second apart: every other time will do."""
        report = node.live.report().wire() if node.live is not None and with_figures else None
        self._tell_of_run("progress", node, progress=node.progress.wire(), report=report)

    def _on_grant(self, msg: Message, **_: object) -> None:
        if (node := self._node_of(msg)) is not None:
            node.grant(msg.data["kind"], msg.data["number"])

    def _on_clock(self, msg: Message, **_: object) -> None:
        if (node := self._node_of(msg)) is not None:
            self._tell_of_run("clocked", node, sent=msg.data["sent"], there=time.monotonic())

    def _on_begin(self, msg: Message, **_: object) -> None:
        if (node := self._node_of(msg)) is not None:
            node.begin(msg.data["start"])

    def _on_ids(self, msg: Message, **_: object) -> None:
        if (node := self._node_of(msg)) is not None and node.live is not None:
            node.live.name(msg.data["found"])

    # The end of a run.

    def _on_drain(self, msg: Message, **_: object) -> None:
        """In a greenlet of its own: a process must go on talking while it drains, and Ctrl-C must not end it."""
        node = self._node_of(msg)
        if node is not None and not node.recorder.closed:
            self._draining = True
            gevent.spawn(self._drain, node, msg.data["end"])

    def _drain(self, node: Node, end: float) -> None:
        try:
            self._hand_over(node, node.finish(end))
        except Exception as error:
            logger.exception("chatswarm: the drain failed")
            node.recorder.close()
            self._tell_of_run("closed", node, failure=f"{type(error).__name__}: {error}")
        finally:
            self._drained.set()
            self._interrupted = False
            if self._orphaned:
                self._noted.wait(_ANSWERS)
                self._end()

    def _hand_over(self, node: Node, failure: str | None) -> None:
        """Whatever the conductor still has to know of a run whose history is closed here."""
        self._tell_progress(node)
        if self._apart:
            self._send_history(node)
        self._tell_of_run("closed", node, failure=failure)

    def _send_history(self, node: Node) -> None:
        """The closed file, in pieces, and then nothing is left here."""
        with history_file(node.plan.path, node.process).open("rb") as file:
            while data := file.read(_PIECE):
                self._tell_of_run("history", node, data=data)
                gevent.sleep(0)
        self._remove_own_folder()

    def _remove_own_folder(self) -> None:
        if self._own_folder is not None:
            shutil.rmtree(self._own_folder, ignore_errors=True)
            self._own_folder = None

    def _on_bye(self, **_: object) -> None:
        self._noted.set()

    # The end of this process.

    def _on_interrupt(self) -> None:
        """Ctrl-C reaches every process of the terminal. In a run the master acts on it: it knows how to end one."""
        if not self._in_run() or self._interrupted:
            self._end()
        else:
            self._interrupted = True
            logger.info("chatswarm: Ctrl-C is left to the master; once more ends this worker alone")

    def _on_terminal_closed(self) -> None:
        """The same, but nobody can say it a second time."""
        self._orphaned = True
        if not self._in_run():
            self._end()

    def _end(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def _give_up(self, problem: str) -> None:
        """Ends this worker: no run is possible here."""
        logger.error(problem)
        self.environment.process_exit_code = ExitCode.USAGE
        gevent.spawn(self.runner.quit)

    def _on_quitting(self, **_: object) -> None:
        """This process ends: what it observed must count. Locust tells its master after this."""
        if self.environment.process_exit_code is None:
            # Failed requests are for the master to judge: they make no worker fail.
            self.environment.process_exit_code = ExitCode.PASS
        node = self.node
        if node is None or (node.recorder.closed and self._drained.is_set()):
            return
        if self._draining:
            self._drained.wait(2 * node.scenario.drain + _ANSWERS)
        elif not node.recorder.closed:
            self._tell_of_run("leaving", node)
            # Its users first, so that the history says that they were taken away.
            self.runner.stop_users(self.runner.user_classes_count)
            self._hand_over(node, node.leave(_ANSWERS))
            self._noted.wait(_ANSWERS)
        self._remove_own_folder()

    def _tell(self, kind: str, data: object) -> None:
        self.runner.send_message(f"chatswarm-{kind}", data)

    def _tell_of_run(self, kind: str, node: Node | None = None, /, **data: object) -> None:
        node = node or self.node
        assert node is not None, "there is a run"
        self._tell(kind, {"run": node.plan.run, "process": node.process, **data})


def _is_there(plan: RunPlan) -> bool:
    """Whether the plan's folder is, in this process, the one of its run."""
    try:
        return bool(read_manifest(plan.path).run == plan.run)
    except (OSError, ValueError, msgspec.MsgspecError):
        return False


def _die_with_parent() -> None:
    """Ends this process when the pipe to the one that started it closes, so that none is left behind."""
    number = lifeline()
    if number is None:
        return

    def wait() -> None:
        gevent.socket.wait_read(number)
        os._exit(ExitCode.INTERNAL)

    gevent.spawn(wait)
