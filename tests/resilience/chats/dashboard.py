"""A dashboard's socket."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

from websockets.protocol import State
from websockets.server import ServerProtocol

MOST_UNSENT = 256 * 1024
"""Bytes that may wait for a dashboard that does not read."""
LONGEST_UNSENT = 5.0
"""Seconds that they may wait."""


@dataclass(eq=False)
class Dashboard:
    """Writing to it never waits; one that does not read is cut off."""

    protocol: ServerProtocol
    transport: asyncio.WriteTransport
    subscribed: bool = False
    _sent_at: float = field(default_factory=time.monotonic)  # when nothing was waiting

    def say(self, frame: bytes) -> None:
        """One text frame."""
        if self.protocol.state is State.OPEN:
            self.protocol.send_text(frame)
            self.flush()

    def close(self, code: int) -> None:
        """Begins the closing handshake."""
        if self.protocol.state is State.OPEN:
            self.protocol.send_close(code)
            self.flush()

    def flush(self) -> None:
        if self.transport.is_closing():
            return
        for data in self.protocol.data_to_send():
            if data:
                self.transport.write(data)
            else:
                with contextlib.suppress(OSError):  # the other side has reset it
                    self.transport.write_eof()
        self.look_after()

    def look_after(self) -> None:
        """Cuts it off if it does not read. To be called now and then."""
        waiting = self.transport.get_write_buffer_size()
        if not waiting:
            self._sent_at = time.monotonic()
        elif waiting > MOST_UNSENT or time.monotonic() - self._sent_at > LONGEST_UNSENT:
            self.transport.abort()
