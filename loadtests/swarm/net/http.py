"""The swarm's HTTP client: one response per request, nothing resent, nothing raised, and the time of sending.

It reads what a browser would read: any framing, encodings, redirects. Failures of the rig (a limit that it hit, a
response that it cannot read) are kept apart from failures of the target.
"""

import errno
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gevent import get_hub, socket
from gevent.hub import Waiter
from gevent.lock import Semaphore

from chatswarm.loadtests.history.tables import UNREADABLE_HERE
from chatswarm.loadtests.net.address import Address, parse_address
from chatswarm.loadtests.net.cookies import CookieJar
from chatswarm.loadtests.net.encodings import DecodedBodies, UnreadableEncoding
from chatswarm.loadtests.net.headers import Headers
from chatswarm.loadtests.protocols.protocol import Request
from chatswarm.loadtests.system.rig_limits import RESOURCES, rig_limit_errno
from chatswarm.loadtests.system.text import one_line

from .addresses import Endpoint, connect, peer_of
from .incoming import READABLE, reader_of
from .outbox import Outbox
from .requests import MOST_REDIRECTS, REDIRECTS, OutgoingRequest, Unfollowable, Unsendable, outgoing, redirected
from .responses import Malformed, ResponseReader, TooLarge, headers_in
from .tls import wrapped

TIMEOUT = 10.0
"""Seconds within which an exchange must end with a complete response."""

IDLE_LIMIT = 1.0
"""Seconds after which an idle connection is not reused: servers close idle connections after 2 s or more, and a request
that crosses the close on its way is lost, though neither side is at fault."""

_LONGEST_SHOWN = 200  # characters of the target's text in an error
_SETS_COOKIES = re.compile(rb"^set-cookie[ \t]*:", re.IGNORECASE | re.MULTILINE)
_KEEP_ALIVE_TIMEOUT = re.compile(r"\btimeout\s*=\s*(\d{1,9})", re.IGNORECASE)
_NEVER = float("nan")

Note = Callable[[str, str], object]
"""Takes the kind and detail of something worth knowing that is nobody's fault."""


class Kept(NamedTuple):
    """What names a response of the target that a browser keeps."""

    path: str
    etag: bytes


class Response(NamedTuple):
    """The result of a request. Times are in monotonic seconds.

    `status` 0 means no response, and `error` says why. A negative `status` means that the rig is at fault: `-errno`, or
    UNREADABLE_HERE.
    """

    status: int
    body: bytes
    complete: bool  # the response was read to its end
    sent: float  # when the request's bytes went out on an open connection; NaN if there was none
    done: float
    error: str = ""
    retry_after: str | None = None
    undecoded: bool = False  # it is complete, but in an encoding that this rig cannot read; `body` is empty
    peer: str = ""  # host:port that it came from, IPv6 in brackets: the fault proxy's behind one; empty without one
    raw_head: Sequence[bytes] = ()  # for `headers`
    kept: Kept | None = None  # what a browser would ask with later whether it has changed

    @property
    def headers(self) -> Headers:
        """The header fields, of the last response after redirects. They are parsed on each call."""
        return headers_in(self.raw_head)

    @property
    def written(self) -> bool:
        """Whether some of the request may have gone out."""
        return self.sent == self.sent

    @property
    def problem(self) -> str:
        """For people: why this is not a complete, decoded 2xx; empty if it is."""
        if self.complete and 200 <= self.status < 300 and not self.undecoded:
            return ""
        return self.error or f"status {self.status}"

    @property
    def reading(self) -> int:
        """The status to record for a read: 0 if it is incomplete, UNREADABLE_HERE for a 2xx that was not decoded."""
        if self.undecoded and 200 <= self.status < 300:
            return UNREADABLE_HERE
        return self.status if self.complete or self.status < 0 else 0


class _Prepared(NamedTuple):
    """A request as it was last sent."""

    request: Request
    sending: OutgoingRequest
    data: bytes
    cookies: str
    may_ask_again: bool


