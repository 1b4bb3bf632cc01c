"""A flood of TCP connections that send nothing."""

import resource

from .held_connections import HeldConnections
from .rogue import CannotBeginError
from .tcp import TcpConnection

_PER_SOURCE = 10_000  # connections from each loopback address, which has 28,000 ephemeral ports
_OTHER_FILES = 50  # open files besides the connections


class ConnectionFlood(HeldConnections):
    """Opens many plain TCP connections, even to a target with TLS, and keeps them open without sending anything."""

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
        # Starts at 127.0.0.2, which leaves the ports of 127.0.0.1 to the measured users.
        return await self.chat.connect_plain(source=f"127.0.0.{2 + number // _PER_SOURCE % 250}")

    async def hold(self, number: int, connection: TcpConnection) -> None:
        del number
        while await connection.read() is not None:
            pass
