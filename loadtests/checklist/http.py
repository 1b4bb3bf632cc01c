"""Plain blocking HTTP, in which every wait ends at a moment that the caller gives.

Every `deadline` is a reading of `time.monotonic()`. Whatever goes wrong is a `ProbeError`, and nothing else.
No proxy from the environment; certificates are verified. HTTP is taken as a browser takes it: compressed, redirected.
"""

import contextlib
import re
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit

from chatswarm.loadtests.net.address import Address, parse_address
from chatswarm.loadtests.net.dialing import Dialer, DialError, broken_off, left, request_target
from chatswarm.loadtests.net.encodings import ACCEPTED, UnreadableEncoding, decoded
from chatswarm.loadtests.net.responses import (
    EndedEarlyError,
    NothingCameError,
    NotHttpError,
    Reader,
    ResponseHead,
    TooLargeError,
    read_body,
    read_head,
    stays_open,
)
from chatswarm.loadtests.protocols.protocol import Request
from chatswarm.loadtests.system.rig_limits import OwnLimit
from chatswarm.loadtests.system.text import one_line

from .symptoms import Failure

MOST = 32 << 20
"""Bytes of one answer or message; the list of the largest chats is far below."""

_IDLE = 1.0  # seconds after which a connection is not used again: servers close theirs after 2 s at the earliest
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_KEEPING_THE_METHOD = (307, 308)
_T = TypeVar("_T")
_BLANKS = re.compile(r"[ \t\r\n]+")


class ProbeError(Exception):
    """What went wrong with the target, in terms that a diagnosis can be made from.

    `retry_after` is what an answer asked to wait; `own` the limit of this machine that is to blame, if one is.
    """

    def __init__(
        self,
        failure: Failure,
        detail: str = "",
        status: int | None = None,
        retry_after: str = "",
        own: OwnLimit | None = None,
    ) -> None:
        super().__init__(f"{failure}: {detail}")
        self.failure = failure
        self.detail = detail
        self.status = status
        self.retry_after = retry_after
        self.own = own


class ProbeResponse(NamedTuple):
    """One HTTP answer, read to its end. `done` is when, `took` how long since the request went out, in seconds."""

    status: int
    body: bytes
    location: str
    done: float
    took: float
    retry_after: str = ""
    redirected: str = ""  # for people: by which status it was redirected, and where to; empty if it was not


class Http:
    """One HTTP connection at a time, kept alive where the target allows it, and those that redirects lead to."""

    def __init__(self, dialer: Dialer, origin: str | None = None, turn: int = 0) -> None:
        """`turn`: at which of the target's addresses its connections begin to go round."""
        self._dialer = dialer
        self._origin = origin
        self._turn = turn
        self._server = replace(dialer.address, prefix="")  # a redirect names the whole path
        self._sock: socket.socket | None = None
        self._used = 0.0  # when the last answer on it was read
        self._others: dict[str, Http] = {}
        self.peers: set[str] = set()  # the numbers of all addresses that it was connected to

    def open(self, deadline: float) -> socket.socket:
        """Has a connection ready, so that the next request does not wait for one."""
        # What is readable between two answers is the end of the connection.
        if self._sock is not None and (_readable(self._sock) or time.monotonic() - self._used > _IDLE):
            self.close()
        if self._sock is None:
            self._sock = dial(self._dialer, deadline, self._turn)
            self._turn += 1
            self._used = time.monotonic()
            self.peers.add(peer_of(self._sock))
        return self._sock

    def reach(self, deadline: float) -> None:
        """Returns if "/" has any HTTP answer. Its body, and where it may redirect to, do not matter."""
        self._exchange(self._whole(Request("GET", "/")), deadline, lambda _reader, _head: None)
        self.close()  # its body was left unread

    def request(self, request: Request, deadline: float) -> ProbeResponse:
        """The answer, whatever its status, as a browser would have it: after redirects, and decoded."""
        began = time.monotonic()
        http, redirected, request = self, "", self._whole(request)
        for _ in range(_MOST_REDIRECTS + 1):
            answer = http._ask(request, deadline)
            if not _redirects(request.method, answer):
                return answer._replace(took=answer.done - began, redirected=redirected)
            address, path = _elsewhere(http._server, request, answer)
            http, request = self._follow(address, path, request, answer.status)
            redirected = f"redirected by {answer.status} to {excerpt(answer.location, 100)}"
        raise ProbeError(
            Failure.NOT_READ_HERE, f"more than {_MOST_REDIRECTS} redirects, the last to {excerpt(answer.location)}"
        )

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        for other in self._others.values():
            other.close()

    def _whole(self, request: Request) -> Request:
        """The same, with the path that stands before all others."""
        return replace(request, path=self._dialer.address.prefix + request.path)

    def _follow(self, address: Address, path: str, request: Request, status: int) -> "tuple[Http, Request]":
        """Whom to ask, and what. A token is for nobody else."""
        http, headers = self, dict(request.headers)
        if address.origin != self._server.origin:
            headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            if address.origin not in self._others:
                self._others[address.origin] = Http(self._dialer.beside(address), self._origin)
            http = self._others[address.origin]
        body = request.body if status in _KEEPING_THE_METHOD else None
        return http, Request(request.method, path, body, headers)

    def _ask(self, request: Request, deadline: float) -> ProbeResponse:
        def read(reader: Reader, head: ResponseHead) -> bytes:
            try:
                body = read_body(reader, head, MOST)
                done.append(time.monotonic())
                return decoded(head.value("content-encoding"), body, MOST)
            except TooLargeError:
                raise ProbeError(Failure.NOT_READ_HERE, f"more than {MOST >> 20} MiB", head.status) from None
            except UnreadableEncoding as error:
                raise ProbeError(Failure.NOT_READ_HERE, excerpt(str(error)), head.status) from None

        done: list[float] = []
        began, head, body = self._exchange(request, deadline, read)
        location, retry_after = head.first("location"), head.first("retry-after")
        return ProbeResponse(head.status, body, location, done[0], done[0] - began, retry_after)

    def _exchange(
        self, request: Request, deadline: float, read: Callable[[Reader, ResponseHead], _T]
    ) -> tuple[float, ResponseHead, _T]:
        """Sends it, and reads its answer: when it went out, the answer's head, and what `read` made of the rest."""
        sock = self.open(deadline)
        began = time.monotonic()
        alive = False
        try:
            with as_probe_errors():
                sock.settimeout(left(deadline))
                sock.sendall(_bytes(self._server, request, self._origin))
                reader = Reader(sock, deadline)
                head = read_head(reader)
                found = read(reader, head)
                alive = stays_open(head) and not reader.buffer
        finally:
            self._used = time.monotonic()
            if not alive:
                self.close()
        return began, head, found


