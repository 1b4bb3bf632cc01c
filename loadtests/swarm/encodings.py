"""Content encodings as a browser decodes them, bounded in size. Bytes in, bytes out.

Many dashboards fetch the same bytes, so the last few bodies are remembered as they were decoded.
"""

import zlib
from collections import deque

import brotli

ACCEPTED = "gzip, deflate, br"
"""What a request may say that it accepts."""

LARGEST = 64 << 20  # bytes; of a body as it came, and as it is decoded
_REMEMBERED = 16  # bodies; dashboards that answer one broadcast fetch the same few
_WORTH_KEEPING = 4 << 20  # bytes; larger ones are decoded each time, or they would fill the memory


class Undecodable(ValueError):
    """A body in an encoding that this rig cannot read, or whose stream is broken. The text names the encoding."""


class Memory:
    """Decodes bodies, each of the last few only once."""

    def __init__(self) -> None:
        self._recent: deque[tuple[str, bytes, bytes]] = deque(maxlen=_REMEMBERED)

    def decoded(self, encoding: str, raw: bytes) -> bytes:
        """`raw` without its content encoding. Raises Undecodable."""
        # Compared, not hashed: two bodies differ early, and hashing would read each to its end.
        for known, seen, plain in self._recent:
            if known == encoding and seen == raw:
                return plain
        plain = decode(encoding, raw)
        if len(plain) <= _WORTH_KEEPING:
            self._recent.appendleft((encoding, raw, plain))
        return plain


def decode(encoding: str, raw: bytes) -> bytes:
    """`raw` without the encodings of a Content-Encoding header, the last one first. Raises Undecodable."""
    for name in reversed([part.strip().lower() for part in encoding.split(",")]):
        if name in ("", "identity"):
            continue
        if not raw:
            return raw  # nothing, encoded or not
        try:
            raw = _DECODERS[name](raw)
        except KeyError:
            raise Undecodable(f"Content-Encoding {name!r}: expected {ACCEPTED}") from None
        except (zlib.error, brotli.error, EOFError) as error:
            raise Undecodable(f"Content-Encoding {name!r}: the stream is broken: {error}") from error
        except OverflowError:
            raise Undecodable(f"Content-Encoding {name!r}: more than {LARGEST >> 20} MiB when decoded") from None
    return raw


def _gzip(raw: bytes) -> bytes:
    parts: list[bytes] = []
    left = LARGEST
    while raw:
        plain, rest = _inflate(raw, zlib.MAX_WBITS | 16, left)
        parts.append(plain)
        left -= len(plain)
        # Another member, or padding, which browsers ignore.
        raw = rest if rest.startswith(b"\x1f\x8b") else b""
    return b"".join(parts)


def _deflate(raw: bytes) -> bytes:
    """With zlib's wrapping as the RFC has it, or without, as some servers do."""
    try:
        return _inflate(raw, zlib.MAX_WBITS, LARGEST)[0]
    except zlib.error:
        return _inflate(raw, -zlib.MAX_WBITS, LARGEST)[0]


def _inflate(raw: bytes, window: int, limit: int) -> tuple[bytes, bytes]:
    """One stream's content, and what stands behind it. Raises zlib.error, EOFError, OverflowError."""
    stream = zlib.decompressobj(window)
    plain = stream.decompress(raw, limit + 1)
    if len(plain) > limit:
        raise OverflowError
    if not stream.eof:
        raise EOFError("it ends too early")
    return plain, stream.unused_data


def _brotli(raw: bytes) -> bytes:
    stream = brotli.Decompressor()
    parts = [stream.process(raw, output_buffer_limit=LARGEST + 1)]
    size = len(parts[0])
    while size <= LARGEST and not stream.is_finished():
        part = stream.process(b"", output_buffer_limit=LARGEST + 1 - size)
        if not part:
            raise EOFError("it ends too early")
        parts.append(part)
        size += len(part)
    if size > LARGEST:
        raise OverflowError
    return b"".join(parts)


_DECODERS = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "br": _brotli}
