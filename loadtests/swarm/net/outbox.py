"""Bytes on their way to a peer, in order: the kernel takes what it can at once, and the event loop writes the rest."""

import contextlib
import os
from typing import Any

from gevent import get_hub, socket, ssl
from gevent.event import Event

MOST_WAITING = 1 << 20
"""Bytes that may wait for a peer; with more, it counts as dead."""

_RECORD = 16384  # bytes in one record of TLS
_WRITE = 2  # libev's flag: writable
_NOT_READING = "the peer does not read"


class Outbox:
    """The sending side of a connection. Nothing but `flush` waits, and nothing raises: see `failure`.

    On a failure the connection is shut down, so that its reader gets what had arrived, and then the end.
    """

    def __init__(self, connection: socket.socket, *, secure: bool) -> None:
        """`connection`: gevent's socket; `secure`: with TLS, whose time-out has to be 0 from the first `push` on."""
        self.failure: OSError | None = None
        """Why nothing more can be sent."""
        self._connection = connection
        self._number = connection.fileno()
        self._secure = secure
        self._waiting = bytearray()
        self._taken = 0  # bytes that the kernel took after they had waited
        self.must_read = False
        """TLS has to read before it can write: call `drain` after that."""
        self._watcher: Any = None
        self._moved = Event()

    @property
    def waiting(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return len(self._waiting)

    def push(self, data: bytes, most_waiting: int | None = None) -> None:
        """Sends `data` after all before it. If more than `most_waiting` bytes are still waiting, the connection fails.

        One message of any size is never too much: only those before it count.
        """
        if self._waiting and most_waiting is not None:
            self.drain()
            if len(self._waiting) > most_waiting:
                self.fail(TimeoutError(_NOT_READING))
        if self.failure is not None:
            return
        if self._waiting:
            self._waiting += data
            return
        taken = self._take(data)
        if taken < len(data) and self.failure is None:
            self._waiting += data[taken:]
            self.drain()

    def drain(self) -> None:
        """Writes what the kernel takes now."""
        while self._waiting:
            taken = self._take(self._waiting)
            if not taken:
                break
            del self._waiting[:taken]
            self._taken += taken
            self._moved.set()
        if self._waiting and not self.must_read:
            if self._watcher is None:
                self._watcher = get_hub().loop.io(self._number, _WRITE)
            self._watcher.start(self.drain)
        elif self._watcher is not None:
            self._watcher.stop()

    def flush(self, patience: float) -> None:
        """Waits until the kernel has taken everything pushed before.

        The connection fails if it takes nothing for `patience` seconds.
        """
        end = self._taken + len(self._waiting)
        while self.failure is None and (before := self._taken) < end:
            self._moved.clear()
            self._moved.wait(patience)
            if self._taken == before:
                self.fail(TimeoutError(_NOT_READING))

    def fail(self, error: OSError) -> None:
        """Ends the connection; what waits is dropped. Only the first failure counts."""
        if self.failure is None:
            self.failure = error
            self._waiting.clear()
            if self._watcher is not None:
                self._watcher.stop()
            # Not gevent's own, which would wake a reader before it has read everything.
            with contextlib.suppress(OSError):
                self._connection._sock.shutdown(socket.SHUT_RDWR)
            self._moved.set()

    def close(self) -> None:
        """Closes the connection; what waits is dropped."""
        if self.failure is None:
            self.failure = OSError("closed by this side")
        self._waiting.clear()
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        self._connection.close()
        self._moved.set()

    def _take(self, data: bytes | bytearray) -> int:
        """Writes as much as the kernel takes. Returns the number of bytes."""
        try:
            return self._write_encrypted(data) if self._secure else os.write(self._number, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.fail(error)
            return 0

    def _write_encrypted(self, data: bytes | bytearray) -> int:
        self.must_read = False
        try:
            # OpenSSL reports nothing as written before it has written all that it was given.
            return int(self._connection.write(data[:_RECORD]))
        except ssl.SSLWantWriteError:
            return 0
        except ssl.SSLWantReadError:
            self.must_read = True
            return 0
