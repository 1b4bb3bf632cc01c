"""Content encodings, as servers really use them."""

import contextlib
import gzip
import zlib

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatswarm.loadtests.swarm import encodings
from chatswarm.loadtests.swarm.encodings import Memory, Undecodable, decode


def gz(plain: bytes) -> bytes:
    return gzip.compress(plain, mtime=0)


PLAIN = b'{"users": []}' * 100
RAW_DEFLATE = zlib.compress(PLAIN, wbits=-15)


@pytest.mark.parametrize(
    ("encoding", "raw"),
    [
        ("", PLAIN),
        ("identity", PLAIN),
        ("gzip", gz(PLAIN)),
        ("GZip", gz(PLAIN)),
        ("x-gzip", gz(PLAIN)),
        ("gzip", gz(PLAIN[:500]) + gz(PLAIN[500:])),  # two members
        ("gzip", gz(PLAIN) + bytes(16)),  # padding behind it
        ("deflate", zlib.compress(PLAIN)),
        ("deflate", RAW_DEFLATE),
        ("br", brotli.compress(PLAIN)),
        ("gzip, br", brotli.compress(gz(PLAIN))),
        (" gzip ,identity, ", gz(PLAIN)),
    ],
)
def test_what_a_browser_decodes_is_decoded(encoding: str, raw: bytes) -> None:
    assert decode(encoding, raw) == PLAIN


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_an_empty_body_is_empty_whatever_its_encoding(encoding: str) -> None:
    assert decode(encoding, b"") == b""


@pytest.mark.parametrize(
    ("encoding", "raw", "said"),
    [
        ("zstd", b"\x28\xb5\x2f\xfd", "'zstd': expected gzip, deflate, br"),
        ("gzip, zstd", b"x", "'zstd'"),
        ("gzip", PLAIN, "'gzip': the stream is broken"),
        ("gzip", gz(PLAIN)[:-3], "'gzip': the stream is broken: it ends too early"),
        ("deflate", RAW_DEFLATE[:-3], "'deflate': the stream is broken"),
        ("br", brotli.compress(PLAIN)[:-3], "'br': the stream is broken: it ends too early"),
        ("br", b"\xff" * 50, "'br': the stream is broken"),
    ],
)
def test_what_cannot_be_decoded_says_which_encoding(encoding: str, raw: bytes, said: str) -> None:
    with pytest.raises(Undecodable, match=said):
        decode(encoding, raw)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_a_body_that_grows_beyond_all_measure_is_given_up(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "LARGEST", 1 << 20)
    compress = {"gzip": gz, "deflate": zlib.compress, "br": brotli.compress}[encoding]
    assert len(decode(encoding, compress(bytes(1 << 20)))) == 1 << 20
    with pytest.raises(Undecodable, match="more than 1 MiB when decoded"):
        decode(encoding, compress(bytes((1 << 20) + 1)))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
@given(raw=st.binary(max_size=200))
def test_garbage_is_undecodable_and_nothing_else(encoding: str, raw: bytes) -> None:
    with contextlib.suppress(Undecodable):
        decode(encoding, raw)


def test_the_same_bytes_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def count(encoding: str, raw: bytes) -> bytes:
        decoded.append(encoding)
        return decode(encoding, raw)

    monkeypatch.setattr(encodings, "decode", count)
    memory, one, two = Memory(), gz(b"one"), gz(b"two")
    assert [memory.decoded("gzip", raw) for raw in (one, two, one, two)] == [b"one", b"two", b"one", b"two"]
    assert memory.decoded("identity", one) == one, "the same bytes in another encoding are others"
    assert decoded == ["gzip", "gzip", "identity"]
