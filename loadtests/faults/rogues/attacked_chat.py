"""The chat that rogues attack: its address, its protocol and rooms, a user of it, and how to connect."""

import asyncio
import contextlib
import re
import secrets
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from chatswarm.loadtests.faults.proxy.address import reason
from chatswarm.loadtests.net.address import Address, parse_address
from chatswarm.loadtests.net.cookies import CookieJar
from chatswarm.loadtests.net.dialing import DialError, SocketAddress, default_tls, request_target, server_name
from chatswarm.loadtests.net.rotation import Rotation
from chatswarm.loadtests.protocols.catalogue import FoundProtocol
from chatswarm.loadtests.protocols.protocol import Answer, Handshake, Login, LoginError, Request, Unreadable, User
from chatswarm.loadtests.protocols.secrets import TOKEN
from chatswarm.loadtests.system.rig_limits import RESOURCES, rig_limit_errno

from .answers import MAX_BODY, answer_in, fields_in
from .tcp import TcpConnection

PATIENCE = 10.0
"""Seconds that connecting, and each response to a handshake or request, may take."""

_ETHERNET_SEGMENT = 1460  # bytes
_MAX_HEAD = 1 << 18  # bytes of HTTP responses within which the final status line must end
_INTERIM = re.compile(rb"\A(?:\r?\n)*HTTP/\S+[ \t]+1(?!01)\d\d\b[^\n]*\n(?:[^\r\n][^\n]*\n)*\r?\n")
_INTERIM_STATUS = re.compile(rb"1(?!01)")
_STATUS = re.compile(rb"\A(?:\r?\n)*HTTP/\S+[ \t]+(\d\d\d)\b[^\n]*\n")


