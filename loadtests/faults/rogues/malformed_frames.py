"""Malformed frames, and the right responses to each. No I/O.

A chat responds to a message that it does not understand with an error frame, and to a violation of the WebSocket
protocol by closing with the matching code (RFC 6455, section 7.4.1).
"""

import contextlib
import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, repeat

from chatswarm.loadtests.protocols.protocol import Frame, Kind, Session

_DEPTH = 20_000  # nested arrays: far more than a recursive parser survives, yet within 64 KiB
_FRAGMENTS = 100_000
_PIECE = 32 << 10  # bytes written between checks for a response

_TEXT, _BINARY, _CONTINUATION, _PING, _FIN = 0x1, 0x2, 0x0, 0x9, 0x80


@dataclass(frozen=True, slots=True)
class BadFrame:
    """One malformed frame."""

    pieces: Callable[[str, int], Iterable[bytes]]
    """What is written, piece by piece. Takes a right request (`request_of`), and the size in bytes of the oversized
    frame."""
    codes: frozenset[int]
    """The close codes that are right responses."""
    error: bool = False
    """Whether an error frame on a connection that stays open is right, too."""

    @property
    def expected(self) -> str:
        """The right responses, in words."""
        numbers = sorted(self.codes)
        codes = f"close code {', '.join(map(str, numbers[:-1]))}{' or ' if numbers[1:] else ''}{numbers[-1]}"
        return f"an error frame or {codes}" if self.error else codes


def request_of(session: Session, rooms: Sequence[str]) -> str:
    """A request that a proper dashboard sends, to be damaged: one to subscribe or to join a room, if it is an object
    of JSON; otherwise one in a form that such a chat does not understand anyway.
    """
    greeted = [Frame(Kind.CONNECTED), Frame(Kind.SUBSCRIBED)]
    sent = [reply for one in greeted for reply in session.take(one).replies]
    sent += [reply for room in rooms[:1] for reply in session.join(room, None).replies]
    for text in [*session.open().replies, *sent, session.ping()]:
        with contextlib.suppress(ValueError):
            if isinstance(text, str) and isinstance(request := json.loads(text), dict) and request:
                return text
    return '{"action": "subscribe"}'


def frame(first: int, payload: bytes, *, masked: bool = True) -> bytes:
    """One client frame. `first` is its first byte: FIN, reserved bits and opcode."""
    mask_bit = 0x80 if masked else 0
    if len(payload) < 126:
        head = bytes([first, mask_bit | len(payload)])
    elif len(payload) < 1 << 16:
        head = bytes([first, mask_bit | 126]) + struct.pack("!H", len(payload))
    else:
        head = bytes([first, mask_bit | 127]) + struct.pack("!Q", len(payload))
    return head + bytes(4) + payload if masked else head + payload  # a zero mask leaves the payload as it is


def _text(text: str) -> bytes:
    return frame(_FIN | _TEXT, text.encode())


def _whole(data: bytes) -> Callable[[str, int], Iterable[bytes]]:
    return lambda request, size: [data]  # noqa: ARG005


def _altered(alter: Callable[[dict[str, object]], object]) -> Callable[[str, int], Iterable[bytes]]:
    """A right request, altered."""
    return lambda request, size: [_text(json.dumps(alter(json.loads(request))))]  # noqa: ARG005


def _unknown_action(request: dict[str, object]) -> object:
    first = next(iter(request))
    return {**request, first: "no such action"}


def _deep(request: str, _size: int) -> Iterator[bytes]:
    # The nesting comes before the wrong types, so that a parser cannot reject the message without descending.
    wrong = json.dumps(dict.fromkeys(json.loads(request), 7))
    yield _text(f'{{"deep": {"[" * _DEPTH}{"]" * _DEPTH}, {wrong[1:]}')


def _oversized(_request: str, size: int) -> Iterator[bytes]:
    data = frame(_FIN | _TEXT, b"x" * size)
    # First the header alone: it gives the length, and a server that rejects it at once need not read the rest.
    head = len(data) - size
    yield data[:head]
    for at in range(head, len(data), _PIECE):
        yield data[at : at + _PIECE]


def _endless(_request: str, _size: int) -> Iterator[bytes]:
    yield frame(_TEXT, b"")
    fragments = repeat(frame(_CONTINUATION, b""), _FRAGMENTS)
    while batch := b"".join(islice(fragments, 500)):
        yield batch


_PROTOCOL = frozenset({1002})
_NOT_TAKEN = frozenset({1003, 1007, 1008})
_TOO_MUCH = frozenset({1008, 1009})

BAD_FRAMES: Mapping[str, BadFrame] = {
    "invalid_json": BadFrame(_whole(_text('{"action": ')), _NOT_TAKEN, error=True),
    "no_object": BadFrame(_whole(_text('["subscribe", 1, null]')), _NOT_TAKEN, error=True),
    "unknown_action": BadFrame(_altered(_unknown_action), _NOT_TAKEN, error=True),
    "wrong_types": BadFrame(_altered(lambda request: dict.fromkeys(request, 7)), _NOT_TAKEN, error=True),
    "deep_json": BadFrame(_deep, _NOT_TAKEN | _TOO_MUCH, error=True),
    "binary": BadFrame(_whole(frame(_FIN | _BINARY, bytes(range(256)))), _NOT_TAKEN, error=True),
    "oversized_text": BadFrame(_oversized, _NOT_TAKEN | _TOO_MUCH, error=True),
    "bad_utf8": BadFrame(_whole(frame(_FIN | _TEXT, b'{"action": "\xc3\x28\xff"}')), frozenset({1007})),
    "reserved_bits": BadFrame(_whole(frame(_FIN | 0x70 | _TEXT, b"{}")), _PROTOCOL),
    "reserved_opcode": BadFrame(_whole(frame(_FIN | 0x3, b"{}")), _PROTOCOL),
    "unmasked": BadFrame(_whole(frame(_FIN | _TEXT, b"{}", masked=False)), _PROTOCOL),
    "fragmented_ping": BadFrame(_whole(frame(_PING, b"half")), _PROTOCOL),
    "oversized_ping": BadFrame(_whole(frame(_FIN | _PING, bytes(126))), _PROTOCOL),
    "lone_continuation": BadFrame(_whole(frame(_FIN | _CONTINUATION, b"{}")), _PROTOCOL),
    "endless_fragments": BadFrame(_endless, _TOO_MUCH),
}
