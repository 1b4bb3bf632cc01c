"""permessage-deflate: what Chrome reads and `websockets` alone does not."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import NegotiationError, PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.typing import ExtensionParameter

from chatswarm.loadtests.swarm.net.deflate import Deflate, DeflateOffer

HELLO = bytes([0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00])
"""RFC 7692, 7.2.3.4: "Hello" in a block with BFINAL set."""


def agreed(*params: ExtensionParameter) -> Deflate:
    return DeflateOffer().process_response_params(params, [])


def read(extension: Deflate, data: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    return bytes(extension.decode(Frame(opcode, data, fin, rsv1=opcode is not Opcode.CONT), max_size=100_000).data)


def packed(data: bytes, mode: int = zlib.Z_SYNC_FLUSH) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(mode)).removesuffix(b"\x00\x00\xff\xff")


@pytest.mark.parametrize("params", [(), (("server_no_context_takeover", None),)])
def test_messages_after_the_end_of_a_stream_are_read(params: tuple[ExtensionParameter, ...]) -> None:
    extension = agreed(*params)
    assert read(extension, HELLO) == b"Hello"
    assert read(extension, packed(b"again" * 1000)) == b"again" * 1000
    assert read(extension, HELLO) == b"Hello"
    # A page gets what follows the end, in the same message.
    assert read(extension, packed(b"one", zlib.Z_FINISH) + packed(b"two", zlib.Z_FINISH) + packed(b"three")) == (
        b"onetwothree"
    )
    assert read(extension, packed(b"x" * 3000, zlib.Z_FINISH) + packed(bytes(range(256)) * 20)) == (
        b"x" * 3000 + bytes(range(256)) * 20
    )


def test_a_stream_that_ends_in_a_fragment() -> None:
    extension = agreed()
    assert read(extension, packed(b"one", zlib.Z_FINISH), fin=False) == b"one"
    assert read(extension, packed(b"two"), Opcode.CONT) == b"two"
    assert read(extension, packed(b"three")) == b"three"


def test_a_server_may_forget_after_each_message() -> None:
    extension = agreed(("server_no_context_takeover", None))
    assert [read(extension, packed(b"hello hello")) for _ in range(2)] == [b"hello hello"] * 2
    compressor = zlib.compressobj(wbits=-15)
    whole = (compressor.compress(b"one two") + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")
    assert read(extension, whole[:3], fin=False) + read(extension, whole[3:], Opcode.CONT) == b"one two"


def test_what_is_too_large_or_broken_after_the_end_of_a_stream() -> None:
    end = packed(b"one", zlib.Z_FINISH)
    with pytest.raises(PayloadTooBig):
        read(agreed(), end + packed(b"x" * 100_001))
    with pytest.raises(PayloadTooBig):
        read(agreed(), packed(b"", zlib.Z_FINISH) * 100_000)
    with pytest.raises(ProtocolError):
        read(agreed(), end + b"\xff\xff\xff")


@pytest.mark.parametrize("params", [(), (("client_no_context_takeover", None),), (("client_max_window_bits", "9"),)])
def test_what_is_sent_is_compressed_as_agreed(params: tuple[ExtensionParameter, ...]) -> None:
    extension = agreed(*params)
    forgets = ("client_no_context_takeover", None) in params
    server = PerMessageDeflate(forgets, True, 9 if ("client_max_window_bits", "9") in params else 15, 15)
    text = bytes(range(100))
    sizes = []
    for _ in range(2):
        frame = extension.encode(Frame(Opcode.TEXT, text))
        assert frame.rsv1
        sizes.append(len(frame.data))
        assert bytes(server.decode(Frame(frame.opcode, bytes(frame.data), True, True)).data) == text
    assert (sizes[0] == sizes[1]) == forgets


def test_a_window_of_256_bytes_is_agreed_on_and_nothing_sent_is_compressed() -> None:
    extension = agreed(("client_max_window_bits", "8"), ("server_max_window_bits", "8"))
    frame = Frame(Opcode.TEXT, b"hello")
    assert extension.encode(frame) is frame
    assert extension.remote_max_window_bits == 8


@pytest.mark.parametrize(
    "params",
    [
        (("x", "1"),),
        (("client_max_window_bits", "8"), ("client_max_window_bits", "8")),
        (("client_max_window_bits", "7"),),
    ],
)
def test_what_chrome_refuses_is_refused(params: tuple[ExtensionParameter, ...]) -> None:
    with pytest.raises(NegotiationError):
        agreed(*params)


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_raise_another_error(data: bytes, fin: bool) -> None:
    extension = agreed()
    try:
        read(extension, data, fin=fin)
        read(extension, data, Opcode.CONT if not fin else Opcode.TEXT)
    except (ProtocolError, PayloadTooBig):
        pass