class Client:
    """One user's persistent connections to one target, with at most `concurrency` exchanges at a time."""

    def __init__(
        self, address: Address, concurrency: int, via: Endpoint | None = None, *, origin: str | None = None,
        traffic: str = "http", note: Note | None = None, cookies: CookieJar | None = None,
    ) -> None:  # fmt: skip
        """`via`: a proxy's address to connect to instead of the target's; `origin`: the Origin header's value;
        `traffic`: see `addresses.connect`; `note`: called with each address that was skipped; `cookies`: what every
        response, redirects included, sets them in, and every request sends them from.
        """
        self._address = address
        self._via = via
        self._origin = origin
        self._traffic = traffic
        self._note = note
        self._cookies = cookies
        self._slots = Semaphore(concurrency)
        self._idle: list[_Connection] = []
        self._idle_elsewhere: dict[Address, list[_Connection]] = {}  # after redirects
        self._last: _Prepared | None = None
        self._closed = False

    def send_request(self, request: Request, kept: Kept | None = None) -> Response:
        """See `exchange`."""
        state = _ExchangeState(time.monotonic() + TIMEOUT)
        if not self._slots.acquire(timeout=TIMEOUT):
            return state.failed(0, f"no free connection within {TIMEOUT:g} s")
        try:
            if time.monotonic() >= state.deadline:
                # The slot came too late: a request sent now could not get its response in time.
                return state.failed(0, f"no free connection within {TIMEOUT:g} s")
            sending, data = self._prepared(request, kept)
            return self._follow(sending, data, state)
        except Unsendable as error:
            return state.failed(-errno.EINVAL, str(error))
        except Exception as error:  # noqa: BLE001 - last line of defence: every request has an outcome
            return state.failed(UNREADABLE_HERE, f"the rig failed: {_described(error)}")
        finally:
            self._slots.release()

    def close(self) -> None:
        """Closes idle connections now, and those in use as soon as they are released."""
        self._closed = True
        self.close_idle()

    def close_idle(self) -> None:
        """Closes idle connections, each of which is an open file."""
        for connections in (self._idle, *self._idle_elsewhere.values()):
            for connection in connections:
                connection.close()
            connections.clear()

    def _prepared(self, request: Request, kept: Kept | None) -> tuple[OutgoingRequest, bytes]:
        last = self._last
        if last is None or last.request != request or last.cookies != self._cookies_for(last.sending):
            sending = outgoing(self._address, request, self._origin)
            cookies = self._cookies_for(sending)
            last = self._last = _Prepared(
                request, sending, sending.wire(cookies), cookies, may_ask_again=sending.may_ask_again
            )
        if kept is not None and last.may_ask_again and kept.path == last.sending.path:
            return last.sending, b"%bIf-None-Match: %b\r\n\r\n" % (last.data[:-2], kept.etag)
        return last.sending, last.data

    def _cookies_for(self, sending: OutgoingRequest) -> str:
        return self._cookies.header(sending.url) if self._cookies else ""

    def _follow(self, sending: OutgoingRequest, data: bytes, state: "_ExchangeState") -> Response:
        for hop in range(MOST_REDIRECTS):
            response = self._once(sending, data, state)
            if hop:
                error = f"redirected to {sending.address.origin}: {response.error}" if response.error else ""
                response = response._replace(error=error, kept=None)
            if not state.location:
                return response
            try:
                further = redirected(sending, response.status, state.location)
            except Unfollowable as error:
                return response._replace(error=f"{response.error}: {error}")
            if further is None:
                return response
            sending, data = further, further.wire(self._cookies_for(further))
        response = self._once(sending, data, state)._replace(kept=None)
        if state.location:
            response = response._replace(error=f"{response.error}: more than {MOST_REDIRECTS} redirects")
        return response

    def _once(self, sending: OutgoingRequest, data: bytes, state: "_ExchangeState") -> Response:
        """Sends one request on one connection and reads its response."""
        state.location = ""
        connection: _Connection | None = None
        keep = False
        try:
            connection = self._connection(sending.address, state)
            reading = connection.reading
            reading.begin(bodiless=sending.method == "HEAD")
            if state.sent != state.sent:  # NaN: this is the first request
                state.sent = time.monotonic()
            connection.exchange(data, state.deadline)
            response = state.response_from(reading, connection.peer, sending.path)
            keep = reading.reusable
        except TimeoutError as error:
            text = _described(error)
            if not error.args or time.monotonic() >= state.deadline:
                text = f"no {'connection' if connection is None else 'full answer'} within {TIMEOUT:g} s"
            response = state.failed(_status(connection), text, connection)
        except TooLarge as error:
            response = state.failed(UNREADABLE_HERE, f"the answer is too large for this rig: {error}", connection)
        except (OSError, EOFError, Malformed) as error:
            limit = rig_limit_errno(error)
            if connection is not None and limit not in RESOURCES:
                limit = None  # the other limits are the rig's only while connecting
            response = state.failed(_status(connection) if limit is None else -limit, _described(error), connection)
        finally:
            if connection is not None:
                if self._cookies is not None:
                    _store_cookies(self._cookies, sending, connection.reading)
                if keep and not self._closed:
                    connection.reading.forget()
                    connection.idle_since, connection.keep_for = response.done, state.keep_for
                    self._keep(connection, self._idle_to(sending.address))
                else:
                    connection.close()
        return response

    def _connection(self, address: Address, state: "_ExchangeState") -> "_Connection":
        """An idle connection that is still open, or a new one. Raises OSError."""
        idle = self._idle_to(address)
        while idle:
            connection = idle.pop()
            idled = time.monotonic() - connection.idle_since
            if idled <= min(IDLE_LIMIT, connection.keep_for) and connection.is_quiet():
                return connection
            connection.close()
        host, port = self._via if self._via is not None and address is self._address else (address.host, address.port)
        tcp = connect(host, port, state.left(), self._traffic, self._note_skipped)
        return _Connection(tcp, address, state.left())

    def _idle_to(self, address: Address) -> list["_Connection"]:
        return self._idle if address is self._address else self._idle_elsewhere.setdefault(address, [])

    @staticmethod
    def _keep(connection: "_Connection", idle: list["_Connection"]) -> None:
        """Makes a connection idle. The newest is used first, so those left over from a burst gather at the front."""
        while idle and connection.idle_since - idle[0].idle_since > IDLE_LIMIT:
            idle.pop(0).close()
        idle.append(connection)

    def _note_skipped(self, detail: str) -> None:
        if self._note is not None:
            self._note("passed_over", detail)


