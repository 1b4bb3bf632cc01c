"""The checklist's blocking HTTP client, which decodes and follows redirects as a browser does.

Every `deadline` is a `time.monotonic()` time. Every failure is a `ProbeError`. Proxies in the environment are ignored,
and certificates are verified.
"""

import contextlib
import re
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit

from chatswarm.loadtests.net.address import Address, parse_address
from chatswarm.loadtests.net.cookies import CookieJar
from chatswarm.loadtests.net.dialing import Dialer, DialError, connection_error, request_target, seconds_left
from chatswarm.loadtests.net.encodings import ACCEPTED, UnreadableEncoding, decoded
from chatswarm.loadtests.net.responses import (
    EmptyResponseError,
    NotHttpError,
    Reader,
    ResponseHead,
    TooLargeError,
    TruncatedResponseError,
    keeps_alive,
    read_body,
    read_head,
)
from chatswarm.loadtests.protocols.protocol import Answer, Request
from chatswarm.loadtests.system.rig_limits import RigLimit
from chatswarm.loadtests.system.text import one_line

from .symptoms import Failure
from .transcript import Witness

MAX_SIZE = 32 << 20
"""Maximum bytes of one response or message; the largest chat list is far below."""

_MAX_IDLE = 1.0  # seconds after which a connection is not reused: servers close theirs after 2 s at the earliest
_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_METHOD_PRESERVING = (307, 308)
_T = TypeVar("_T")
_BLANKS = re.compile(r"[ \t\r\n]+")


class ProbeError(Exception):
    """What went wrong with the target, in the terms of the diagnosis.

    `retry_after` is the response's Retry-After; `limit` is the limit of this machine that caused the failure, if any.
    """

    def __init__(
        self,
        failure: Failure,
        detail: str = "",
        status: int | None = None,
        retry_after: str = "",
        limit: RigLimit | None = None,
    ) -> None:
        super().__init__(f"{failure}: {detail}")
        self.failure = failure
        self.detail = detail
        self.status = status
        self.retry_after = retry_after
        self.limit = limit

    @classmethod
    def from_dial(cls, error: DialError) -> "ProbeError":
        """There is no connection."""
        return cls(Failure(error.failure), excerpt(error.detail), limit=error.limit)

    @classmethod
    def from_socket(cls, error: OSError) -> "ProbeError":
        """An established connection has failed."""
        if isinstance(error, EmptyResponseError):
            return cls(Failure.CLOSED)
        return cls.from_dial(connection_error(error))


class ProbeResponse(NamedTuple):
    """One HTTP response, read to its end at `done`, `took` seconds after the request went out."""

    status: int
    body: bytes
    location: str
    done: float
    took: float
    retry_after: str = ""
    redirected: str = ""  # for people: the status and target of the last redirect; empty if there was none
    headers: Mapping[str, str] = {}  # by lower-case name


