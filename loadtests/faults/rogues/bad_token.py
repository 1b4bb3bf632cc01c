"""Somebody without a good token: dashboards' handshakes and reads of the list."""

import base64
import secrets
from collections.abc import Mapping
from functools import partial
from urllib.parse import quote

from chatswarm.loadtests.protocols import ChatProtocol

from .intrusion import Attempt, Intrusion
from .rogue import CannotBeginError


class BadToken(Intrusion):
    """Attempts handshakes and reads of the list without the token, with a wrong one, and with the right one in the
    URL, where a token must not be taken from because URLs are logged. HTTP 401 and 403 refuse them.
    """

    needs_token = True

    async def begin(self) -> None:
        if self.site.token is None:
            raise CannotBeginError("expected a token that lets dashboards in, got none: nobody would be refused")
        await super().begin()
        if not 200 <= (status := await self._list(self.site.target)) < 300:
            got = f"HTTP {status}" if status else "no HTTP answer"
            raise CannotBeginError(f"expected the list for the right token, got {got}")

    def attempts(self) -> Mapping[str, Attempt]:
        wrong_token = secrets.token_urlsafe(24)
        wrong, without = self.site.protocol(wrong_token), self.site.protocol(None)
        encoded = base64.urlsafe_b64encode(wrong_token.encode()).decode().rstrip("=")
        right_token = quote(self.site.token or "")
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

    async def _list(self, target: ChatProtocol) -> int:
        try:
            return await self.site.status(target.list_chats())
        except OSError:
            return 0
