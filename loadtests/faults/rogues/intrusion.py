"""Attempts to be let in that must fail, again and again, counted by how they were answered."""

import asyncio
from abc import abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.scenario.fault_kinds import Value

from .attacked_chat import AttackedChat
from .rogue import CannotBeginError, Rogue
from .websocket import Dashboard, NotLetInError

Attempt = Callable[[], Awaitable[int]]
"""One attempt; the status of its answer, 101 for a WebSocket that was opened, 0 if there was no HTTP answer."""

_MOST_AT_ONCE = 100  # attempts without an answer yet


class Intrusion(Rogue):
    """Makes `attempts` attempts per second, in turn. It begins only if a proper handshake is let in."""

    def __init__(self, site: AttackedChat, values: Mapping[str, Value], tasks: asyncio.TaskGroup) -> None:
        super().__init__(site, values, tasks)
        self.statuses: Counter[int] = Counter()
        self.refused = 0
        self.let_in: Counter[str] = Counter()

    @abstractmethod
    def attempts(self) -> Mapping[str, Attempt]:
        """What is tried in turn, by what it is in words."""

    @abstractmethod
    def is_refusal(self, status: int) -> bool:
        """Whether this status says no for the right reason."""

    async def handshake(self, headers: Mapping[str, str], query: str = "", subprotocols: tuple[str, ...] = ()) -> int:
        """Attempts to open a WebSocket."""
        try:
            dashboard = await Dashboard.open(self.site, headers, query=query, subprotocols=subprotocols)
        except NotLetInError as error:
            return error.status
        await dashboard.close()
        return 101

    async def begin(self) -> None:
        try:
            await (await Dashboard.open(self.site)).close()
        except NotLetInError as error:
            raise CannotBeginError(
                f"expected a proper handshake to be let in (else refusals prove nothing), got {error}"
            ) from error
        self.start(self._go_on())

    async def end(self) -> Evidence:
        await self.stop()
        evidence: dict[str, float | str] = {
            "attempts": self.statuses.total(),
            "refused": self.refused,
            "let_in": self.let_in.total(),
            "statuses": ", ".join(f"{status or 'none'} ×{count}" for status, count in sorted(self.statuses.items())),
        }
        if self.let_in:
            evidence["let_in_with"] = ", ".join(f"{what} ×{count}" for what, count in sorted(self.let_in.items()))
        return {key: value for key, value in evidence.items() if value != ""}

    async def _go_on(self) -> None:
        attempts = list(self.attempts().items())
        free = asyncio.Semaphore(_MOST_AT_ONCE)
        number = 0
        async with asyncio.TaskGroup() as group:
            while True:
                await free.acquire()
                group.create_task(self._attempt(*attempts[number % len(attempts)])).add_done_callback(
                    lambda _: free.release()
                )
                number += 1
                await asyncio.sleep(1 / self.number("attempts"))

    async def _attempt(self, what: str, attempt: Attempt) -> None:
        status = await attempt()
        self.statuses[status] += 1
        if status == 101 or 200 <= status < 300:
            self.let_in[what] += 1
        elif self.is_refusal(status):
            self.refused += 1