class HttpClient:
    """One HTTP connection at a time, kept alive where the target allows it, plus one per origin of a redirect."""

    def __init__(
        self,
        dialer: Dialer,
        origin: str | None = None,
        turn: int = 0,
        cookies: CookieJar | None = None,
        witness: Witness | None = None,
    ) -> None:
        """`turn`: which of the target's addresses the first connection uses; `cookies`: those that every request sends,
        and where every response sets them; `witness`: who notes what is said.
        """
        self._dialer = dialer
        self._origin = origin
        self.cookies = CookieJar() if cookies is None else cookies
        self._witness = witness
        self._turn = turn
        self._server = replace(dialer.address, prefix="")  # a redirect gives the whole path
        self._sock: socket.socket | None = None
        self._last_used = 0.0  # when the last response on it had been read
        self._redirect_clients: dict[str, HttpClient] = {}
        self.peers: set[str] = set()  # the IP addresses of all its connections
        self.redirected = ""  # how its last response was reached, if by a redirect

    def open(self, deadline: float) -> socket.socket:
        """Makes sure that a connection is open, so that the next request need not wait for one."""
        # Anything readable between two responses means that the server has closed the connection.
        if self._sock is not None and (_readable(self._sock) or time.monotonic() - self._last_used > _MAX_IDLE):
            self.close()
        if self._sock is None:
            self._sock = dial(self._dialer, deadline, self._turn)
            self._turn += 1
            self._last_used = time.monotonic()
            self.peers.add(peer_of(self._sock))
        return self._sock

    def reach(self, deadline: float) -> None:
        """Returns if "/" gets any HTTP response. Its body, and where it may redirect to, do not matter."""
        self._exchange(self._prefixed(Request("GET", "/")), deadline, lambda _reader, _head: None)
        self.close()  # its body has not been read

    def request(self, request: Request, deadline: float, met: str = "", *, secret: bool = False) -> ProbeResponse:
        """The response, whatever its status, after redirects and decoded, as a browser would see it.

        `met`, `secret`: for the witness.
        """
        witness = self._witness
        if witness is None:
            return self._request(request, deadline)
        witness.asked(request, met)
        try:
            response = self._request(request, deadline)
        except ProbeError as error:
            witness.failed(error.detail or str(error.failure), met)
            raise
        witness.answered(response.status, response.body, met, secret=secret)
        return response

    def _request(self, request: Request, deadline: float) -> ProbeResponse:
        began = time.monotonic()
        http, redirected, request = self, "", self._prefixed(request)
        for _ in range(_MAX_REDIRECTS + 1):
            response = http._ask(request, deadline)
            self.redirected = redirected
            if not _is_redirect(request.method, response):
                return response._replace(took=response.done - began, redirected=redirected)
            address, path = _redirect_target(http._server, request, response)
            http, request = self._follow(address, path, request, response.status)
            redirected = f"redirected by {response.status} to {excerpt(response.location, 100)}"
        raise ProbeError(
            Failure.NOT_READ_HERE, f"more than {_MAX_REDIRECTS} redirects, the last to {excerpt(response.location)}"
        )

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        for other in self._redirect_clients.values():
            other.close()

    def _prefixed(self, request: Request) -> Request:
        """The same request, below the path of the base URL."""
        return replace(request, path=self._dialer.address.prefix + request.path)

    def _follow(self, address: Address, path: str, request: Request, status: int) -> "tuple[HttpClient, Request]":
        """The client and request that follow a redirect. The token goes to no other origin."""
        http, headers = self, dict(request.headers)
        if address.origin != self._server.origin:
            headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            if address.origin not in self._redirect_clients:
                dialer = self._dialer.for_address(address)
                self._redirect_clients[address.origin] = HttpClient(dialer, self._origin, cookies=self.cookies)
            http = self._redirect_clients[address.origin]
        body = request.body if status in _METHOD_PRESERVING else None
        return http, Request(request.method, path, body, headers)

    def _ask(self, request: Request, deadline: float) -> ProbeResponse:
        def read(reader: Reader, head: ResponseHead) -> bytes:
            try:
                body = read_body(reader, head, MAX_SIZE)
                done.append(time.monotonic())
                return decoded(head.value("content-encoding"), body, MAX_SIZE)
            except TooLargeError:
                raise ProbeError(Failure.NOT_READ_HERE, f"more than {MAX_SIZE >> 20} MiB", head.status) from None
            except UnreadableEncoding as error:
                raise ProbeError(Failure.NOT_READ_HERE, excerpt(str(error)), head.status) from None

        done: list[float] = []
        place = self._server.origin + request_target(self._server, request.path)
        request = replace(request, headers=with_cookies(request.headers, self.cookies.header(place)))
        began, head, body = self._exchange(request, deadline, read)
        self.cookies.store(place, head.fields)
        location, retry_after = head.first("location"), head.first("retry-after")
        headers = Answer.of(head.status, head.fields, body).headers
        return ProbeResponse(head.status, body, location, done[0], done[0] - began, retry_after, headers=headers)

    def _exchange(
        self, request: Request, deadline: float, read: Callable[[Reader, ResponseHead], _T]
    ) -> tuple[float, ResponseHead, _T]:
        """Sends a request. Returns when it went out, the response's head, and what `read` returned for the rest."""
        sock = self.open(deadline)
        began = time.monotonic()
        alive = False
        try:
            with as_probe_errors():
                sock.settimeout(seconds_left(deadline))
                sock.sendall(_bytes(self._server, request, self._origin))
                reader = Reader(sock, deadline)
                head = read_head(reader)
                found = read(reader, head)
                alive = keeps_alive(head) and not reader.buffer
        finally:
            self._last_used = time.monotonic()
            if not alive:
                self.close()
        return began, head, found


