"""Clients that never finish their request."""

import asyncio
import base64
import secrets

from chatswarm.loadtests.protocols.protocol import Request, User

from .held_connections import HeldConnections
from .tcp import TcpConnection

_UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}


class HalfHandshakes(HeldConnections):
    """Sends half of a WebSocket handshake, or of a read, then drips single bytes without end."""

    async def connect(self, number: int) -> TcpConnection:
        user = await self.chat.member()
        connection = await self.chat.connect()
        try:
            await connection.write(await self._half(number, user))
        except BaseException:
            connection.close()
            raise
        return connection

    async def hold(self, number: int, connection: TcpConnection) -> None:
        del number
        drip = asyncio.create_task(self._drip(connection))
        try:
            while await connection.read() is not None:
                pass
        finally:
            drip.cancel()
            await asyncio.wait([drip])

    async def _half(self, number: int, user: User) -> bytes:
        request = self.chat.reading(user) if number % 2 else None
        if request is None:
            key = {"Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode()}
            request = Request("GET", (await self.chat.handshake(user)).path, headers={**_UPGRADE, **key})
        head = self.chat.head(request)
        # The bytes that follow belong to a header that never ends.
        return head.removesuffix(b"\r\n") + b"X-More: "

    async def _drip(self, connection: TcpConnection) -> None:
        try:
            while True:
                await asyncio.sleep(self.number("drip"))
                await connection.write(b"x")
        except OSError:
            return  # the reader notices that the connection has ended
