"""Joins the swarm to Locust: the command-line options, and this process's part as master, worker or both."""

import argparse
import logging
import os
import signal
import sys
from types import TracebackType
from typing import Any, NoReturn

import gevent
import gevent.socket
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.event import Events
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from chatswarm.loadtests.protocols.protocol import DEFAULT
from chatswarm.loadtests.system.exit_code import ExitCode

from .master import Master
from .options import PAGE_FIELDS
from .parent_pipes import lifeline
from .worker import Worker, on_hangup

logger = logging.getLogger(__name__)


def register(events: Events) -> None:
    """Registers all listeners with Locust. The locustfile calls it once."""
    events.init_command_line_parser.add_listener(_add_arguments)
    events.init.add_listener(_on_init)
    _reserve_exit_code_1(events)


def _add_arguments(parser: LocustArgumentParser) -> None:
    group = parser.add_argument_group("chatswarm")
    group.add_argument(
        "--scenario", default="steady", metavar="NAME",
        help="a shipped scenario (`chatswarm scenarios` lists them; kill and others make faults) or a TOML file",
    )  # fmt: skip
    group.add_argument(
        "--protocol", default=DEFAULT, metavar="NAME",
        help="the kind of chat: a shipped one (`chatswarm protocols` lists them), a TOML file, or module:Class",
    )  # fmt: skip
    group.add_argument("--seed", type=int, default=1, help="the same seed gives the same schedule")
    group.add_argument("--origin", default="", metavar="URL", help="the Origin of every request (default: none)")
    group.add_argument(
        "--users-file", metavar="FILE", help="CSV with a row per user: name, and what its login needs; on every host"
    )
    group.add_argument("--out", default="", help="the run's folder (default: runs/<time>-<scenario>)")
    group.add_argument(
        "--metrics-port", type=int, default=setting("CHATSWARM_METRICS_PORT"), metavar="PORT",
        help="serve live figures for Prometheus at /metrics on this port (0: a free one; default: "
        "$CHATSWARM_METRICS_PORT, else not at all)",
    )  # fmt: skip
    group.add_argument(
        "--metrics-host", default=setting("CHATSWARM_METRICS_HOST") or "127.0.0.1", metavar="HOST",
        help="the address to serve them on (default: $CHATSWARM_METRICS_HOST, else 127.0.0.1, this machine only)",
    )  # fmt: skip
    group.add_argument(
        "--pid", type=_pid, metavar="PID", help="process ID of the target on this host, for faults on its process"
    )
    group.add_argument(
        "--restart-command", metavar="CMD", help="shell command that starts the target again, for faults that end it"
    )
    group.add_argument(
        "--toxiproxy", metavar="URL", help="API of a running Toxiproxy, for faults of the network (default: our own)"
    )
    group.add_argument(
        "--proxy-host", default="", metavar="HOST",
        help="the name or address by which workers reach the fault proxies (default: that by which each reaches "
        "the master)",
    )  # fmt: skip
    for action in group._group_actions:
        # Locust shows no option of a group unless it is told to. The form is for what may differ from run to run, and
        # nobody may run a command, or end a process, by a web page.
        action.include_in_web_ui = action.dest in PAGE_FIELDS


def _pid(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a process ID, got {text!r}")
    return int(text)


def setting(name: str) -> str | None:
    """An environment variable, if somebody set it for chatswarm.

    Kubernetes sets CHATSWARM_METRICS_PORT=tcp://10.0.0.1:9646 in every pod next to a service `chatswarm-metrics`.
    """
    value = os.environ.get(name, "").strip()
    return value if value and "://" not in value else None


def _on_init(environment: Environment, **_: object) -> None:
    try:
        _join(environment)
    except Exception:
        logger.exception("chatswarm: this process could not begin")
        sys.exit(ExitCode.INTERNAL)


def _join(environment: Environment) -> None:
    runner = environment.runner
    _die_with_parent()
    if isinstance(runner, (LocalRunner, MasterRunner)):
        Master(environment).register()
        on_hangup(lambda: os.kill(os.getpid(), signal.SIGTERM))
    if isinstance(runner, (LocalRunner, WorkerRunner)):
        Worker(environment).register()


def _reserve_exit_code_1(events: Events) -> None:
    """Exit code 1 means that the target failed. Locust exits with 1 if it cannot start, for example because the
    master's port is taken, and so does Python after an uncaught exception: both become other codes here.
    """
    exit_process, print_exception = sys.exit, sys.excepthook
    initialized = False

    def exit_before_init(code: Any = None) -> NoReturn:  # noqa: ANN401
        exit_process(ExitCode.USAGE if code == ExitCode.FAIL else code)

    def on_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if initialized or not isinstance(error, Exception):
            print_exception(kind, error, trace)
        else:
            print(f"locust: {kind.__name__}: {error}", file=sys.stderr)
        if isinstance(error, Exception):
            exit_process(ExitCode.INTERNAL if initialized else ExitCode.USAGE)

    def on_init(**_: object) -> None:
        nonlocal initialized
        initialized, sys.exit = True, exit_process

    sys.exit, sys.excepthook = exit_before_init, on_uncaught
    events.init.add_listener(on_init)


def _die_with_parent() -> None:
    """Ends this process when the pipe from its parent closes, so that none is left behind."""
    descriptor = lifeline()
    if descriptor is None:
        return

    def wait() -> None:
        gevent.socket.wait_read(descriptor)
        os._exit(ExitCode.INTERNAL)

    gevent.spawn(wait)
