"""WebSockets on which nobody ever says a word."""

import asyncio
from collections.abc import Mapping

from chatswarm.loadtests.scenario.fault_kinds import Value

from .attacked_chat import AttackedChat
from .held_connections import HeldConnections
from .tcp import TcpConnection
from .websocket import Dashboard


class IdleSockets(HeldConnections):
    """Completes the handshake and then only answers the protocol's own pings."""

    def __init__(self, site: AttackedChat, values: Mapping[str, Value], tasks: asyncio.TaskGroup) -> None:
        super().__init__(site, values, tasks)
        self._dashboards: dict[int, Dashboard] = {}

    async def connect(self, number: int) -> TcpConnection:
        dashboard = await Dashboard.open(self.site)
        self._dashboards[number] = dashboard
        return dashboard.pipe

    async def hold(self, number: int, pipe: TcpConnection) -> None:
        del pipe
        while await self._dashboards[number].drain(3600) is None:
            pass