class NotLetInError(Exception):
    """The chat does not let a user in. `status`: of the HTTP response that said so, or 0 if there was none."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class AttackedChat:
    """A target, with the protocol and the secrets that a proper dashboard would use."""

    def __init__(
        self,
        url: str,
        found: FoundProtocol,
        environment: Mapping[str, str],
        run: str = "",
        rooms: Sequence[str] = (),
    ) -> None:
        """`environment`: with the protocol's secrets. `rooms`: the ids of the run's rooms, if it has some.

        Raises ValueError if `url` is not a base URL, or a secret is missing or invalid.
        """
        self.address: Address = parse_address(url)
        self.url = url
        self.found = found
        self.token = environment.get(TOKEN, "").strip()
        """What admits dashboards, where it is the same for all of them; otherwise empty."""
        self.protocol = found.make(environment, url)
        self.run = run or secrets.token_hex(5)
        self.rooms = rooms
        # As in OpenSSL, SSL_CERT_FILE and SSL_CERT_DIR replace the system's certificate authorities.
        try:
            self._tls = default_tls() if self.address.secure else None
        except DialError as error:
            raise ValueError(str(error)) from None
        self._rotation: Rotation[SocketAddress] | None = None
        self._cookies: dict[str, CookieJar] = {}  # by the user's name
        self._member: User | None = None
        self._entering = asyncio.Lock()

    @property
    def room(self) -> str:
        """The room of a rogue's connection, where connections have one; otherwise empty."""
        return self.rooms[0] if self.rooms and self.protocol.promises.one_room else ""

    # Users.

    async def member(self) -> User:
        """A user with everything that a proper dashboard has: it is logged in, and a member of the run's rooms.

        It is the same one each time, and none of the measured ones. Raises NotLetInError.
        """
        async with self._entering:
            if self._member is None:
                user = await self.stranger("rogue", 0)
                for room in self.rooms if self.protocol.promises.has_members else ():
                    await self._add(room, user)
                self._member = user
            return self._member

    async def stranger(self, name: str, number: int) -> User:
        """A user that is logged in, and a member of nothing. Raises NotLetInError."""
        try:
            user = self.protocol.user("dashboard", number, self.run, {"name": f"{name}-{number}.{self.run}"})
        except ValueError as error:
            raise NotLetInError(0, f"no such user: {error}") from error
        await self.log_in(user)
        return user

    async def log_in(self, user: User) -> None:
        """Makes the requests of a login. Raises NotLetInError."""
        await self._take_steps(self.protocol.login(user), user)

    async def _take_steps(self, steps: Login, user: User) -> None:
        try:
            with contextlib.suppress(StopIteration):
                request = next(steps)
                while True:
                    request = steps.send(await self.ask(request, user))
        except LoginError as error:
            raise NotLetInError(error.status, str(error)) from error
        except Unreadable:
            # Its message shows the response, and with it perhaps a token.
            raise NotLetInError(0, "a response to the login that cannot be read") from None
        except OSError as error:
            raise NotLetInError(0, f"no response to the login: {why(error)}") from error

    async def _add(self, room: str, user: User) -> None:
        try:
            status = (await self.ask(self.protocol.add_member(room, user))).status
        except NotImplementedError as error:
            raise NotLetInError(0, f"nobody becomes a member: {error}") from None
        except OSError as error:
            raise NotLetInError(0, f"no response to making a rogue a member of a room: {why(error)}") from error
        if not 200 <= status < 300:
            raise NotLetInError(status, f"HTTP {status} to making a rogue a member of a room")

    def reading(self, user: User) -> Request | None:
        """A request with which a dashboard reads: the list, or a room where there is none. None: there is neither."""
        promises = self.protocol.promises
        if promises.visible == "refetch":
            return self.of_user(self.protocol.list_chats(user), user)
        if not self.rooms or promises.history != "pages":
            return None
        return self.of_user(self.protocol.whole_chat(user, self.rooms[0]), user)

    async def handshake(self, user: User, room: str = "") -> Handshake:
        """How a user connects, with its cookies. `room`: the only one of the connection. Raises NotLetInError."""
        await self._take_steps(self.protocol.before_handshake(user), user)
        wanted = self.protocol.handshake(user, room=room or self.room)
        return wanted._replace(headers=self._with_cookies(wanted.headers, wanted.path, user))

    # Connections.

    async def connect(self, *, receive_buffer: int | None = None, source: str | None = None) -> TcpConnection:
        """Opens a connection, including the TLS handshake if the target uses TLS. Raises OSError.

        `receive_buffer`: the size in bytes to ask the kernel for.
        """
        connection = await self.connect_plain(receive_buffer=receive_buffer, source=source)
        try:
            if self._tls is not None:
                async with asyncio.timeout(PATIENCE):
                    await connection.encrypt(self._tls, server_name(self.address.host))
        except BaseException:
            connection.close()
            raise
        return connection

    async def connect_plain(self, *, receive_buffer: int | None = None, source: str | None = None) -> TcpConnection:
        """Opens a TCP connection without TLS, even to a target that uses TLS. Raises OSError.

        `source`: the loopback address to connect from, if the target is on loopback, too.
        """
        failure = OSError(f"{self.address.host} has no address")
        deadline = time.monotonic() + PATIENCE
        async with asyncio.timeout(PATIENCE):
            rotation = await self._addresses()
        places = rotation.order(time.monotonic())
        for at, place in enumerate(places):
            try:
                # An address that drops packets must leave time for the next one.
                async with asyncio.timeout((deadline - time.monotonic()) / (len(places) - at)):
                    connection = await self._connected(place, receive_buffer, source)
            except OSError as error:
                if rig_limit_errno(error) in RESOURCES:
                    raise
                rotation.failed(place, time.monotonic())
                # Prefer the error that says most about the chat to one about this machine, such as a missing route.
                if rig_limit_errno(error) is None or rig_limit_errno(failure) is not None or at == 0:
                    failure = error
            else:
                rotation.worked(place)
                return connection
        raise failure

    async def _connected(self, place: SocketAddress, receive_buffer: int | None, source: str | None) -> TcpConnection:
        sock = socket.socket(place.family, place.kind, place.protocol)
        try:
            sock.setblocking(False)
            if receive_buffer is not None:
                # Before connecting, because the handshake fixes the window scale.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
                # Loopback segments have 64 KiB, and with them the sender's kernel buffers megabytes before the sender
                # has to wait. A real slow reader is remote, where a segment fits into an Ethernet frame.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _ETHERNET_SEGMENT)
            if source is not None and place.ip.startswith("127."):
                with contextlib.suppress(OSError):  # some systems have no other loopback address than 127.0.0.1
                    sock.bind((source, 0))
            await asyncio.get_running_loop().sock_connect(sock, place.sockaddr)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        return TcpConnection(sock)

    async def ask(self, request: Request, user: User | None = None) -> Answer:
        """Sends an HTTP request, and returns the response. Raises OSError if there is none.

        `user`: whose cookies are sent, and kept.
        """
        if user is not None:
            request = self.of_user(request, user)
        connection = await self.connect()
        received = b""
        try:
            async with asyncio.timeout(PATIENCE):
                await connection.write(self.head(request) + (request.body or b""))
                while len(received) < MAX_BODY:
                    data = await connection.read()
                    received += data or b""
                    if (answer := answer_in(received, ended=data is None)) is not None:
                        if user is not None and "set-cookie" in answer.headers:
                            jar = self._cookies.setdefault(user.name, CookieJar())
                            jar.store(self._place(request.path), fields_in(received))
                        return answer
        except ValueError as error:
            raise ConnectionError("no HTTP answer") from error
        finally:
            connection.close()
        raise ConnectionError("a response without an end")

    async def status(self, request: Request) -> int:
        """Sends an HTTP request, and returns the status of the response. Raises OSError if there is none.

        Unlike `ask`, it waits for no more than the head: it is all that a refusal needs.
        """
        connection = await self.connect()
        try:
            async with asyncio.timeout(PATIENCE):
                await connection.write(self.head(request) + (request.body or b""))
                received = b""
                while (status := final_response(received)[0]) is None and len(received) < _MAX_HEAD:
                    if (data := await connection.read()) is None:
                        break
                    received += data
        finally:
            connection.close()
        if status is None:
            raise ConnectionError("no HTTP answer")
        return status

    def of_user(self, request: Request, user: User) -> Request:
        """The request with a user's cookies."""
        return replace(request, headers=self._with_cookies(request.headers, request.path, user))

    def _with_cookies(self, headers: Mapping[str, str], path: str, user: User) -> Mapping[str, str]:
        jar = self._cookies.get(user.name)
        cookies = "" if jar is None else jar.header(self._place(path))
        return {**headers, "Cookie": cookies} if cookies else headers

    def _place(self, path: str) -> str:
        return self.address.origin + request_target(self.address, path)

    def head(self, request: Request) -> bytes:
        """The bytes of a request up to its body."""
        path = request_target(self.address, request.path)
        lines = {"Host": self.address.authority, "User-Agent": "chatswarm", **request.headers}
        if request.body is not None:
            lines["Content-Length"] = str(len(request.body))
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"{request.method} {path} HTTP/1.1\r\n{text}\r\n".encode()

    async def _addresses(self) -> Rotation[SocketAddress]:
        if self._rotation is None:
            host, port = self.address.host, self.address.port
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self._rotation = Rotation(
                [SocketAddress(family, kind, protocol, place) for family, kind, protocol, _, place in found]
            )
        return self._rotation


def final_response(received: bytes) -> tuple[int | None, bytes]:
    """The status of the final (not interim) response, or None if it has not come yet; and the bytes from there on."""
    while interim := _INTERIM.match(received):
        received = received[interim.end() :]
    found = _STATUS.match(received)
    return (None if found is None or _INTERIM_STATUS.match(found[1]) else int(found[1])), received


def why(error: OSError) -> str:
    """Why connecting failed, in plain words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"a certificate that is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):  # its errno is not one of the system's
        return f"no TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
    return reason(error)