@contextlib.contextmanager
def as_probe_errors() -> Iterator[None]:
    """What may go wrong with an answer to a request or a handshake, as ProbeError."""
    try:
        yield
    except EndedEarlyError as error:
        raise ProbeError(Failure.CLOSED, "in the middle of the answer") from error
    except OSError as error:
        raise broken(error) from error
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


def _redirects(method: str, answer: ProbeResponse) -> bool:
    """Whether a browser asks again elsewhere, and for the same."""
    return bool(answer.location) and answer.status in (_REDIRECTS if method == "GET" else _KEEPING_THE_METHOD)


def _elsewhere(here: Address, request: Request, answer: ProbeResponse) -> tuple[Address, str]:
    """Where a redirect leads to: the place, and the path there. Raises ProbeError if that is no place for a request."""
    # Header lines are bytes; a browser takes those beyond ASCII for UTF-8.
    told = answer.location.encode("latin-1", "replace").decode(errors="replace")
    try:
        url = urlsplit(urljoin(f"{here.origin}{request_target(here, request.path)}", told))
        address = parse_address(f"{url.scheme}://{url.netloc}")
    except ValueError:
        said = excerpt(answer.location.rpartition("@")[2])
        raise ProbeError(Failure.NOT_READ_HERE, f"a redirect to {said}", answer.status) from None
    return address, (url.path or "/") + (f"?{url.query}" if url.query else "")


def excerpt(said: bytes | str, most: int = 160) -> str:
    """The beginning of what a target said, on one line and safe to print on a terminal."""
    text = said[: 4 * most].decode(errors="replace") if isinstance(said, bytes) else said[: 4 * most]
    text = one_line(_BLANKS.sub(" ", text).strip())
    return text if len(text) <= most else text[: most - 1] + "…"


def dial(dialer: Dialer, deadline: float, turn: int) -> socket.socket:
    """A connection to the address whose turn it is."""
    try:
        return dialer.open(deadline, turn)
    except DialError as error:
        raise probe_error(error) from error


def probe_error(error: DialError) -> ProbeError:
    """The same in the words of a step."""
    return ProbeError(Failure(error.trouble), excerpt(error.detail), own=error.own)


def broken(error: OSError) -> ProbeError:
    """What it means that a connection that stood has failed."""
    if isinstance(error, NothingCameError):
        return ProbeError(Failure.CLOSED)
    return probe_error(broken_off(error))


def peer_of(sock: socket.socket) -> str:
    """The number of the address that it is connected to."""
    try:
        return str(sock.getpeername()[0])
    except OSError:  # it has ended already
        return ""


def _readable(sock: socket.socket) -> bool:
    # Not a selector: that would need a file of its own.
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
