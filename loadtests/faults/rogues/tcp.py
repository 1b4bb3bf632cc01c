"""A TCP connection, with or without TLS, that reads only on request.

asyncio's own streams read ahead, which a slow reader must not do. Its `sock_recv` and `sock_sendall` lose bytes if
they are cancelled at the wrong moment: the rest is not a valid stream, the connection fails, and the chat would be
blamed for cutting it off. Here, cancelling a read or a write loses nothing: the next one goes on from there.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

READ_SIZE = 1 << 16


class TcpConnection:
    """A connected, non-blocking socket. One task may read while others write."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = 0  # bytes received, before decryption
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._unsent = bytearray()  # what the kernel has not accepted yet, after encryption
        self._write_lock = asyncio.Lock()

    async def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Performs the TLS handshake. Raises OSError (which includes ssl.SSLError)."""
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._receive(READ_SIZE)
                if not data:
                    raise ConnectionResetError("closed during the TLS handshake") from None
                self._incoming.write(data)
        await self._flush()
        self._tls = tls

    async def read(self, limit: int = READ_SIZE) -> bytes | None:
        """The data of one read of at most `limit` bytes; can be empty under TLS. None once the connection has ended."""
        try:
            data = await self._receive(limit)
        except OSError:
            return None
        self.received += len(data)
        if not data:
            return None
        if self._tls is None:
            return data
        self._incoming.write(data)
        clear = bytearray()
        try:
            while piece := self._tls.read(READ_SIZE):
                clear += piece
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            return bytes(clear) or None
        return bytes(clear)

    async def write(self, data: bytes) -> None:
        """Returns once the kernel has accepted all the data. Raises OSError.

        If it is cancelled, the rest is sent before anything that is written later, with `write(b"")` if need be.
        """
        if self._tls is None:
            self._unsent += data
        elif data:
            self._tls.write(data)
        await self._flush()

    def close(self) -> None:
        """Closes the connection. If received bytes are still unread, the other side sees a reset."""
        with contextlib.suppress(OSError):
            self.sock.close()

    async def _receive(self, limit: int) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            try:
                return self.sock.recv(limit)
            except BlockingIOError:
                await _ready(self.sock, loop.add_reader, loop.remove_reader)

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._write_lock:
            while True:
                self._unsent += self._outgoing.read()
                if not self._unsent:
                    return
                try:
                    del self._unsent[: self.sock.send(self._unsent)]
                except BlockingIOError:
                    await _ready(self.sock, loop.add_writer, loop.remove_writer)


async def _ready(
    sock: socket.socket, watch: Callable[[int, Callable[[], None]], None], unwatch: Callable[[int], bool]
) -> None:
    """Waits until the socket can be read or written, and takes nothing from it."""
    descriptor = sock.fileno()
    ready = asyncio.Event()
    watch(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        unwatch(descriptor)
