"""WebSockets on which nobody ever says a word."""

import asyncio
from collections.abc import Mapping

from chatswarm.loadtests.fault_kinds import Value

from .crowd import Crowd
from .dashboard import Dashboard
from .pipe import Pipe
from .site import Site


class IdleSockets(Crowd):
    """Completes the handshake and then only answers the protocol's own pings."""

    def __init__(self, site: Site, values: Mapping[str, Value], tasks: asyncio.TaskGroup) -> None:
        super().__init__(site, values, tasks)
        self._dashboards: dict[int, Dashboard] = {}

    async def connect(self, number: int) -> Pipe:
        dashboard = await Dashboard.open(self.site)
        self._dashboards[number] = dashboard
        return dashboard.pipe

    async def hold(self, number: int, pipe: Pipe) -> None:
        del pipe
        while await self._dashboards[number].drain(3600) is None:
            pass
