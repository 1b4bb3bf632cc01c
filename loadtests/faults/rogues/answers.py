"""Reads HTTP responses from bytes as they come, with the same parser as `chatswarm check`. No I/O."""

from collections.abc import Sequence

from chatswarm.loadtests.net.responses import Reader, read_body, read_head
from chatswarm.loadtests.protocols.protocol import Answer

MAX_BODY = 32 << 20
"""Bytes of the largest body that is read."""


class _NeedsMore(Exception):
    """The response is not complete yet."""


class _ReceivedBytes(Reader):
    """What was received of a response so far. `ended`: nothing more will come."""

    def __init__(self, received: bytes, ended: bool) -> None:  # there is no socket
        self.buffer = bytearray(received)
        self._ended = ended

    def fill(self) -> bool:
        if self._ended:
            return False
        raise _NeedsMore


def fields_in(received: bytes) -> Sequence[tuple[str, str]]:
    """The header fields of a final response that has come."""
    return read_head(_ReceivedBytes(received, ended=True)).fields


def answer_in(received: bytes, *, ended: bool) -> Answer | None:
    """The final response in what was received; None if more has to come. `ended`: the connection has.

    Raises ConnectionError and ValueError if it is none.
    """
    reader = _ReceivedBytes(received, ended)
    try:
        head = read_head(reader)
        body = read_body(reader, head, MAX_BODY)
    except _NeedsMore:
        return None
    return Answer.of(head.status, head.fields, body)
