"""Frames that break a rule, and what the right answers to each are. No I/O.

A chat answers what it does not understand with an error frame, and what breaks the WebSocket protocol (RFC 6455,
section 7.4.1) by closing with the code for it.
"""

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, repeat

from chatswarm.loadtests.protocols import ChatProtocol

_DEPTH = 20_000  # of nested arrays: far beyond what a recursive parser survives, and still within 64 KiB
_FRAGMENTS = 100_000
_PIECE = 32 << 10  # bytes written before a look at whether an answer has come

_TEXT, _BINARY, _CONTINUATION, _PING, _FIN = 0x1, 0x2, 0x0, 0x9, 0x80


@dataclass(frozen=True, slots=True)
class BadFrame:
    """One way of breaking a rule."""

    pieces: Callable[[ChatProtocol, int], Iterable[bytes]]
    """What is written, piece by piece, given the size in bytes of the big one."""
    codes: frozenset[int]
    """Close codes that are right answers."""
    error: bool = False
    """Whether an error frame is one, too, on a connection that stays open."""

    @property
    def expected(self) -> str:
        """The right answers, in words."""
        numbers = sorted(self.codes)
        codes = f"close code {', '.join(map(str, numbers[:-1]))}{' or ' if numbers[1:] else ''}{numbers[-1]}"
        return f"an error frame or {codes}" if self.error else codes


def frame(first: int, payload: bytes, *, masked: bool = True) -> bytes:
    """One frame, as a client sends it. `first` is its first byte: FIN, reserved bits and opcode."""
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        head = bytes([first, bit | len(payload)])
    elif len(payload) < 1 << 16:
        head = bytes([first, bit | 126]) + struct.pack("!H", len(payload))
    else:
        head = bytes([first, bit | 127]) + struct.pack("!Q", len(payload))
    return head + bytes(4) + payload if masked else head + payload  # a mask of zeros changes nothing


def _text(text: str) -> bytes:
    return frame(_FIN | _TEXT, text.encode())


def _whole(data: bytes) -> Callable[[ChatProtocol, int], Iterable[bytes]]:
    return lambda target, size: [data]  # noqa: ARG005


def _altered(alter: Callable[[dict[str, object]], object]) -> Callable[[ChatProtocol, int], Iterable[bytes]]:
    """A request as this chat knows it, with something about it changed."""
    return lambda target, size: [_text(json.dumps(alter(json.loads(target.subscribe()))))]  # noqa: ARG005


def _unknown_action(request: dict[str, object]) -> object:
    first = next(iter(request))
    return {**request, first: "no such action"}


def _deep(target: ChatProtocol, _size: int) -> Iterator[bytes]:
    # What is deep comes first and the wrong type last, so that a parser cannot stop before it has been down there.
    wrong = json.dumps(dict.fromkeys(json.loads(target.subscribe()), 7))
    yield _text(f'{{"deep": {"[" * _DEPTH}{"]" * _DEPTH}, {wrong[1:]}')


def _oversized(_target: ChatProtocol, size: int) -> Iterator[bytes]:
    data = frame(_FIN | _TEXT, b"x" * size)
    # The head alone first: it says the length, and a server that answers it at once is not reading the rest.
    head = len(data) - size
    yield data[:head]
    for at in range(head, len(data), _PIECE):
        yield data[at : at + _PIECE]


def _endless(_target: ChatProtocol, _size: int) -> Iterator[bytes]:
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
