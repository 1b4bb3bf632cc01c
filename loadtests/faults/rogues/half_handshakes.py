"""Clients that never finish what they ask."""

import asyncio
import base64
import secrets

from chatswarm.loadtests.protocols.protocol import Request

from .held_connections import HeldConnections
from .tcp import TcpConnection

_UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}


class HalfHandshakes(HeldConnections):
    """Sends half of a WebSocket handshake, or of a request for the list, and then a byte now and then, without end."""

    async def connect(self, number: int) -> TcpConnection:
        pipe = await self.site.connect()
        try:
            await pipe.write(self._half(number))
        except BaseException:
            pipe.close()
            raise
        return pipe

    async def hold(self, number: int, pipe: TcpConnection) -> None:
        del number
        dripping = asyncio.create_task(self._drip(pipe))
        try:
            while await pipe.read() is not None:
                pass
        finally:
            dripping.cancel()
            await asyncio.wait([dripping])

    def _half(self, number: int) -> bytes:
        if number % 2:
            head = self.site.head(self.site.target.list_chats())
        else:
            key = {"Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode()}
            head = self.site.head(Request("GET", self.site.target.socket_path, headers={**_UPGRADE, **key}))
        # Whatever comes after this belongs to a header that never ends.
        return head.removesuffix(b"\r\n") + b"X-More: "

    async def _drip(self, pipe: TcpConnection) -> None:
        try:
            while True:
                await asyncio.sleep(self.number("drip"))
                await pipe.write(b"x")
        except OSError:
            return  # that it has ended shows in reading