class _ExchangeState:
    """The state of an exchange that is running."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.sent = _NEVER
        self.location = ""
        self.keep_for = float("inf")  # seconds for which the server certainly keeps an idle connection open

    def left(self) -> float:
        return max(0.001, self.deadline - time.monotonic())

    def response_from(self, reading: ResponseReader, peer: str, path: str) -> Response:
        done = time.monotonic()  # before decoding, whose cost is the rig's
        status, body, error, retry_after, undecoded = reading.status, reading.body, "", None, False
        encoding, self.location, retry, keep_alive = reading.head
        if keep_alive and (timeout := _KEEP_ALIVE_TIMEOUT.search(keep_alive)):
            self.keep_for = float(timeout[1]) / 2
        if encoding:
            try:
                body = _memory.decoded(encoding, body)
            except UnreadableEncoding as failure:
                body, error, undecoded = b"", _shortened(str(failure)), True
                if not 200 <= status < 300:
                    error = f"status {status}, {error}"
        if status in REDIRECTS:
            error = f"status {status}, " + (
                f"Location: {_shortened(self.location)}" if self.location else "no Location"
            )
        else:
            self.location = ""
        if status in (429, 503) and retry:
            retry_after = retry
        kept = Kept(path, validator) if (validator := reading.validator) else None
        return Response(
            status, body, True, self.sent, done, error, retry_after, undecoded, peer, reading.raw_head, kept
        )

    def failed(self, status: int, error: str, connection: "_Connection | None" = None) -> Response:
        if connection is None:
            return Response(status, b"", False, self.sent, time.monotonic(), error)
        reading = connection.reading
        return Response(
            status, b"" if status < 0 else reading.body, False, self.sent, time.monotonic(), error,
            peer=connection.peer, raw_head=reading.raw_head,
        )  # fmt: skip


class _Connection:
    """An open connection, with TLS if the address asks for it. Raises OSError if TLS fails.

    A watcher of the event loop reads from it until it is closed, so an exchange needs no system call for waiting.
    """

    def __init__(self, tcp: socket.socket, address: Address, timeout: float) -> None:
        connection: Any = tcp
        try:
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peer = peer_of(tcp)
            if address.secure:
                tcp.settimeout(timeout)
                connection = wrapped(tcp, address.host)
            connection.settimeout(0)
        except BaseException:
            connection.close()
            raise
        self.reading = ResponseReader()
        self.idle_since, self.keep_for = 0.0, 0.0
        self._read = reader_of(connection, secure=address.secure)
        self._outbox = Outbox(connection, secure=address.secure)
        self._waiter: Waiter[None] | None = None  # of the exchange that is running
        self._watcher = get_hub().loop.io(connection.fileno(), READABLE)
        self._watcher.start(self._on_readable)

    def is_quiet(self) -> bool:
        """Whether the other side has neither closed an idle connection, nor sent something without a request."""
        if not self._watcher.active:
            return False
        try:
            self._read()
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def exchange(self, data: bytes, deadline: float) -> None:
        """Sends a request and reads the whole response. Raises OSError, EOFError, Malformed, TooLarge."""
        outbox = self._outbox
        outbox.push(data)
        if outbox.failure is not None and rig_limit_errno(outbox.failure) in RESOURCES:
            raise outbox.failure
        # Otherwise it goes on: a server that refuses a request may respond and close before it has read all of it.
        self._waiter = Waiter()
        timer = get_hub().loop.timer(max(0.001, deadline - time.monotonic()))
        timer.start(self._waiter.throw, TimeoutError(), update=True)  # the loop knows the time of its last event
        try:
            self._waiter.get()
        finally:
            timer.close()
            self._waiter = None
        if outbox.waiting or outbox.failure is not None:
            self.reading.reusable = False

    def close(self) -> None:
        self._watcher.close()
        self._outbox.close()
        self.reading.close()

    def _on_readable(self) -> None:
        """Takes what has come, and wakes the exchange once its response is complete or has failed."""
        waiter = self._waiter
        if waiter is None:
            if not self.is_quiet():
                self._watcher.stop()  # which `is_quiet` remembers
            return
        try:
            data = self._read()
            if self._outbox.must_read:
                self._outbox.drain()
            self._feed(data)
        except BlockingIOError:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where the response is awaited
            failure: Exception | None = error
            if isinstance(error, (OSError, EOFError)):
                failure = self._outbox.failure or error  # the first failure
            self._watcher.stop()
            waiter.throw(failure)
        else:
            if self.reading.complete:
                waiter.switch(None)

    def _feed(self, data: bytes) -> None:
        reading = self.reading
        if data:
            reading.feed(data)
            return
        reading.end()
        if not reading.complete:
            raise EOFError(
                "the connection was closed in the middle of the answer"
                if reading.began
                else "the connection was closed without an answer"
            )


def client_for(
    url: str, concurrency: int, via: Endpoint | None = None, *, origin: str | None = None, traffic: str = "http",
    note: Note | None = None, cookies: CookieJar | None = None,
) -> Client:  # fmt: skip
    """A client for the target at a base URL: see Client. Raises ValueError if the URL is not a base URL."""
    return Client(parse_address(url), concurrency, via, origin=origin, traffic=traffic, note=note, cookies=cookies)


def exchange(client: Client, request: Request, kept: Kept | None = None) -> Response:
    """Makes one request and reads the whole response, in the calling greenlet. Raises nothing.

    Follows redirects as a browser does; `sent` is when the first request went out. `kept`: that of an earlier response;
    if the target says 304, that one is still good.
    """
    return client.send_request(request, kept)


def _store_cookies(jar: CookieJar, sending: OutgoingRequest, reading: ResponseReader) -> None:
    came = b"".join(reading.raw_head)
    end = came.find(b"\r\n\r\n")
    # Most responses set none, and parsing takes longer than looking.
    if _SETS_COOKIES.search(came, 0, end if end >= 0 else len(came)):
        jar.store(sending.url, headers_in(reading.raw_head))


def _status(connection: _Connection | None) -> int:
    return 0 if connection is None else connection.reading.status


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {_shortened(str(error))}" if str(error) else type(error).__name__


def _shortened(text: str) -> str:
    return one_line(text[:_LONGEST_SHOWN])


_memory = DecodedBodies()
