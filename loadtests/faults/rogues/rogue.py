"""What a rogue is: clients of one kind that behave badly on purpose, all in this process.

A kind of rogue is a subclass of Rogue in a file of this folder, and a row in ROGUES. The process makes one, calls
`begin`, says so, and calls `end` when it is told to stop.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from typing import ClassVar

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.scenario.fault_kinds import Value

from .attacked_chat import AttackedChat


class CannotBeginError(Exception):
    """The fault cannot be brought about. The text says what was expected and what came."""


class Rogue(ABC):
    """Clients that behave badly. `begin` is called once, then `end`, also if `begin` is not through yet."""

    needs_token: ClassVar[bool] = False
    """Whether it proves nothing unless dashboards are let in with a token only."""

    def __init__(self, site: AttackedChat, values: Mapping[str, Value], tasks: asyncio.TaskGroup) -> None:
        """`values` has all of `parameters`. An error in one of `tasks` ends the process, and no evidence is given."""
        self.site = site
        self.values = values
        self._tasks = tasks
        self._mine: list[asyncio.Task[None]] = []

    def number(self, key: str) -> float:
        """A parameter that is a number."""
        value = self.values[key]
        assert isinstance(value, (int, float))
        return value

    def count(self, key: str) -> int:
        """A parameter that is a whole number."""
        return int(self.number(key))

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Has something done from now on, until `stop`."""
        self._mine.append(self._tasks.create_task(work))

    async def stop(self) -> None:
        """Ends all that was started, and waits until it has ended."""
        for task in self._mine:
            task.cancel()
        if self._mine:
            await asyncio.wait(self._mine)

    @abstractmethod
    async def begin(self) -> None:
        """Returns once the fault is in force, which must not take 25 s. Raises CannotBeginError."""

    @abstractmethod
    async def end(self) -> Evidence:
        """Closes everything, in a few seconds. Returns what was done: all 0 and empty if nothing was."""
