"""Joins the swarm to Locust: the command-line options, and this process's part as master, worker or both."""

import gc
import logging
import os
import signal
import sys
from functools import partial
from types import TracebackType
from typing import Any, NoReturn

import gevent
import gevent.socket
from locust.env import Environment
from locust.event import Events
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from chatswarm.loadtests.system.exit_code import ExitCode

from .arguments import add_arguments
from .master import Master
from .parent_pipes import lifeline
from .testbed_process import TestbedProcess
from .worker import Worker, on_hangup

logger = logging.getLogger(__name__)


def register(events: Events, testbed: TestbedProcess | None = None) -> None:
    """Registers all listeners with Locust. The locustfile calls it once.

    `testbed`: one that is being set up already, for the first run.
    """
    events.init_command_line_parser.add_listener(add_arguments)
    events.init.add_listener(partial(_on_init, testbed))
    _reserve_exit_code_1(events)


def _on_init(testbed: TestbedProcess | None, environment: Environment, **_: object) -> None:
    try:
        _join(environment, testbed)
    except Exception:
        logger.exception("chatswarm: this process could not begin")
        sys.exit(ExitCode.INTERNAL)
    # What has been imported stays. Looking through it again, just before T0, would take a tenth of a second.
    gc.freeze()


def _join(environment: Environment, testbed: TestbedProcess | None) -> None:
    runner = environment.runner
    _die_with_parent()
    if isinstance(runner, (LocalRunner, MasterRunner)):
        Master(environment, testbed).register()
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
