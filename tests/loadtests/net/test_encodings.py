import gzip
import zlib

import brotli
import pytest

from chatswarm.loadtests.net import encodings
from chatswarm.loadtests.net.encodings import DecodedBodies, UnreadableEncoding, decoded

BODY = b'{"users": []}' * 50
MOST = 1 << 20


def zipped(body: bytes) -> bytes:
    """The same bytes each time, because they are part of test ids."""
    return gzip.compress(body, mtime=0)


def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


@pytest.mark.parametrize(
    ("encodings", "body"),
    [
        ("", BODY),
        ("identity", BODY),
        ("gzip", zipped(BODY)),
        ("GZip", zipped(BODY)),
        ("x-gzip", zipped(BODY)),
        ("gzip", zipped(BODY[:20]) + zipped(BODY[20:])),
        ("gzip", zipped(b"") + zipped(BODY)),
        ("gzip", zipped(BODY) + b"\0" * 8),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
        ("br", brotli.compress(BODY)),
        ("gzip, br", brotli.compress(zipped(BODY))),
        (" deflate ,identity,, GZIP ", zipped(zlib.compress(BODY))),
    ],
)
def test_encodings_that_a_browser_reads(encodings: str, body: bytes) -> None:
    assert decoded(encodings, body, MOST) == BODY


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, br"])
def test_a_response_without_a_body_may_name_any_encoding(encoding: str) -> None:
    assert decoded(encoding, b"", MOST) == b""


@pytest.mark.parametrize(
    ("encodings", "body", "problem"),
    [
        ("zstd", BODY, "got zstd"),
        ("gzip, zstd", BODY, "got zstd"),
        ("z\x1b[2J\u202e", BODY, r"got z\?\[2j\?"),
        ("gzip", BODY, "expected content in gzip, got malformed data"),
        ("deflate", b"\xff" * 20, "expected content in deflate, got malformed data"),
        ("br", b"\xff" * 20, "expected content in br, got malformed data"),
        ("gzip", zipped(BODY)[:-9], "only the beginning"),
        ("deflate", zlib.compress(BODY)[:-5], "only the beginning"),
        ("br", brotli.compress(BODY)[:-2], "only the beginning"),
        (",".join(["gzip"] * 6), BODY, "at most 5 content encodings, got 6"),
    ],
)
def test_what_cannot_be_decoded_is_named(encodings: str, body: bytes, problem: str) -> None:
    with pytest.raises(UnreadableEncoding, match=problem):
        decoded(encodings, body, MOST)


@pytest.mark.parametrize(
    ("encodings", "body"),
    [
        ("", bytes(1001)),
        ("gzip", zipped(bytes(1001))),
        ("gzip", zipped(bytes(600)) * 2),
        ("deflate", zlib.compress(bytes(1 << 24))),
        ("br", brotli.compress(bytes(1 << 24))),
        ("gzip, gzip", zipped(zipped(bytes(1 << 24)))),
    ],
)
def test_a_decompression_bomb_is_stopped_at_the_limit(encodings: str, body: bytes) -> None:
    with pytest.raises(UnreadableEncoding, match="at most 1000 bytes, got more"):
        decoded(encodings, body, 1000)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_a_body_of_exactly_the_limit_is_read(encoding: str) -> None:
    body = {"gzip": zipped, "deflate": zlib.compress, "br": brotli.compress}[encoding](bytes(1000))
    assert decoded(encoding, body, 1000) == bytes(1000)


def test_the_same_bytes_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def count(name: str, body: bytes, limit: int) -> bytes:
        asked.append(name)
        return decoded(name, body, limit)

    monkeypatch.setattr(encodings, "decoded", count)
    memory, one, two = DecodedBodies(), gzip.compress(b"one"), gzip.compress(b"two")
    assert [memory.decoded("gzip", raw) for raw in (one, two, one, two)] == [b"one", b"two", b"one", b"two"]
    assert memory.decoded("identity", one) == one, "the same bytes in another encoding are a different body"
    assert asked == ["gzip", "gzip", "identity"]
