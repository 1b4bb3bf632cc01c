"""Who may come in: from which origins, and with which tokens. Decisions without I/O.

A browser cannot set headers on a WebSocket, so it offers two subprotocols, and is answered with the first:

    Sec-WebSocket-Protocol: chatswarm, bearer.<base64url of the token, without padding>

Everybody else says `Authorization: Bearer <token>`. A token is never in a URL, which ends up in logs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import Final

from chatswarm.backend.wire.headers import Headers, header

SUBPROTOCOL: Final = "chatswarm"
_OFFERED: Final = "bearer."

LIST: Final = "/api/debug/users-chats"
_DASHBOARDS: Final = (LIST, "/api/chats/", "/api/dashboard/")
"""Where the paths begin that are a dashboard's; all others are a widget's or an operator's."""


class Tokens:
    """The tokens that open the dashboards' calls: one at the least, more while they are being changed.

    Only their digests are kept, so that no error, log line or dump of the settings can hold one.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = frozenset(_digest(token.encode()) for token in tokens)

    def __repr__(self) -> str:
        return f"<{len(self._digests)} tokens>"

    def accept(self, headers: Headers, subprotocols: Sequence[str] = ()) -> bool:
        """Whether a request or handshake presents one of them. Takes as long for a wrong one as for a right one."""
        digest = _digest(_presented(headers, subprotocols))
        # A sum, since any() would stop at the first that fits.
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0


def foreign(headers: Headers, origins: frozenset[str] | None) -> bool:
    """Whether a page of another origin than these asks. No browser, no Origin: that is what the token is for."""
    if origins is None:
        return False
    return any(name == b"origin" and value.decode("latin-1") not in origins for name, value in headers)


def needs_token(path: str) -> bool:
    """Whether a call of this path is a dashboard's."""
    return path.startswith(_DASHBOARDS)


def _presented(headers: Headers, subprotocols: Sequence[str]) -> bytes:
    """The token of a request or handshake, b"" if there is none. Where both ways are taken, the header counts."""
    given = header(headers, b"authorization")
    if given is not None:
        scheme, _, token = given.partition(b" ")
        return token.strip() if scheme.lower() == b"bearer" else b""
    for offered in subprotocols:
        if offered.startswith(_OFFERED):
            encoded = offered.removeprefix(_OFFERED)
            try:
                return base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
            except (binascii.Error, ValueError):
                return b""
    return b""


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
