"""Sends responses; the hot paths avoid a framework's response objects, and the two messages of ASGI.

Each message of ASGI is a `send` to the kernel, and uvicorn looks at each header of a response, though all are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from starlette.types import Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from chatswarm.backend.wire.headers import Headers
from chatswarm.backend.wire.push_shapes import PushRefusal
from chatswarm.backend.wire.shapes import Refusal, encode

# The pages are on another port, and there are no cookies or credentials that a foreign page could misuse. If origins
# are set, auth_middleware.py replaces this with the allowed one.
ANY_ORIGIN = (b"access-control-allow-origin", b"*")
CHALLENGE = (b"www-authenticate", b"Bearer")
_JSON = (b"content-type", b"application/json")


class WholeResponse(NamedTuple):
    """A response without the server's default headers. `headers` have its length, unless it cannot have a body."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes = b""

    def encoded(self, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """All bytes of the response."""
        lines = [b"%b: %b\r\n" % pair for headers in (default_headers, self.headers) for pair in headers]
        return b"".join([STATUS_LINE[self.status], *lines, b"\r\n", self.body])


ReadyResponse = Callable[[bytes, Headers], WholeResponse | None]
"""The response to a GET of a URL with these headers, if it is ready; None if the app has to respond."""


def refusal(message: str) -> bytes:
    """The body of an error in the reference chat."""
    return encode(Refusal(message))


def push_refusal(message: str) -> bytes:
    """The body of an error in the push chat."""
    return encode(PushRefusal(message))


def success(status: int, body: bytes) -> WholeResponse:
    """A response with JSON, readable by pages of any origin."""
    return WholeResponse(status, (_JSON, ANY_ORIGIN, (b"content-length", b"%d" % len(body))), body)


async def send_whole(send: Send, response: WholeResponse) -> None:
    """Send a response: at once if `send` is uvicorn's own, and nothing special is asked for."""
    cycle = getattr(send, "__self__", None)
    if response.status < 300 and isinstance(cycle, RequestResponseCycle) and _takes_bytes(cycle):
        cycle.response_started = cycle.response_complete = True
        cycle.transport.write(response.encoded(cycle.default_headers))
        cycle.on_response()
        return
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    await send({"type": "http.response.body", "body": response.body})


def _takes_bytes(cycle: RequestResponseCycle) -> bool:
    return (
        cycle.keep_alive
        and not cycle.more_body
        and not cycle.disconnected
        and not cycle.flow.write_paused
        and cycle.scope["method"] != "HEAD"
    )


def error_response(
    status: int,
    message: str,
    *,
    retry_after: int | None = None,
    hang_up: bool = False,
    challenge: bool = False,
    upgrade: bool = False,
    body: Callable[[str], bytes] = refusal,
) -> WholeResponse:
    """An error, in the shape of the reference chat unless `body` encodes another one. `hang_up` closes the connection,
    because the request was not read to its end; `challenge` asks for a token, `upgrade` for a WebSocket.
    """
    encoded = body(message)
    headers = [_JSON, ANY_ORIGIN, (b"content-length", b"%d" % len(encoded))]
    if retry_after is not None:
        headers.append((b"retry-after", b"%d" % retry_after))
    if hang_up:
        headers.append((b"connection", b"close"))
    if challenge:
        headers.append(CHALLENGE)
    if upgrade:
        headers += [(b"upgrade", b"websocket"), (b"connection", b"upgrade")]
    return WholeResponse(status, headers, encoded)
