"""Handshakes and reads without a valid token."""

import asyncio
import base64
import secrets
from collections.abc import Mapping
from functools import partial
from urllib.parse import quote

from chatswarm.loadtests.protocols import TOKEN
from chatswarm.loadtests.protocols.protocol import Handshake, Kind, Request

from .attacked_chat import NotLetInError
from .intrusion import Attempt, Intrusion
from .rogue import CannotBeginError
from .websocket import Dashboard, EndedError

_CREDENTIALS = ("authorization", "cookie")
_GREETING = 2.0  # seconds: a chat that also takes a token after the handshake greets a user it lets in within them


class BadToken(Intrusion):
    """Attempts handshakes and reads without a token, with a wrong one, and, if all dashboards share one, with the right
    one in the URL, where a chat must not accept it because URLs are logged. HTTP 401 and 403 are refusals.
    """

    needs_token = True

    async def begin(self) -> None:
        if not self.chat.token and not self.chat.protocol.promises.has_members:
            raise CannotBeginError("expected a token that admits dashboards, got none: nobody would be refused")
        await super().begin()
        reading = self.chat.reading(await self.chat.member())
        if reading is not None and not 200 <= (status := await self._read(reading)) < 300:
            got = f"HTTP {status}" if status else "no HTTP answer"
            what = "the list" if self.chat.protocol.promises.visible == "refetch" else "a room"
            raise CannotBeginError(f"expected {what} for the right token, got {got}")

    def attempts(self) -> Mapping[str, Attempt]:
        chat = self.chat
        wrong_token = secrets.token_urlsafe(24)
        impostor = chat.make_protocol({TOKEN: wrong_token})
        user = impostor.user("dashboard", 0, chat.run, {"name": f"rogue-0.{chat.run}", "token": wrong_token})
        wrong = impostor.handshake(user)
        attempts: dict[str, Attempt] = {
            "socket without a token": partial(self._connect, _without_credentials(wrong)),
            "socket with a wrong token": partial(self._connect, wrong),
        }
        if chat.token:
            attempts |= self._in_other_places(_without_credentials(wrong), wrong_token)
        if chat.protocol.promises.visible == "refetch":
            what, reading = "list", impostor.list_chats(user)
        elif chat.rooms:
            what, reading = "room", impostor.whole_chat(user, chat.rooms[0])
        else:
            return attempts
        bare = {name: value for name, value in reading.headers.items() if name.lower() not in _CREDENTIALS}
        attempts[f"{what} without a token"] = partial(self._read, Request(reading.method, reading.path, headers=bare))
        attempts[f"{what} with a wrong token"] = partial(self._read, reading)
        return attempts

    def is_refusal(self, status: int) -> bool:
        return status in (401, 403)

    def _in_other_places(self, without: Handshake, wrong_token: str) -> dict[str, Attempt]:
        encoded = base64.urlsafe_b64encode(wrong_token.encode()).decode().rstrip("=")
        subprotocols, right = ("chatswarm", f"bearer.{encoded}"), quote(self.chat.token)
        path = f"{without.path}?token={right}&access_token={right}"
        return {
            "socket with a wrong token as subprotocol": partial(
                self._connect, without._replace(subprotocols=subprotocols)
            ),
            "socket with the token in its URL": partial(self._connect, without._replace(path=path)),
        }

    async def _connect(self, handshake: Handshake) -> int:
        """Attempts to open a WebSocket. Where each user has its own token, it may still come after the handshake,
        so only a user that is greeted has been let in.
        """
        if self.chat.token:
            return await self.handshake(handshake)
        try:
            dashboard = await Dashboard.open(self.chat, handshake)
        except NotLetInError as error:
            return error.status
        try:
            async with asyncio.timeout(_GREETING):
                while (await dashboard.receive()).kind not in (Kind.SUBSCRIBED, Kind.JOINED, Kind.MESSAGE):
                    pass
        except (EndedError, TimeoutError):
            return 401
        finally:
            await dashboard.close()
        return 101

    async def _read(self, request: Request) -> int:
        try:
            return await self.chat.status(request)
        except OSError:
            return 0


def _without_credentials(handshake: Handshake) -> Handshake:
    """The same handshake, without headers and subprotocols that say who the user is."""
    return Handshake(
        handshake.path.partition("?")[0],
        {name: value for name, value in handshake.headers.items() if name.lower() not in _CREDENTIALS},
        [name for name in handshake.subprotocols if not name.startswith("bearer.")],
    )