def with_cookies(headers: Mapping[str, str], cookies: str) -> Mapping[str, str]:
    """The headers with more `cookies`, the value of a Cookie header or empty."""
    if not cookies:
        return headers
    own = [value for name, value in headers.items() if name.lower() == "cookie"]
    return {
        **{name: value for name, value in headers.items() if name.lower() != "cookie"},
        "Cookie": "; ".join([*own, cookies]),
    }


@contextlib.contextmanager
def as_probe_errors() -> Iterator[None]:
    """Raises failures of reading a response as ProbeError."""
    try:
        yield
    except TruncatedResponseError as error:
        raise ProbeError(Failure.CLOSED, "in the middle of the response") from error
    except OSError as error:
        raise ProbeError.from_socket(error) from error
    except NotHttpError as error:
        raise ProbeError(Failure.NOT_HTTP, excerpt(str(error))) from error


def _bytes(address: Address, request: Request, origin: str | None) -> bytes:
    """The bytes of a request."""
    body = request.body or b""
    headers = {"Host": address.authority, "User-Agent": "chatswarm", "Accept-Encoding": ACCEPTED}
    if origin is not None:
        headers["Origin"] = origin
    headers |= request.headers
    if request.body is not None or request.method == "POST":
        headers["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{request.method} {request_target(address, request.path)} HTTP/1.1\r\n{head}\r\n".encode() + body


def _is_redirect(method: str, response: ProbeResponse) -> bool:
    """Whether a browser would repeat the request at the response's Location."""
    return bool(response.location) and response.status in (_REDIRECTS if method == "GET" else _METHOD_PRESERVING)


def _redirect_target(here: Address, request: Request, response: ProbeResponse) -> tuple[Address, str]:
    """The address and path that a redirect leads to. Raises ProbeError if no request can be sent there."""
    # Header lines are bytes; browsers read those beyond ASCII as UTF-8.
    location = response.location.encode("latin-1", "replace").decode(errors="replace")
    try:
        url = urlsplit(urljoin(f"{here.origin}{request_target(here, request.path)}", location))
        address = parse_address(f"{url.scheme}://{url.netloc}")
    except ValueError:
        shown = excerpt(response.location.rpartition("@")[2])
        raise ProbeError(Failure.NOT_READ_HERE, f"a redirect to {shown}", response.status) from None
    return address, (url.path or "/") + (f"?{url.query}" if url.query else "")


def excerpt(data: bytes | str, limit: int = 160) -> str:
    """The beginning of a text from the target, on one line and safe to print on a terminal."""
    text = data[: 4 * limit].decode(errors="replace") if isinstance(data, bytes) else data[: 4 * limit]
    text = one_line(_BLANKS.sub(" ", text).strip())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def dial(dialer: Dialer, deadline: float, turn: int) -> socket.socket:
    """A connection to the address at `turn`. Raises ProbeError."""
    try:
        return dialer.open(deadline, turn)
    except DialError as error:
        raise ProbeError.from_dial(error) from error


def peer_of(sock: socket.socket) -> str:
    """The IP address at the other end; empty if the connection has ended already."""
    try:
        return str(sock.getpeername()[0])
    except OSError:
        return ""


def _readable(sock: socket.socket) -> bool:
    # Not a selector, which would need another file descriptor.
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
