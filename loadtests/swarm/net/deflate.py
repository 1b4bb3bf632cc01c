"""permessage-deflate as Chrome offers and reads it. No I/O.

`websockets` does the work. What it leaves out would be blamed on targets: after a DEFLATE stream with an end it reads
every message as empty, and it refuses a client's window of 256 bytes.
"""

import zlib
from collections.abc import Sequence

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame
from websockets.typing import ExtensionParameter

_SMALLEST_WINDOW = ("client_max_window_bits", "8")  # which zlib cannot write
_MOST_STREAMS = 100  # in one frame


class DeflateOffer(ClientPerMessageDeflateFactory):
    """What Chrome offers: `permessage-deflate; client_max_window_bits`."""

    def process_response_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> "Deflate":
        """The extension as the server agreed on it. Raises NegotiationError."""
        writable = [("client_max_window_bits", "9") if each == _SMALLEST_WINDOW else each for each in params]
        agreed = super().process_response_params(writable, accepted_extensions)
        return Deflate(agreed, compresses=_SMALLEST_WINDOW not in params)


class Deflate(PerMessageDeflate):
    """The agreed extension of one connection. Its compressor, 256 KiB, is made for the first message sent."""

    def __init__(self, agreed: PerMessageDeflate, *, compresses: bool) -> None:
        """`compresses`: whether messages sent are compressed, which is a client's choice."""
        # As if each message sent stood alone: then nothing is allocated for sending. A server that forgets what it has
        # sent can be read as one that does not.
        super().__init__(False, True, agreed.remote_max_window_bits, agreed.local_max_window_bits)
        self._remembers_sent = not agreed.local_no_context_takeover
        self._compresses = compresses

    def encode(self, frame: Frame) -> Frame:
        """The frame as it is sent."""
        if not self._compresses:
            return frame
        if self._remembers_sent and self.local_no_context_takeover:
            self.local_no_context_takeover = False
            self.encoder = zlib.compressobj(wbits=-self.local_max_window_bits)
        return super().encode(frame)

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """The frame as a page would get it. Raises ProtocolError and PayloadTooBig."""
        decoded = super().decode(frame, max_size=max_size)
        if self.decoder.eof:
            more = self._after_the_end(max_size)
            decoded = Frame(decoded.opcode, bytes(decoded.data) + more, decoded.fin, False, decoded.rsv2, decoded.rsv3)
        return decoded

    def _after_the_end(self, max_size: int | None) -> bytes:
        """What follows a block with BFINAL set, which ends a stream but not the message."""
        found = b""
        for _ in range(_MOST_STREAMS):
            if not self.decoder.eof:
                return found
            rest = self.decoder.unused_data
            self.decoder = zlib.decompressobj(wbits=-self.remote_max_window_bits)
            try:
                found += self.decoder.decompress(rest, max_size or 0)
            except zlib.error as error:
                raise ProtocolError("decompression failed") from error
            if self.decoder.unconsumed_tail:
                break
        raise PayloadTooBig(None, max_size)
