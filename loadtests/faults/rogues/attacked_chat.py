"""The chat that rogues strike: where it is, what it speaks, and how a connection to it is opened."""

import asyncio
import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable

from chatswarm.loadtests.faults.proxy.address import reason
from chatswarm.loadtests.net.address import Address, parse_address
from chatswarm.loadtests.net.dialing import DialError, Place, request_target, server_name, trusting
from chatswarm.loadtests.net.rotation import Rotation
from chatswarm.loadtests.protocols import ChatProtocol
from chatswarm.loadtests.protocols.protocol import Request
from chatswarm.loadtests.system.rig_limits import RESOURCES, own_errno

from .tcp import TcpConnection

PATIENCE = 10.0
"""Seconds that connecting, and each answer to a handshake or a request, may take."""

_ETHERNET = 1460  # bytes of a segment
_MOST_HEAD = 1 << 18  # bytes of HTTP answers in which the final one's first line must end
_INTERIM = re.compile(rb"\A(?:\r?\n)*HTTP/\S+[ \t]+1(?!01)\d\d\b[^\n]*\n(?:[^\r\n][^\n]*\n)*\r?\n")
_INTERIM_STATUS = re.compile(rb"1(?!01)")
_STATUS = re.compile(rb"\A(?:\r?\n)*HTTP/\S+[ \t]+(\d\d\d)\b[^\n]*\n")


class AttackedChat:
    """One target, and how it looks to those who know the token with which its dashboards are let in."""

    def __init__(self, url: str, protocol: Callable[[str | None], ChatProtocol], token: str | None) -> None:
        """Raises ValueError if `url` is no base URL."""
        self.address: Address = parse_address(url)
        self.protocol = protocol
        self.token = token
        self.target = protocol(token)
        # SSL_CERT_FILE and SSL_CERT_DIR in the environment replace the system's authorities, as OpenSSL has it.
        try:
            self._tls = trusting() if self.address.secure else None
        except DialError as error:
            raise ValueError(str(error)) from None
        self._turns: Rotation[Place] | None = None

    async def connect(self, *, receive_buffer: int | None = None, source: str | None = None) -> TcpConnection:
        """A connection, after its TLS handshake where the target has one. Raises OSError.

        `receive_buffer`: bytes asked of the kernel.
        """
        pipe = await self.connect_plainly(receive_buffer=receive_buffer, source=source)
        try:
            if self._tls is not None:
                async with asyncio.timeout(PATIENCE):
                    await pipe.encrypt(self._tls, server_name(self.address.host))
        except BaseException:
            pipe.close()
            raise
        return pipe

    async def connect_plainly(self, *, receive_buffer: int | None = None, source: str | None = None) -> TcpConnection:
        """A TCP connection without TLS, whatever the target has. Raises OSError.

        `source`: the loopback address that it comes from, if the target is on loopback, too.
        """
        failure = OSError(f"{self.address.host} has no address")
        deadline = time.monotonic() + PATIENCE
        async with asyncio.timeout(PATIENCE):
            turns = await self._where()
        places = turns.order(time.monotonic())
        for at, place in enumerate(places):
            try:
                # One that drops packets leaves some of the time for the next.
                async with asyncio.timeout((deadline - time.monotonic()) / (len(places) - at)):
                    pipe = await self._connected(place, receive_buffer, source)
            except OSError as error:
                if own_errno(error) in RESOURCES:
                    raise
                turns.failed(place, time.monotonic())
                # What says most of the chat counts: not that this machine has no way to one of its addresses.
                if own_errno(error) is None or own_errno(failure) is not None or at == 0:
                    failure = error
            else:
                turns.worked(place)
                return pipe
        raise failure

    async def _connected(self, place: Place, receive_buffer: int | None, source: str | None) -> TcpConnection:
        sock = socket.socket(place.family, place.kind, place.protocol)
        try:
            sock.setblocking(False)
            if receive_buffer is not None:
                # Before connecting, because the window's scale is settled then.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
                # On loopback a segment has 64 KiB, for which the sender's kernel takes megabytes before it has
                # the sender wait. A slow reader is far away, where it has what fits into an Ethernet frame.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _ETHERNET)
            if source is not None and place.shown.startswith("127."):
                with contextlib.suppress(OSError):  # not every system has more than 127.0.0.1
                    sock.bind((source, 0))
            await asyncio.get_running_loop().sock_connect(sock, place.address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        return TcpConnection(sock)

    async def status(self, request: Request) -> int:
        """The status of the answer to an HTTP request. Raises OSError if there is none."""
        pipe = await self.connect()
        try:
            async with asyncio.timeout(PATIENCE):
                await pipe.write(self.head(request))
                answer = b""
                while (status := final_answer(answer)[0]) is None and len(answer) < _MOST_HEAD:
                    if (data := await pipe.read()) is None:
                        break
                    answer += data
        finally:
            pipe.close()
        if status is None:
            raise ConnectionError("no HTTP answer")
        return status

    def head(self, request: Request) -> bytes:
        """The bytes of a request without a body."""
        path = request_target(self.address, request.path)
        lines = {"Host": self.address.authority, "User-Agent": "chatswarm", **request.headers}
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"{request.method} {path} HTTP/1.1\r\n{text}\r\n".encode()

    async def _where(self) -> Rotation[Place]:
        if self._turns is None:
            host, port = self.address.host, self.address.port
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self._turns = Rotation([Place(family, kind, protocol, place) for family, kind, protocol, _, place in found])
        return self._turns


def final_answer(heard: bytes) -> tuple[int | None, bytes]:
    """The status of the final answer among these bytes, None if there is none yet; and the bytes from it on."""
    while interim := _INTERIM.match(heard):
        heard = heard[interim.end() :]
    found = _STATUS.match(heard)
    return (None if found is None or _INTERIM_STATUS.match(found[1]) else int(found[1])), heard


def why(error: OSError) -> str:
    """Why there is no connection, in plain words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"a certificate that is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):  # its number is not the system's
        return f"no TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
    return reason(error)
