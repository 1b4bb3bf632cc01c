"""When dashboards refetch, without a greenlet for each that waits: a waiting greenlet takes 9 KB."""

import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent import get_hub
from gevent.hub import Waiter

_MOST_IDLE = 100  # a burst, such as all dashboards reconnecting, must not leave one for each

Job = Callable[[], object]


class Crew:
    """Greenlets that run one job after another: a new greenlet for each job would cost more than the switch to it."""

    def __init__(self) -> None:
        self._idle: list[Waiter[Job]] = []

    def run(self, job: Job) -> None:
        """Begins a job soon, which must not raise."""
        if self._idle:
            get_hub().loop.run_callback(self._idle.pop().switch, job)
        else:
            gevent.spawn(self._work, job)

    def _work(self, job: Job) -> None:
        job()
        while len(self._idle) < _MOST_IDLE:
            waiter: Waiter[Job] = Waiter()
            self._idle.append(waiter)
            waiter.get()()


class Refetcher:
    """One dashboard's refetches: one in flight, at most one waiting, no more often than every `interval` seconds."""

    def __init__(self, crew: Crew, interval: float, refetch: Job) -> None:
        """`refetch` must not raise."""
        self._crew = crew
        self._interval = interval
        self._refetch = refetch
        self._wanted = self._busy = False  # busy: in flight, or waiting for its time
        self._last = 0.0
        self._timer: Any = get_hub().loop.timer(0)
        self._stopped = False

    def want(self, _count: int = 1) -> None:
        """Frames have announced messages: refetches as soon as that is allowed. Nothing here waits."""
        if not self._wanted:
            self._wanted = True
            if not self._busy:
                self._wait()

    def stop(self) -> None:
        """No more refetches begin."""
        self._stopped = True
        self._timer.close()

    def _wait(self) -> None:
        """Begins the next refetch when it is allowed, from the event loop."""
        if self._stopped:
            return
        self._busy = True
        self._timer.close()
        self._timer = get_hub().loop.timer(max(0.0, self._last + self._interval - time.monotonic()))
        self._timer.start(self._crew.run, self._run, update=True)  # the loop knows the time of its last event

    def _run(self) -> None:
        # A frame that comes from here on may announce a message that this refetch does not show.
        self._wanted = False
        self._last = time.monotonic()
        self._refetch()
        self._busy = False
        if self._wanted:
            self._wait()
