"""Handshakes and list requests without a valid token."""

import base64
import secrets
from collections.abc import Mapping
from functools import partial
from urllib.parse import quote

from chatswarm.loadtests.protocols import ChatProtocol

from .intrusion import Attempt, Intrusion
from .rogue import CannotBeginError


class BadToken(Intrusion):
    """Attempts handshakes and list requests without a token, with a wrong one, and with the right one in the URL,
    where a chat must not accept it because URLs are logged. HTTP 401 and 403 are refusals.
    """

    needs_token = True

    async def begin(self) -> None:
        if self.chat.token is None:
            raise CannotBeginError("expected a token that admits dashboards, got none: nobody would be refused")
        await super().begin()
        if not 200 <= (status := await self._list(self.chat.protocol)) < 300:
            got = f"HTTP {status}" if status else "no HTTP answer"
            raise CannotBeginError(f"expected the list for the right token, got {got}")

    def attempts(self) -> Mapping[str, Attempt]:
        wrong_token = secrets.token_urlsafe(24)
        wrong, without = self.chat.make_protocol(wrong_token), self.chat.make_protocol(None)
        encoded = base64.urlsafe_b64encode(wrong_token.encode()).decode().rstrip("=")
        right_token = quote(self.chat.token or "")
        return {
            "socket without a token": partial(self.handshake, without.socket_headers),
            "list without a token": partial(self._list, without),
            "socket with a wrong token": partial(self.handshake, wrong.socket_headers),
            "list with a wrong token": partial(self._list, wrong),
            "socket with a wrong token as subprotocol": partial(
                self.handshake, without.socket_headers, subprotocols=("chatswarm", f"bearer.{encoded}")
            ),
            "socket with the token in its URL": partial(
                self.handshake, without.socket_headers, query=f"?token={right_token}&access_token={right_token}"
            ),
        }

    def is_refusal(self, status: int) -> bool:
        return status in (401, 403)

    async def _list(self, protocol: ChatProtocol) -> int:
        try:
            return await self.chat.status(protocol.list_chats())
        except OSError:
            return 0
