"""Repeats attempts at access that the chat must refuse, and counts how it responds."""

import asyncio
from abc import abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.protocols.protocol import Handshake
from chatswarm.loadtests.scenario.fault_kinds import Value

from .attacked_chat import AttackedChat, NotLetInError
from .rogue import CannotBeginError, Rogue
from .websocket import Dashboard

Attempt = Callable[[], Awaitable[int]]
"""Makes one attempt. Returns the HTTP status: 101 if a WebSocket opened, 0 without an HTTP response."""

_MAX_PENDING = 100  # attempts without a response yet


class Intrusion(Rogue):
    """Makes `attempts` attempts per second, each kind in turn. Begins only if a proper handshake succeeds."""

    def __init__(self, chat: AttackedChat, values: Mapping[str, Value], tasks: asyncio.TaskGroup) -> None:
        super().__init__(chat, values, tasks)
        self.statuses: Counter[int] = Counter()
        self.refused = 0
        self.let_in: Counter[str] = Counter()
        self.proper = Handshake("")
        """The handshake of a proper dashboard, known once it has begun."""

    @abstractmethod
    def attempts(self) -> Mapping[str, Attempt]:
        """The kinds of attempts, by their description."""

    @abstractmethod
    def is_refusal(self, status: int) -> bool:
        """Whether this status is a refusal for the right reason."""

    async def handshake(self, handshake: Handshake) -> int:
        """Attempts to open a WebSocket. Returns the HTTP status."""
        try:
            dashboard = await Dashboard.open(self.chat, handshake)
        except NotLetInError as error:
            return error.status
        await dashboard.close()
        return 101

    async def begin(self) -> None:
        try:
            self.proper = await self.chat.handshake(await self.chat.member())
            await (await Dashboard.open(self.chat)).close()
        except NotLetInError as error:
            raise CannotBeginError(
                f"expected a proper handshake to be accepted (else refusals prove nothing), got {error}"
            ) from error
        self.start(self._repeat())

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

    async def _repeat(self) -> None:
        attempts = list(self.attempts().items())
        slots = asyncio.Semaphore(_MAX_PENDING)
        number = 0
        async with asyncio.TaskGroup() as group:
            while True:
                await slots.acquire()
                group.create_task(self._attempt(*attempts[number % len(attempts)])).add_done_callback(
                    lambda _: slots.release()
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
