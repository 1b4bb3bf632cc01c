"""WebSockets that are opened and then never used."""

import asyncio
from collections.abc import Mapping

from chatswarm.loadtests.scenario.fault_kinds import Value

from .attacked_chat import AttackedChat
from .held_connections import HeldConnections
from .tcp import TcpConnection
from .websocket import Dashboard


class IdleSockets(HeldConnections):
    """Completes the handshake, then only answers WebSocket pings."""

    def __init__(self, chat: AttackedChat, values: Mapping[str, Value], tasks: asyncio.TaskGroup) -> None:
        super().__init__(chat, values, tasks)
        self._dashboards: dict[int, Dashboard] = {}

    async def connect(self, number: int) -> TcpConnection:
        dashboard = await Dashboard.open(self.chat)
        self._dashboards[number] = dashboard
        return dashboard.connection

    async def hold(self, number: int, connection: TcpConnection) -> None:
        del connection
        while await self._dashboards[number].drain(3600) is None:
            pass
