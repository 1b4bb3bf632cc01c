"""Holds many connections open at once, and reopens each one that the server closes."""

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Mapping

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.scenario.fault_kinds import Value

from .attacked_chat import AttackedChat, NotLetInError, why
from .rogue import CannotBeginError, Rogue
from .tcp import TcpConnection

_BEGIN_TIMEOUT = 20.0  # seconds after which it counts as begun even if some connections were not tried yet
_RETRY_DELAY = 1.0  # seconds before a connection that ended or failed is opened again


class HeldConnections(Rogue):
    """Holds `connections` connections. Has begun once each was tried, provided that at least one opened."""

    def __init__(self, chat: AttackedChat, values: Mapping[str, Value], tasks: asyncio.TaskGroup) -> None:
        super().__init__(chat, values, tasks)
        self.opened = 0
        self.closed_by_server = 0
        self.refused = 0  # attempts that failed, for whatever reason
        self.open = 0
        self.open_at_most = 0
        self._untried = self.count("connections")
        self._all_tried = asyncio.Event()
        self._why_refused = "no answer"
        self._next_open = 0.0

    @property
    def per_second(self) -> float:
        """The maximum rate at which connections are opened."""
        return 200.0

    async def begin(self) -> None:
        for number in range(self._untried):
            self.start(self._maintain(number))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BEGIN_TIMEOUT):
                await self._all_tried.wait()
        if self.opened == 0:
            raise CannotBeginError(f"expected connections to be accepted, got none: {self._why_refused}")

    async def end(self) -> Evidence:
        open_at_end = self.open
        await self.stop()
        return {
            "opened": self.opened,
            "closed_by_server": self.closed_by_server,
            "refused": self.refused,
            "open_at_most": self.open_at_most,
            "open_at_end": open_at_end,
        }

    @abstractmethod
    async def connect(self, number: int) -> TcpConnection:
        """Opens connection `number`. Raises OSError or NotLetInError."""

    @abstractmethod
    async def hold(self, number: int, connection: TcpConnection) -> None:
        """Misbehaves on it, and returns once the server has ended it. Raises OSError if a write shows that it has."""

    async def _maintain(self, number: int) -> None:
        tried = False
        while True:
            await self._await_turn()
            connection = await self._open(number)
            if not tried:
                tried = True
                self._untried -= 1
                if self._untried == 0:
                    self._all_tried.set()
            if connection is not None:
                await self._hold_counted(number, connection)
            await asyncio.sleep(_RETRY_DELAY)

    async def _await_turn(self) -> None:
        now = asyncio.get_running_loop().time()
        self._next_open = max(now, self._next_open + 1 / self.per_second)
        await asyncio.sleep(self._next_open - now)

    async def _open(self, number: int) -> TcpConnection | None:
        try:
            connection = await self.connect(number)
        except (OSError, NotLetInError) as error:
            self.refused += 1
            self._why_refused = why(error) if isinstance(error, OSError) else str(error)
            return None
        self.opened += 1
        return connection

    async def _hold_counted(self, number: int, connection: TcpConnection) -> None:
        self.open += 1
        self.open_at_most = max(self.open_at_most, self.open)
        try:
            with contextlib.suppress(OSError):
                await self.hold(number, connection)
            self.closed_by_server += 1
        finally:
            self.open -= 1
            connection.close()
