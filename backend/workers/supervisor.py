"""Several workers: a process that answers nobody itself, binds the sockets once, and keeps N workers alive on them.

    supervisor ── fork ─► worker 0 ─┐  all accept from the same listening sockets, so while one is missing
         │                worker 1 ─┤  the others take its share; each has its own loop, store and dashboards
         │                worker 2 ─┘
         └── writing end of a pipe that every worker reads: when it closes, all end, also if this process was killed

It imports nothing heavy and opens no database, so that there is next to nothing in it that could fail.
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
"""The exit code of a worker that never got to serve."""

RETRY_FIRST: Final = 0.1
RETRY_LONGEST: Final = 5.0
HEALTHY: Final = 10.0
"""Seconds after which a worker's end is no more held against it: the next one starts almost at once."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@dataclass(frozen=True)
class WorkerPlace:
    """What a worker gets: its number, the sockets to accept on, and those over which workers hear each other."""

    number: int
    listeners: Listeners
    inboxes: list[socket.socket]
    outboxes: list[socket.socket]


Work = Callable[[Settings, WorkerPlace], int]
"""Serve until the lifeline in these settings closes; returns the exit code."""


@dataclass
class _Slot:
    """One worker, or the wait for the next one with its number. Times are time.monotonic's."""

    number: int
    pid: int | None = None
    started: float = 0.0
    due: float = 0.0
    pause: float = RETRY_FIRST
    starts: int = 0


class Supervisor:
    """Runs `work` in `settings.workers` processes. To be used in a process without threads."""

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
        self._lifeline, self._lifeline_end = os.pipe()
        self._wake, self._wake_end = os.pipe()
        self._stopping = False
        self._failed = False
        # Under nohup SIGHUP is ignored, and stays so, here and in the workers.
        nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._handled = [each for each in _SIGNALS if not (nohup and each == signal.SIGHUP)]

    def run(self) -> int:
        """Until SIGTERM, SIGINT, SIGHUP or the end of our own lifeline. The exit code is 0 if all ended well and in
        time.
        """
        os.set_blocking(self._wake, False)
        os.set_blocking(self._wake_end, False)
        signal.set_wakeup_fd(self._wake_end)
        for number in self._handled:
            signal.signal(number, self._note)
        while not self._stopping:
            for slot in self._slots:
                if slot.pid is None and slot.due <= time.monotonic():
                    self._start(slot)
            due = [slot.due for slot in self._slots if slot.pid is None]
            self._wait(min(due) - time.monotonic() if due else None)
            for slot, code in self._ended():
                self._replace(slot, code)
        return self._end()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        """A signal has come: what it means is looked at in `run`, which it has woken."""
        if number != signal.SIGCHLD:
            self._stopping = True

    def _wait(self, longest: float | None) -> None:
        """Until a signal comes, our lifeline ends, or `longest` seconds are over."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        lifeline = self._settings.lifeline_fd
        if lifeline is not None and not self._stopping:
            poll.register(lifeline, select.POLLIN)
        for ready, _ in poll.poll(None if longest is None else max(0, longest) * 1000):
            if not os.read(ready, 4096) and ready == lifeline:
                _say("The parent process has ended")
                self._stopping = True

    def _start(self, slot: _Slot) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        slot.started = time.monotonic()
        try:
            slot.pid = os.fork()
        except OSError as error:
            self._later(slot, f"Worker {slot.number} cannot be started: {error.strerror}")
            return
        if slot.pid == 0:
            self._become(slot.number)
        slot.starts += 1
        _say(f"Worker {slot.number} started [{slot.pid}]")

    def _become(self, number: int) -> None:
        """In the new process: be a worker, and never come back."""
        code = COULD_NOT_START
        try:
            signal.set_wakeup_fd(-1)
            for each in self._handled:
                signal.signal(each, signal.SIG_DFL)
            os.close(self._wake)
            os.close(self._wake_end)
            os.close(self._lifeline_end)
            settings = replace(self._settings, lifeline_fd=self._lifeline)
            code = self._work(settings, WorkerPlace(number, self._listeners, self._inboxes, self._outboxes))
        except BaseException:  # noqa: BLE001  # whatever it is, it must not come back into the supervisor's code
            sys.excepthook(*sys.exc_info())
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _ended(self) -> list[tuple[_Slot, int]]:
        """Those whose process has ended, with its exit code, which is minus the number of a signal that killed it."""
        ended: list[tuple[_Slot, int]] = []
        for slot in self._slots:
            if slot.pid is not None:
                pid, status = os.waitpid(slot.pid, os.WNOHANG)
                if pid:
                    ended.append((slot, os.waitstatus_to_exitcode(status)))
        return ended

    def _replace(self, slot: _Slot, code: int) -> None:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        pid, slot.pid = slot.pid, None
        if self._stopping:
            return
        if slot.starts == 1 and code == COULD_NOT_START:
            # What keeps a first worker from starting would keep the next one.
            _say(f"Worker {slot.number} [{pid}] could not start", "ERROR")
            self._stopping = self._failed = True
            return
        if time.monotonic() - slot.started > HEALTHY:
            slot.pause = RETRY_FIRST
        self._later(slot, f"Worker {slot.number} [{pid}] {how}")

    def _later(self, slot: _Slot, why: str) -> None:
        _say(f"{why}; another one is started in {slot.pause:g} s", "WARNING")
        slot.due = time.monotonic() + slot.pause
        slot.pause = min(2 * slot.pause, RETRY_LONGEST)

    def _end(self) -> int:
        """Tell all workers to end, and kill what has not when the grace time is over."""
        end = time.monotonic() + self._settings.grace
        self._listeners.close()
        # Not by a signal: in a terminal, or where a group is signalled, they have had it already, and two mean haste.
        os.close(self._lifeline_end)
        while running := [slot for slot in self._slots if slot.pid is not None]:
            if time.monotonic() >= end:
                break
            self._wait(end - time.monotonic())
            for slot, code in self._ended():
                slot.pid = None
                self._failed |= code not in (0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
        for slot in running:
            assert slot.pid is not None
            _say(f"Worker {slot.number} [{slot.pid}] did not end in time and is killed", "WARNING")
            os.kill(slot.pid, signal.SIGKILL)
            os.waitpid(slot.pid, 0)
            self._failed = True
        return 1 if self._failed else 0


def _say(text: str, level: str = "INFO") -> None:
    """Into the log, in the shape of the workers' own lines."""
    with suppress(OSError, ValueError):
        print(f"{level + ':':9} {text}", file=sys.stderr, flush=True)
