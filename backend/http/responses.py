"""Sends responses as two ASGI messages; the hot paths avoid a framework's response objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.types import Send

from chatswarm.backend.wire.push_shapes import PushRefusal
from chatswarm.backend.wire.shapes import Refusal, encode

# The pages are on another port, and there are no cookies or credentials that a foreign page could misuse. If origins
# are set, auth_middleware.py replaces this with the allowed one.
ANY_ORIGIN = (b"access-control-allow-origin", b"*")
CHALLENGE = (b"www-authenticate", b"Bearer")
_JSON = (b"content-type", b"application/json")


def refusal(message: str) -> bytes:
    """The body of an error in the reference chat."""
    return encode(Refusal(message))


def push_refusal(message: str) -> bytes:
    """The body of an error in the push chat."""
    return encode(PushRefusal(message))


async def respond(
    send: Send, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = (_JSON, ANY_ORIGIN)
) -> None:
    """Send a whole response; JSON, readable by pages of any origin, unless `headers` say otherwise."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def refuse(
    send: Send,
    status: int,
    message: str,
    *,
    retry_after: int | None = None,
    hang_up: bool = False,
    challenge: bool = False,
    upgrade: bool = False,
    body: Callable[[str], bytes] = refusal,
) -> None:
    """Send an error, in the shape of the reference chat unless `body` encodes another one. `hang_up` closes the
    connection, because the request was not read to its end; `challenge` asks for a token, `upgrade` for a WebSocket.
    """
    headers = [_JSON, ANY_ORIGIN]
    if retry_after is not None:
        headers.append((b"retry-after", b"%d" % retry_after))
    if hang_up:
        headers.append((b"connection", b"close"))
    if challenge:
        headers.append(CHALLENGE)
    if upgrade:
        headers += [(b"upgrade", b"websocket"), (b"connection", b"upgrade")]
    await respond(send, status, body(message), headers)
