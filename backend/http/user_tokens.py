"""Tokens of the push chat's users: signed by the server, so that every worker knows them without asking.

    token = base64url of {"user": …, "expires": seconds since 1970} . base64url of its HMAC-SHA256

A client that can set headers sends `Authorization: Bearer <token>`. A browser's WebSocket cannot, so it offers two
subprotocols, of which the server selects the first, or sends `?token=`, or the token in its first frame.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final

import msgspec

SUBPROTOCOL: Final = "chatswarm.push"
LONGEST_NAME: Final = 200

NAME_CHARACTER: Final = r"[^\x00-\x20/\x7f-\xa0\u1680\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]"
"""What a name may consist of: no `/`, no space of any kind, and nothing that cannot be seen. Also a pattern of JSON
Schema.
"""

_NAME: Final = re.compile(f"{NAME_CHARACTER}{{1,{LONGEST_NAME}}}")


class _Claim(msgspec.Struct):
    user: str
    expires: float


_decode = msgspec.json.Decoder(_Claim).decode


class ServiceKey:
    """The secret of the application's own backend, which creates rooms and logs users in. `repr` does not show it."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def __repr__(self) -> str:
        return "<a service key>"

    def match(self, key: bytes) -> bool:
        """Whether this is the key. Runs in constant time."""
        return hmac.compare_digest(hashlib.sha256(key).digest(), hashlib.sha256(self._key).digest())

    def token_secret(self) -> bytes:
        """The secret of all servers with this key: their tokens are valid at each other, and after a restart."""
        return hmac.digest(self._key, b"chatswarm push user tokens", hashlib.sha256)


class UserTokens:
    """Issues tokens that are valid for `lifetime` seconds, and checks them. `secret` never appears in its `repr`."""

    def __init__(self, secret: bytes, lifetime: float) -> None:
        self.lifetime = lifetime
        self._secret = secret

    def __repr__(self) -> str:
        return f"<tokens that are valid for {self.lifetime:g} s>"

    def issue(self, user: str, now: float) -> str:
        """A token for this user. `now` is in seconds since 1970."""
        claim = _encoded(msgspec.json.encode(_Claim(user, now + self.lifetime)))
        return (claim + b"." + _encoded(self._sign(claim))).decode()

    def user(self, token: bytes, now: float) -> str | None:
        """Whose token this is; None if it was not issued here, or has expired."""
        claim, _, signature = token.partition(b".")
        # The signature comes first, in constant time: nothing that was not signed here is ever decoded.
        if not hmac.compare_digest(_encoded(self._sign(claim)), signature):
            return None
        try:
            said = _decode(base64.urlsafe_b64decode(claim + b"=" * (-len(claim) % 4)))
        except (binascii.Error, ValueError, msgspec.MsgspecError):
            return None
        return said.user if now < said.expires else None

    def _sign(self, claim: bytes) -> bytes:
        return hmac.digest(self._secret, claim, hashlib.sha256)


def is_name(text: str) -> bool:
    """Whether this can be the name of a user or a room: 1 to LONGEST_NAME printable characters, no space and no `/`."""
    return _NAME.fullmatch(text) is not None


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
