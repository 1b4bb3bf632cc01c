"""Decodes bodies by their Content-Encoding, as a browser does, up to a limit of bytes."""

import re
import zlib
from collections import deque
from collections.abc import Callable

import brotli

ACCEPTED = "gzip, deflate, br"
"""The value of Accept-Encoding for all encodings that `decoded` knows."""

LARGEST = 64 << 20
"""Maximum bytes of a body, both encoded and decoded."""

_CACHED_BODIES = 16  # dashboards that react to one broadcast fetch the same few bodies
_MAX_CACHED = 4 << 20  # bytes; larger bodies are decoded each time, to save memory
_MAX_ENCODINGS = 5  # as in browsers; each one multiplies the size that a small body can reach
_PIECE = 1 << 16  # bytes decoded at a time, so that a decompression bomb is found early


class UnreadableEncoding(ValueError):
    """A body that cannot be decoded here. The message names its encoding; a browser may know more encodings."""


class DecodedBodies:
    """Decodes bodies and caches the last few: many dashboards fetch the same bytes."""

    def __init__(self) -> None:
        self._recent: deque[tuple[str, bytes, bytes]] = deque(maxlen=_CACHED_BODIES)

    def decoded(self, encodings: str, body: bytes) -> bytes:
        """Like the function `decoded`, up to LARGEST bytes."""
        # Bodies are compared, not hashed: they differ early, and hashing would read each to its end.
        for known, seen, plain in self._recent:
            if known == encodings and seen == body:
                return plain
        plain = decoded(encodings, body, LARGEST)
        if len(plain) <= _MAX_CACHED:
            self._recent.appendleft((encodings, body, plain))
        return plain


def decoded(encodings: str, body: bytes, limit: int) -> bytes:
    """The decoded body. `encodings` is its Content-Encoding, in the order in which they were applied.

    Knows gzip (x-gzip), deflate (zlib's format or raw), br and identity, in upper or lower case. Raises
    UnreadableEncoding for any other encoding, for a malformed body, and for more than `limit` bytes.
    """
    if not body:
        return body  # some servers name an encoding on responses without a body
    names = [name for name in (part.strip().lower() for part in encodings.split(",")) if name not in ("", "identity")]
    if len(names) > _MAX_ENCODINGS:
        raise UnreadableEncoding(f"expected at most {_MAX_ENCODINGS} content encodings, got {len(names)}")
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
    """One gzip member or several; anything after the last one is padding, as for browsers and gzip itself."""
    found, rest = b"", body
    while True:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        found += _inflated(name, member, rest, limit, len(found))
        rest = member.unused_data
        if not rest.startswith(b"\x1f\x8b"):
            return found


def _deflate(name: str, body: bytes, limit: int) -> bytes:
    """Zlib's format, as the standard says, or raw deflate, as some servers send it."""
    try:
        return _inflated(name, zlib.decompressobj(), body, limit)
    except _MalformedError:
        return _inflated(name, zlib.decompressobj(-zlib.MAX_WBITS), body, limit)


class _MalformedError(UnreadableEncoding):
    pass


def _inflated(name: str, stream: "zlib._Decompress", body: bytes, limit: int, before: int = 0) -> bytes:
    try:
        found = stream.decompress(body, limit - before + 1)
    except zlib.error as error:
        raise _MalformedError(f"expected content in {name}, got malformed data: {error}") from None
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
        raise UnreadableEncoding(f"expected content in {name}, got malformed data: {error}") from None
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
