"""TCP connections that send nothing."""

import resource

from .held_connections import HeldConnections
from .rogue import CannotBeginError
from .tcp import TcpConnection

_PER_SOURCE = 10_000  # connections from one loopback address: a system gives out 28,000 ports for each
_OTHER_FILES = 50


class ConnectionFlood(HeldConnections):
    """Opens very many plain TCP connections, also where the target has TLS, and keeps them open without a word."""

    @property
    def per_second(self) -> float:
        return self.number("rate")

    async def begin(self) -> None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        needed = self.count("connections") + _OTHER_FILES
        if limit != resource.RLIM_INFINITY and limit < needed:
            raise CannotBeginError(f"expected a limit of at least {needed} open files, got {limit}: raise `ulimit -n`")
        await super().begin()

    async def connect(self, number: int) -> TcpConnection:
        # From 127.0.0.2 on, so that the measured users keep the ports of 127.0.0.1.
        return await self.site.connect_plainly(source=f"127.0.0.{2 + number // _PER_SOURCE % 250}")

    async def hold(self, number: int, pipe: TcpConnection) -> None:
        del number
        while await pipe.read() is not None:
            pass
