"""A TCP connection, with or without TLS, that reads only on request.

asyncio's own streams read ahead, which a slow reader must not do.
"""

import asyncio
import contextlib
import socket
import ssl

READ_SIZE = 1 << 16


class TcpConnection:
    """A connected, non-blocking socket. One task may read while another writes."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = 0  # bytes received, before decryption
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
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
                data = await asyncio.get_running_loop().sock_recv(self.sock, READ_SIZE)
                if not data:
                    raise ConnectionResetError("closed during the TLS handshake") from None
                self._incoming.write(data)
        await self._flush()
        self._tls = tls

    async def read(self, limit: int = READ_SIZE) -> bytes | None:
        """The data of one read of at most `limit` bytes; can be empty under TLS. None once the connection has ended."""
        try:
            data = await asyncio.get_running_loop().sock_recv(self.sock, limit)
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
        """Returns once the kernel has accepted all the data. Raises OSError."""
        if self._tls is None:
            async with self._write_lock:
                await asyncio.get_running_loop().sock_sendall(self.sock, data)
        else:
            self._tls.write(data)
            await self._flush()

    def close(self) -> None:
        """Closes the connection. If received bytes are still unread, the other side sees a reset."""
        with contextlib.suppress(OSError):
            self.sock.close()

    async def _flush(self) -> None:
        async with self._write_lock:
            if self._outgoing.pending:
                await asyncio.get_running_loop().sock_sendall(self.sock, self._outgoing.read())
