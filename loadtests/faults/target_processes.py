"""The processes that faults act on: those that chatswarm started, and the one given by `--pid`."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import psutil

from chatswarm.loadtests.system.children import Child

from .error import FaultError

STARTING = 30.0
"""Seconds that a process may take to respond after a start."""
_UNCHANGED = 5.0
"""Seconds after which a restart command that succeeded is taken to have restarted nothing."""
_POLL = 0.02


class Managed(Protocol):
    """A process that faults can signal and, if `startable`, start again."""

    @property
    def startable(self) -> bool: ...

    @property
    def command(self) -> str | None:
        """The shell command that starts it again if chatswarm dies; None if it dies along with chatswarm."""
        ...

    @property
    def known(self) -> bool:
        """Whether its pid is known."""
        ...

    @property
    def pid(self) -> int:
        """Raises FaultError if it is unknown."""
        ...

    def start(self) -> None:
        """Starts it again after it has ended, and returns once it responds. Raises FaultError."""
        ...

    def restart(self) -> None:
        """Stops and starts it by its owner's means. Raises FaultError, also if it never stopped."""
        ...


class OwnProcess:
    """A process that chatswarm started, and starts again by the same command."""

    startable = True
    known = True
    command = None

    def __init__(
        self, what: str, make: Callable[[], Child], unanswered: Callable[[], str | None], grace: float
    ) -> None:
        """Starts it. `unanswered`: why it does not respond, or None once it does. `grace`: seconds it has to exit."""
        self.what = what
        self.child = make()
        self._make = make
        self._unanswered = unanswered
        self._grace = grace

    @property
    def pid(self) -> int:
        return self.child.process.pid

    def wait(self) -> None:
        """Blocks until it responds. Raises FaultError if it does not."""
        deadline = time.monotonic() + STARTING
        while self._unanswered():
            if not self.child.running or time.monotonic() > deadline:
                raise FaultError(f"{self.what} did not start:\n{self.child.log_tail()}")
            time.sleep(_POLL)

    def start(self) -> None:
        self.child.kill()
        self.child = self._make()
        self.wait()

    def restart(self) -> None:
        self.child.stop(self._grace)
        self.start()

    def stop(self) -> None:
        """Ends it for good, at once: there is nothing left for it to finish."""
        self.child.kill()


class GivenProcess:
    """The target's process, which chatswarm did not start. Its owner's command starts it again."""

    def __init__(
        self, pid: int | None, command: str | None, port: int, unanswered: Callable[[], str | None], log: Path
    ) -> None:
        """`port`: where it listens; identifies its new pid after a start."""
        self.startable = command is not None
        self._pid = pid
        self.command = command
        self._port = port
        self._unanswered = unanswered
        self._log = log
        self._started: list[subprocess.Popen[bytes]] = []  # kept because one of them may be the target itself

    @property
    def known(self) -> bool:
        return self._pid is not None

    @property
    def pid(self) -> int:
        if self._pid is None:
            raise FaultError("expected --pid, the target's process, got none")
        return self._pid

    def start(self) -> None:
        self._run_command(still_old=lambda: False)

    def restart(self) -> None:
        before = self._pid or listener_on(self._port)
        self._run_command(still_old=lambda: before is not None and alive(before))

    def _run_command(self, still_old: Callable[[], bool]) -> None:
        """Runs the restart command. Returns once the target responds, provided that its old process is gone or was
        silent in between. `still_old`: whether the old process still runs. Raises FaultError.
        """
        command = self.command
        assert command is not None, "`unfit` refuses plans that need it"
        with self._log.open("ab") as log:
            # A new session, because it may be the target itself, which outlives this run.
            started = subprocess.Popen(  # noqa: S602
                command, shell=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._started.append(started)
        deadline, returned, silent = time.monotonic() + STARTING, None, False
        while (problem := self._unanswered()) or (still_old() and not silent):
            silent = silent or problem is not None
            now = time.monotonic()
            if started.poll():
                raise FaultError(f"--restart-command: expected exit code 0, got {started.returncode} (see {self._log})")
            if returned is None and started.returncode == 0:
                returned = now
            if not problem and returned is not None and now > returned + _UNCHANGED:
                raise FaultError("--restart-command: expected it to restart the target, which responded throughout")
            if now > deadline:
                raise FaultError(
                    f"--restart-command: expected the target to respond within {STARTING:g} s, "
                    f"got: {problem or 'the same process throughout'}"
                )
            time.sleep(_POLL)
        if self._pid is not None and not alive(self._pid):
            self._pid = listener_on(self._port) or self._pid


def watchable(processes: Iterable[Managed]) -> bool:
    """Whether any of them has a known pid."""
    return any(process.known for process in processes)


def tree(pid: int) -> list[int]:
    """The process, then all its descendants; empty if it is gone."""
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def workers(pid: int) -> list[int]:
    """Its running children, oldest first, without the helper of Python's multiprocessing, which is started before all
    others and does no work.
    """
    try:
        children = sorted(psutil.Process(pid).children(), key=lambda child: child.create_time())
    except psutil.NoSuchProcess:
        return []
    return [child.pid for child in children if alive(child.pid) and not _is_multiprocessing_helper(child)]


def _is_multiprocessing_helper(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "from multiprocessing.resource_tracker " in " ".join(process.cmdline())
    return False


def alive(pid: int) -> bool:
    """Whether it runs. A zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stopped(pid: int) -> bool:
    """Whether SIGSTOP has stopped it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def listens(pid: int) -> bool:
    """Whether it or a descendant listens on a socket. True where that cannot be determined."""
    for member in tree(pid):
        try:
            connections = psutil.Process(member).net_connections("all")
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied:
            return True
        # A Unix socket has no state, but one that listens has a path.
        if any(it.status == psutil.CONN_LISTEN or (it.family == socket.AF_UNIX and it.laddr) for it in connections):
            return True
    return False


def await_end(pid: int, timeout: float) -> bool:
    """Waits for a process to end, even if it is not our child. False if it has not ended within `timeout` seconds."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], timeout)[0])
    finally:
        os.close(handle)


def send(number: signal.Signals, *pids: int) -> None:
    """Signals each process that still exists. Raises FaultError if permission is denied."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            raise FaultError(f"pid {pid}: expected permission to send it {number.name}, got none") from None


def listener_on(port: int) -> int | None:
    """The local process that listens on a TCP port, the oldest of several. None if there is none, or it is hidden."""
    found = set()
    with contextlib.suppress(psutil.AccessDenied):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                found.add(connection.pid)
    return min(found, key=lambda pid: psutil.Process(pid).create_time(), default=None)
