"""Bodies as a browser would decode them, by their Content-Encoding. Bytes in, bytes out, never more than a limit."""

import re
import zlib
from collections import deque
from collections.abc import Callable

import brotli

ACCEPTED = "gzip, deflate, br"
"""What a request may say that it accepts."""

LARGEST = 64 << 20
"""Bytes that a body may have, as it came and as it is decoded."""

_REMEMBERED = 16  # bodies; dashboards that answer one broadcast fetch the same few
_WORTH_KEEPING = 4 << 20  # bytes; larger ones are decoded each time, or they would fill the memory
_MOST_ENCODINGS = 5  # a browser stops at as few; each one multiplies what a small body can become
_PIECE = 1 << 16  # bytes that are decoded at a time, so that a bomb is found before it goes off


class UnreadableEncoding(ValueError):
    """A body that cannot be decoded here. The text names its encoding; a browser may know more."""


class Memory:
    """Decodes bodies, each of the last few only once: many dashboards fetch the same bytes."""

    def __init__(self) -> None:
        self._recent: deque[tuple[str, bytes, bytes]] = deque(maxlen=_REMEMBERED)

    def decoded(self, encodings: str, body: bytes) -> bytes:
        """As the function, up to LARGEST."""
        # Compared, not hashed: two bodies differ early, and hashing would read each to its end.
        for known, seen, plain in self._recent:
            if known == encodings and seen == body:
                return plain
        plain = decoded(encodings, body, LARGEST)
        if len(plain) <= _WORTH_KEEPING:
            self._recent.appendleft((encodings, body, plain))
        return plain


def decoded(encodings: str, body: bytes, limit: int) -> bytes:
    """The body without its encodings, which are the value of its Content-Encoding, last applied last.

    Knows gzip (x-gzip), deflate (zlib's format or raw), br and identity, in any case. Raises UnreadableEncoding for any
    other, for a body that is not what its encoding says, and for more than `limit` bytes.
    """
    if not body:
        return body  # some servers name an encoding on answers without one
    names = [name for name in (part.strip().lower() for part in encodings.split(",")) if name not in ("", "identity")]
    if len(names) > _MOST_ENCODINGS:
        raise UnreadableEncoding(f"expected at most {_MOST_ENCODINGS} content encodings, got {len(names)}")
    unknown = next((name for name in names if name not in _DECODERS), None)
    if unknown is not None:
        shown = re.sub(r"[^!-~]", "?", unknown)[:40]
        raise UnreadableEncoding(f"expected content in {ACCEPTED}, got {shown}")
    for name in reversed(names):
        body = _DECODERS[name](name, body, limit) if body else body
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _gzip(name: str, body: bytes, limit: int) -> bytes:
    """One member or several; what follows the last one is padding, as for browsers and gzip itself."""
    found, rest = b"", body
    while True:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        found += _inflated(name, member, rest, limit, len(found))
        rest = member.unused_data
        if not rest.startswith(b"\x1f\x8b"):
            return found


def _deflate(name: str, body: bytes, limit: int) -> bytes:
    """Zlib's format, as the name means, or raw, as some servers took it to mean."""
    try:
        return _inflated(name, zlib.decompressobj(), body, limit)
    except _NotThisFormat:
        return _inflated(name, zlib.decompressobj(-zlib.MAX_WBITS), body, limit)


class _NotThisFormat(UnreadableEncoding):
    pass


def _inflated(name: str, stream: "zlib._Decompress", body: bytes, limit: int, before: int = 0) -> bytes:
    try:
        found = stream.decompress(body, limit - before + 1)
    except zlib.error as error:
        raise _NotThisFormat(f"expected content in {name}, got what is none: {error}") from None
    if before + len(found) > limit:
        raise _too_large(limit)
    if not stream.eof:
        raise UnreadableEncoding(f"expected content in {name}, got only the beginning of it")
    return found


def _brotli(name: str, body: bytes, limit: int) -> bytes:
    stream, found = brotli.Decompressor(), bytearray()
    process: Callable[..., bytes] = stream.process
    try:
        for at in range(0, len(body), _PIECE):
            found += process(body[at : at + _PIECE], output_buffer_limit=limit + 1 - len(found))
            while len(found) <= limit and not stream.can_accept_more_data():
                found += process(b"", output_buffer_limit=limit + 1 - len(found))
            if len(found) > limit:
                raise _too_large(limit)
        ended = stream.is_finished()
    except brotli.error as error:
        raise UnreadableEncoding(f"expected content in {name}, got what is none: {error}") from None
    if not ended:
        raise UnreadableEncoding(f"expected content in {name}, got only the beginning of it")
    return bytes(found)


def _too_large(limit: int) -> UnreadableEncoding:
    return UnreadableEncoding(f"expected content of at most {limit} bytes, got more")


_DECODERS: dict[str, Callable[[str, bytes, int], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
}
