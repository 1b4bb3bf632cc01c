"""The processes that faults strike: those that chatswarm started, and the one it was given the pid of."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import psutil

from chatswarm.loadtests.system.children import Child

from .error import FaultError

STARTING = 30.0
"""Seconds that a process may take to answer after it was started again."""
_UNCHANGED = 5.0
"""Seconds after which a restart that has returned has ended nothing."""
_LOOK = 0.02


class Managed(Protocol):
    """A process that can be struck and, if `startable`, started again."""

    @property
    def startable(self) -> bool: ...

    @property
    def command(self) -> str | None:
        """The shell command that would start it again if this process were gone; None: it is gone then, too."""
        ...

    @property
    def known(self) -> bool:
        """Whether its pid is."""
        ...

    @property
    def pid(self) -> int:
        """Raises FaultError if nobody knows it."""
        ...

    def start(self) -> None:
        """Starts it again after it has ended, and returns when it answers. Raises FaultError."""
        ...

    def restart(self) -> None:
        """Has it end and start by the way that its owners use. Raises FaultError, also if it never ended."""
        ...


class OwnProcess:
    """One that chatswarm started, and starts again by the same command."""

    startable = True
    known = True
    command = None

    def __init__(
        self, what: str, make: Callable[[], Child], unanswered: Callable[[], str | None], grace: float
    ) -> None:
        """Starts it. `unanswered` tells why it does not answer, None once it does; `grace`: seconds to end in."""
        self.what = what
        self.child = make()
        self._make = make
        self._unanswered = unanswered
        self._grace = grace

    @property
    def pid(self) -> int:
        return self.child.process.pid

    def wait(self) -> None:
        """Blocks until it answers. Raises FaultError if it does not."""
        deadline = time.monotonic() + STARTING
        while self._unanswered():
            if not self.child.running or time.monotonic() > deadline:
                raise FaultError(f"{self.what} did not start:\n{self.child.last_words()}")
            time.sleep(_LOOK)

    def start(self) -> None:
        self.child.kill()
        self.child = self._make()
        self.wait()

    def restart(self) -> None:
        self.child.stop(self._grace)
        self.start()

    def stop(self) -> None:
        """Ends it for good."""
        self.child.stop(self._grace)


class GivenProcess:
    """The target's, which chatswarm did not start. It is started again by a command of its owners'."""

    def __init__(
        self, pid: int | None, command: str | None, port: int, unanswered: Callable[[], str | None], log: Path
    ) -> None:
        """`port`: where it listens, by which its new pid is found after a start."""
        self.startable = command is not None
        self._pid = pid
        self.command = command
        self._port = port
        self._unanswered = unanswered
        self._log = log
        self._started: list[subprocess.Popen[bytes]] = []  # which may still be there, and the target itself

    @property
    def known(self) -> bool:
        return self._pid is not None

    @property
    def pid(self) -> int:
        if self._pid is None:
            raise FaultError("expected --pid, the target's process, got none")
        return self._pid

    def start(self) -> None:
        self._run_command(lambda: False)

    def restart(self) -> None:
        before = self._pid or listener_on(self._port)
        self._run_command(lambda: before is not None and alive(before))

    def _run_command(self, is_the_old_one: Callable[[], bool]) -> None:
        """Returns when the target answers that was started by the command, or at least answers again."""
        command = self.command
        assert command is not None, "asked only for plans that are fit for it"
        with self._log.open("ab") as log:
            # In a session of its own: it may well be the target itself, which goes on when this run is over.
            started = subprocess.Popen(  # noqa: S602
                command, shell=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._started.append(started)
        deadline, returned, silent = time.monotonic() + STARTING, None, False
        while (problem := self._unanswered()) or (is_the_old_one() and not silent):
            silent = silent or problem is not None
            now = time.monotonic()
            if started.poll():
                raise FaultError(f"--restart-command: expected exit code 0, got {started.returncode} (see {self._log})")
            if returned is None and started.returncode == 0:
                returned = now
            if not problem and returned is not None and now > returned + _UNCHANGED:
                raise FaultError("--restart-command: expected it to end the target, which answered all the while")
            if now > deadline:
                raise FaultError(
                    f"--restart-command: expected the target to answer within {STARTING:g} s, "
                    f"got: {problem or 'the same process all the while'}"
                )
            time.sleep(_LOOK)
        if self._pid is not None and not alive(self._pid):
            self._pid = listener_on(self._port) or self._pid


def tree(pid: int) -> list[int]:
    """The process and all that it started, itself first; empty if it is gone."""
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def workers(pid: int) -> list[int]:
    """The processes that it started itself and that run, oldest first. Those that only help Python's own
    multiprocessing, which it starts before all others, do no work.
    """
    try:
        children = sorted(psutil.Process(pid).children(), key=lambda child: child.create_time())
    except psutil.NoSuchProcess:
        return []
    return [child.pid for child in children if alive(child.pid) and not _helps_python(child)]


def _helps_python(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "from multiprocessing.resource_tracker " in " ".join(process.cmdline())
    return False


def alive(pid: int) -> bool:
    """Whether it runs: a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stopped(pid: int) -> bool:
    """Whether SIGSTOP holds it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def listens(pid: int) -> bool:
    """Whether it or one that it started listens somewhere; also where that cannot be told."""
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
    """Whether it has ended within `timeout` seconds, whoever's child it is."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], timeout)[0])
    finally:
        os.close(handle)


def send(number: signal.Signals, *pids: int) -> None:
    """Raises FaultError if one of them may not be signalled."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            raise FaultError(f"pid {pid}: expected leave to send it {number.name}, got none") from None


def listener_on(port: int) -> int | None:
    """The process of this host that listens on a TCP port, where that can be told; of several the oldest."""
    found = set()
    with contextlib.suppress(psutil.AccessDenied):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                found.add(connection.pid)
    return min(found, key=lambda pid: psutil.Process(pid).create_time(), default=None)
