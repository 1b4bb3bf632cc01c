"""Access control by origin and token, without I/O.

A browser cannot set headers on a WebSocket, so it offers two subprotocols, and the server selects the first:

    Sec-WebSocket-Protocol: chatswarm, bearer.<base64url of the token, without padding>

All other clients send `Authorization: Bearer <token>`. A token is never in a URL, because URLs end up in logs.
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
"""Path prefixes of the dashboards' calls; all other paths belong to widgets or operators."""


class Tokens:
    """The tokens that are valid for the dashboards' calls: usually one, several while they are being rotated.

    Only their digests are kept, so that no error, log line or dump of the settings can leak a token.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = frozenset(_digest(token.encode()) for token in tokens)

    def __repr__(self) -> str:
        return f"<{len(self._digests)} tokens>"

    def accept(self, headers: Headers, subprotocols: Sequence[str] = ()) -> bool:
        """Whether a request or handshake presents a valid token. Runs in constant time."""
        return self.match(presented(headers, subprotocols) or b"")

    def match(self, token: bytes) -> bool:
        """Whether this is a valid token. Runs in constant time."""
        digest = _digest(token)
        # sum(), because any() would stop at the first match.
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0


def foreign(headers: Headers, origins: frozenset[str] | None) -> bool:
    """Whether the request comes from a page of an origin that is not allowed. Only browsers send Origin."""
    if origins is None:
        return False
    return any(name == b"origin" and value.decode("latin-1") not in origins for name, value in headers)


def needs_token(path: str) -> bool:
    """Whether this path belongs to the dashboards' calls."""
    return path.startswith(_DASHBOARDS)


def presented(headers: Headers, subprotocols: Sequence[str] = ()) -> bytes | None:
    """The token of a request or handshake, b"" for something else in its place, None for nothing at all. The header
    takes precedence.
    """
    authorization = header(headers, b"authorization")
    if authorization is not None:
        scheme, _, token = authorization.partition(b" ")
        return token.strip() if scheme.lower() == b"bearer" else b""
    for offered in subprotocols:
        if offered.startswith(_OFFERED):
            encoded = offered.removeprefix(_OFFERED)
            try:
                return base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
            except (binascii.Error, ValueError):
                return b""
    return None


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
