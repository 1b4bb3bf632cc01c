"""A dashboard's WebSocket, on the chat's side."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

from websockets.protocol import State
from websockets.server import ServerProtocol

MAX_UNSENT = 256 * 1024
"""Bytes that may wait for a dashboard that does not read."""
UNSENT_TIMEOUT = 5.0
"""Seconds that they may wait."""


@dataclass(eq=False)
class Dashboard:
    """Sends without waiting, and cuts off a dashboard that does not read."""

    protocol: ServerProtocol
    transport: asyncio.WriteTransport
    subscribed: bool = False
    _sent_at: float = field(default_factory=time.monotonic)  # when nothing was waiting last

    def send(self, frame: bytes) -> None:
        """Sends a text frame."""
        if self.protocol.state is State.OPEN:
            self.protocol.send_text(frame)
            self.flush()

    def close(self, code: int) -> None:
        """Starts the closing handshake."""
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
        self.cut_off_if_stalled()

    def cut_off_if_stalled(self) -> None:
        """Cuts the dashboard off if it does not read. Must be called regularly."""
        waiting = self.transport.get_write_buffer_size()
        if not waiting:
            self._sent_at = time.monotonic()
        elif waiting > MAX_UNSENT or time.monotonic() - self._sent_at > UNSENT_TIMEOUT:
            self.transport.abort()
