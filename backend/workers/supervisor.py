"""The supervisor: binds the sockets once and keeps N workers alive on them; it serves no requests itself.

    supervisor ── fork ─► worker 0 ─┐  all accept from the same listening sockets, so while one is down,
         │                worker 1 ─┤  the others take over its share; each has its own loop, store and dashboards
         │                worker 2 ─┘
         └── write end of a pipe that every worker reads: when it closes, even by a SIGKILL of this process, all exit

It imports nothing heavy and opens no database, so that hardly anything in it can fail.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from types import FrameType
from typing import Final

from chatswarm.backend.listeners import Listeners
from chatswarm.backend.settings import Settings

COULD_NOT_START: Final = 1
"""The exit code of a worker that failed before it served."""

RETRY_FIRST: Final = 0.1
RETRY_LONGEST: Final = 5.0
HEALTHY: Final = 10.0
"""Uptime in seconds that resets a worker's restart back-off to RETRY_FIRST."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@dataclass(frozen=True)
class WorkerContext:
    """What a worker inherits: its number, the listening sockets, and the sockets to the other workers."""

    number: int
    listeners: Listeners
    inboxes: list[socket.socket]
    outboxes: list[socket.socket]


Work = Callable[[Settings, WorkerContext], int]
"""Serves until the lifeline in these settings closes; returns the exit code."""


@dataclass
class _Slot:
    """One worker, or the pending restart of one. Times are from time.monotonic."""

    number: int
    pid: int | None = None
    started: float = 0.0
    due: float = 0.0
    pause: float = RETRY_FIRST
    start_count: int = 0


class Supervisor:
    """Runs `work` in `settings.workers` processes. Forks, so it must run in a process without threads."""

    def __init__(self, settings: Settings, listeners: Listeners, work: Work) -> None:
        self._settings = settings
        self._listeners = listeners
        self._work = work
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(settings.workers)]
        self._inboxes = [inbox for inbox, _ in pairs]
        self._outboxes = [outbox for _, outbox in pairs]
        for end in (*self._inboxes, *self._outboxes):
            end.setblocking(False)
        self._slots = [_Slot(number) for number in range(settings.workers)]
        self._lifeline, self._lifeline_write = os.pipe()
        self._wakeup_read, self._wakeup_write = os.pipe()
        self._stopping = False
        self._failed = False
        # Under nohup, SIGHUP stays ignored, here and in the workers.
        nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._handled = [each for each in _SIGNALS if not (nohup and each == signal.SIGHUP)]

    def run(self) -> int:
        """Run until SIGTERM, SIGINT, SIGHUP or the end of our own lifeline. Returns the exit code: 0 if all workers
        exited cleanly and in time.
        """
        os.set_blocking(self._wakeup_read, False)
        os.set_blocking(self._wakeup_write, False)
        signal.set_wakeup_fd(self._wakeup_write)
        for number in self._handled:
            signal.signal(number, self._on_signal)
        while not self._stopping:
            for slot in self._slots:
                if slot.pid is None and slot.due <= time.monotonic():
                    self._start(slot)
            due = [slot.due for slot in self._slots if slot.pid is None]
            self._wait(min(due) - time.monotonic() if due else None)
            for slot, code in self._reap():
                self._handle_exit(slot, code)
        return self._shut_down()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Record a signal; `run` acts on it, woken by the wake-up pipe."""
        if number != signal.SIGCHLD:
            self._stopping = True

    def _wait(self, longest: float | None) -> None:
        """Wait for a signal, the end of our lifeline, or `longest` seconds."""
        poll = select.poll()
        poll.register(self._wakeup_read, select.POLLIN)
        lifeline = self._settings.lifeline_fd
        if lifeline is not None and not self._stopping:
            poll.register(lifeline, select.POLLIN)
        for ready, _ in poll.poll(None if longest is None else max(0, longest) * 1000):
            if not os.read(ready, 4096) and ready == lifeline:
                _log_line("The parent process has ended")
                self._stopping = True

    def _start(self, slot: _Slot) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        slot.started = time.monotonic()
        try:
            slot.pid = os.fork()
        except OSError as error:
            self._schedule_restart(slot, f"Worker {slot.number} cannot be started: {error.strerror}")
            return
        if slot.pid == 0:
            self._run_worker(slot.number)
        slot.start_count += 1
        _log_line(f"Worker {slot.number} started [{slot.pid}]")

    def _run_worker(self, number: int) -> None:
        """In the new process: run the worker, and never return."""
        code = COULD_NOT_START
        try:
            signal.set_wakeup_fd(-1)
            for each in self._handled:
                signal.signal(each, signal.SIG_DFL)
            os.close(self._wakeup_read)
            os.close(self._wakeup_write)
            os.close(self._lifeline_write)
            settings = replace(self._settings, lifeline_fd=self._lifeline)
            code = self._work(settings, WorkerContext(number, self._listeners, self._inboxes, self._outboxes))
        except BaseException:  # noqa: BLE001  # no exception may return into the supervisor's code
            sys.excepthook(*sys.exc_info())
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> list[tuple[_Slot, int]]:
        """The slots whose process has exited, with its exit code: negative for the signal that killed it."""
        exited: list[tuple[_Slot, int]] = []
        for slot in self._slots:
            if slot.pid is not None:
                pid, status = os.waitpid(slot.pid, os.WNOHANG)
                if pid:
                    exited.append((slot, os.waitstatus_to_exitcode(status)))
        return exited

    def _handle_exit(self, slot: _Slot, code: int) -> None:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        pid, slot.pid = slot.pid, None
        if self._stopping:
            return
        if slot.start_count == 1 and code == COULD_NOT_START:
            # Whatever stopped the first worker from starting would stop the next one, too.
            _log_line(f"Worker {slot.number} [{pid}] could not start", "ERROR")
            self._stopping = self._failed = True
            return
        if time.monotonic() - slot.started > HEALTHY:
            slot.pause = RETRY_FIRST
        self._schedule_restart(slot, f"Worker {slot.number} [{pid}] {how}")

    def _schedule_restart(self, slot: _Slot, why: str) -> None:
        _log_line(f"{why}; another one is started in {slot.pause:g} s", "WARNING")
        slot.due = time.monotonic() + slot.pause
        slot.pause = min(2 * slot.pause, RETRY_LONGEST)

    def _shut_down(self) -> int:
        """Stop all workers, and kill those that are still running after the grace time."""
        end = time.monotonic() + self._settings.grace
        self._listeners.close()
        # Not by a signal: from a terminal, or to a whole group, they have already got it, and a second forces the exit.
        os.close(self._lifeline_write)
        while running := [slot for slot in self._slots if slot.pid is not None]:
            if time.monotonic() >= end:
                break
            self._wait(end - time.monotonic())
            for slot, code in self._reap():
                slot.pid = None
                self._failed |= code not in (0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
        for slot in running:
            assert slot.pid is not None
            _log_line(f"Worker {slot.number} [{slot.pid}] did not end in time and is killed", "WARNING")
            os.kill(slot.pid, signal.SIGKILL)
            os.waitpid(slot.pid, 0)
            self._failed = True
        return 1 if self._failed else 0


def _log_line(text: str, level: str = "INFO") -> None:
    """Log to standard error, in the format of the workers' lines."""
    with suppress(OSError, ValueError):
        print(f"{level + ':':9} {text}", file=sys.stderr, flush=True)
