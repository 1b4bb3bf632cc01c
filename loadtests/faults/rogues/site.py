"""The chat that rogues strike: where it is, what it speaks, and how a connection to it is opened."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from chatswarm.loadtests.address import Address, parse_address
from chatswarm.loadtests.faults.proxy.address import reason
from chatswarm.loadtests.targets import Target
from chatswarm.loadtests.targets.target import Request

from .pipe import Pipe

PATIENCE = 10.0
"""Seconds that connecting, and each answer to a handshake or a request, may take."""

_ETHERNET = 1460  # bytes of a segment
_MOST_HEAD = 1 << 16  # bytes of an HTTP answer in which its first line must end


class Site:
    """One target, and how it looks to those who know the token with which its dashboards are let in."""

    def __init__(self, url: str, adapter: Callable[[str | None], Target], token: str | None) -> None:
        """Raises ValueError if `url` is no base URL."""
        self.address: Address = parse_address(url)
        self.adapter = adapter
        self.token = token
        self.target = adapter(token)
        # SSL_CERT_FILE in the environment adds a private authority.
        self._tls = ssl.create_default_context() if self.address.secure else None
        self._places: list[tuple[Any, ...]] = []

    async def connect(self, *, receive_buffer: int | None = None, source: str | None = None) -> Pipe:
        """A connection, after its TLS handshake where the target has one. Raises OSError.

        `receive_buffer`: bytes asked of the kernel.
        """
        pipe = await self.connect_plainly(receive_buffer=receive_buffer, source=source)
        try:
            if self._tls is not None:
                async with asyncio.timeout(PATIENCE):
                    await pipe.encrypt(self._tls, self.address.host)
        except BaseException:
            pipe.close()
            raise
        return pipe

    async def connect_plainly(self, *, receive_buffer: int | None = None, source: str | None = None) -> Pipe:
        """A TCP connection without TLS, whatever the target has. Raises OSError.

        `source`: the loopback address that it comes from, if the target is on loopback, too.
        """
        failure = OSError(f"{self.address.host} has no address")
        async with asyncio.timeout(PATIENCE):
            for place in await self._where():
                sock = socket.socket(*place[:3])
                try:
                    sock.setblocking(False)
                    if receive_buffer is not None:
                        # Before connecting, because the window's scale is settled then.
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
                        # On loopback a segment has 64 KiB, for which the sender's kernel takes megabytes before it has
                        # the sender wait. A slow reader is far away, where it has what fits into an Ethernet frame.
                        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _ETHERNET)
                    if source is not None and str(place[4][0]).startswith("127."):
                        with contextlib.suppress(OSError):  # not every system has more than 127.0.0.1
                            sock.bind((source, 0))
                    await asyncio.get_running_loop().sock_connect(sock, place[4])
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                except OSError as error:
                    sock.close()
                    failure = error
                except BaseException:
                    sock.close()
                    raise
                else:
                    self._places = [place]
                    return Pipe(sock)
        raise failure

    async def status(self, request: Request) -> int:
        """The status of the answer to an HTTP request. Raises OSError if there is none."""
        pipe = await self.connect()
        try:
            async with asyncio.timeout(PATIENCE):
                await pipe.write(self.head(request))
                answer = b""
                while b"\r\n" not in answer and len(answer) < _MOST_HEAD and (data := await pipe.read()) is not None:
                    answer += data
        finally:
            pipe.close()
        words = answer.partition(b"\r\n")[0].split()
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            raise ConnectionError("no HTTP answer")
        return int(words[1])

    def head(self, request: Request) -> bytes:
        """The bytes of a request without a body."""
        path = quote(self.address.prefix + request.path, safe="/%?&=:+,;@~!$'()*")
        lines = {"Host": self.address.authority, "User-Agent": "chatswarm", **request.headers}
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"{request.method} {path} HTTP/1.1\r\n{text}\r\n".encode()

    async def _where(self) -> list[tuple[Any, ...]]:
        if not self._places:
            host, port = self.address.host, self.address.port
            self._places = list(await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))
        return self._places


def why(error: OSError) -> str:
    """Why there is no connection, in plain words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"a certificate that is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):  # its number is not the system's
        return f"no TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
    return reason(error)
