"""Many connections that are held at once, and opened anew when the server closes them."""

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Mapping

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.scenario.fault_kinds import Value

from .attacked_chat import AttackedChat, why
from .rogue import CannotBeginError, Rogue
from .tcp import TcpConnection
from .websocket import NotLetInError

_BEGINNING = 20.0  # seconds after which it has begun though not all were tried
_AGAIN = 1.0  # seconds before a connection that ended or failed is opened anew


class HeldConnections(Rogue):
    """Holds `connections` connections. It has begun when each was tried once, if any was taken."""

    def __init__(self, site: AttackedChat, values: Mapping[str, Value], tasks: asyncio.TaskGroup) -> None:
        super().__init__(site, values, tasks)
        self.opened = 0
        self.closed_by_server = 0
        self.refused = 0  # attempts that came to nothing, for whatever reason
        self.open = 0
        self.open_at_most = 0
        self._untried = self.count("connections")
        self._all_tried = asyncio.Event()
        self._why_refused = "no answer"
        self._next_turn = 0.0

    @property
    def per_second(self) -> float:
        """So many connections are opened in a second at the most."""
        return 200.0

    async def begin(self) -> None:
        for number in range(self._untried):
            self.start(self._keep(number))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BEGINNING):
                await self._all_tried.wait()
        if self.opened == 0:
            raise CannotBeginError(f"expected connections to be taken, got none of them: {self._why_refused}")

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
    async def hold(self, number: int, pipe: TcpConnection) -> None:
        """Misbehaves on it; returns when the server has ended it. Raises OSError if that shows in writing."""

    async def _keep(self, number: int) -> None:
        tried = False
        while True:
            await self._turn()
            pipe = await self._try(number)
            if not tried:
                tried = True
                self._untried -= 1
                if self._untried == 0:
                    self._all_tried.set()
            if pipe is not None:
                await self._held(number, pipe)
            await asyncio.sleep(_AGAIN)

    async def _turn(self) -> None:
        now = asyncio.get_running_loop().time()
        self._next_turn = max(now, self._next_turn + 1 / self.per_second)
        await asyncio.sleep(self._next_turn - now)

    async def _try(self, number: int) -> TcpConnection | None:
        try:
            pipe = await self.connect(number)
        except (OSError, NotLetInError) as error:
            self.refused += 1
            self._why_refused = why(error) if isinstance(error, OSError) else str(error)
            return None
        self.opened += 1
        return pipe

    async def _held(self, number: int, pipe: TcpConnection) -> None:
        self.open += 1
        self.open_at_most = max(self.open_at_most, self.open)
        try:
            with contextlib.suppress(OSError):
                await self.hold(number, pipe)
            self.closed_by_server += 1
        finally:
            self.open -= 1
            pipe.close()
