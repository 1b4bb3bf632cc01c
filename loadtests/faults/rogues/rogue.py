"""The base class of rogues: clients of one kind that misbehave on purpose, all in one process.

A kind of rogue is a subclass of Rogue in this folder, and a row in KINDS. The process makes one, calls `begin`, reports
that it has begun, and calls `end` when it is told to stop.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from typing import ClassVar

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.scenario.fault_kinds import Value

from .attacked_chat import AttackedChat


class CannotBeginError(Exception):
    """The rogue cannot begin. The text says what was expected and what came."""


class Rogue(ABC):
    """Clients that misbehave. `begin` is called once, then `end`, even if `begin` was cancelled."""

    needs_token: ClassVar[bool] = False
    """Whether it proves nothing unless the target asks dashboards for a token."""
    needs_members: ClassVar[bool] = False
    """Whether it proves nothing unless the target's rooms have members."""

    def __init__(self, chat: AttackedChat, values: Mapping[str, Value], tasks: asyncio.TaskGroup) -> None:
        """`values`: a value for each parameter. An error in one of `tasks` ends the process without evidence."""
        self.chat = chat
        self.values = values
        self._tasks = tasks
        self._started: list[asyncio.Task[None]] = []

    def number(self, key: str) -> float:
        """The value of a numeric parameter."""
        value = self.values[key]
        assert isinstance(value, (int, float))
        return value

    def count(self, key: str) -> int:
        """The value of an integer parameter."""
        return int(self.number(key))

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Runs `work` in the background until `stop`."""
        self._started.append(self._tasks.create_task(work))

    async def stop(self) -> None:
        """Cancels all background work, and waits until it has ended."""
        for task in self._started:
            task.cancel()
        if self._started:
            await asyncio.wait(self._started)

    @abstractmethod
    async def begin(self) -> None:
        """Returns once the fault is in force, within 25 s. Raises CannotBeginError."""

    @abstractmethod
    async def end(self) -> Evidence:
        """Closes everything within a few seconds. Returns the evidence: all 0 and empty if nothing was done."""
