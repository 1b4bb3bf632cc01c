"""Reads the clocks of processes on other machines, before and after the run."""

import time
from collections.abc import Callable, Iterable

import gevent

from .clock_offset import ClockOffset, Exchange, estimate

_EXCHANGES = 20
_PAUSE = 0.02  # seconds between two exchanges


class ClockSync:
    """The clocks that are not this machine's. `ask(client, sent)` requests a reading from a process."""

    def __init__(self, ask: Callable[[str, float], None]) -> None:
        self._ask = ask
        self._clients: dict[str, str] = {}
        self._exchanges: dict[str, list[Exchange]] = {}

    def add(self, process: str, client: str) -> None:
        """Adds a process with another clock."""
        self._clients[process] = client

    def answered(self, process: str, sent: float, there: float) -> None:
        """A process sent what its clock showed."""
        if process in self._exchanges:
            self._exchanges[process].append(Exchange(sent, there, time.monotonic()))

    def measure(self, gone: Iterable[str]) -> dict[str, ClockOffset | None]:
        """The current offset of each clock; None for a process that did not reply. Skips processes that are gone."""
        there = {process: client for process, client in self._clients.items() if process not in set(gone)}
        self._exchanges = {process: [] for process in there}
        for _ in range(_EXCHANGES if there else 0):
            for client in there.values():
                self._ask(client, time.monotonic())
            gevent.sleep(_PAUSE)
        return {process: estimate(said) if said else None for process, said in self._exchanges.items()}
