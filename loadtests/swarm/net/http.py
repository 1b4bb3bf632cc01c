"""HTTP for the swarm: one request, one answer, nothing resent, nothing raised, and the moment it went out.

What a browser would read is read: any framing, encodings, redirects. What the rig itself is short of, or cannot read,
is told apart from what the target did.
"""

import errno
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from gevent import select, socket
from gevent.lock import Semaphore
from gevent.monkey import get_original

from chatswarm.loadtests.history.tables import UNREADABLE_HERE
from chatswarm.loadtests.net.address import Address, parse_address
from chatswarm.loadtests.net.encodings import DecodedBodies, UnreadableEncoding
from chatswarm.loadtests.protocols.protocol import Request
from chatswarm.loadtests.system.rig_limits import RESOURCES, own_errno
from chatswarm.loadtests.system.text import one_line

from .addresses import Endpoint, connect
from .requests import MOST_REDIRECTS, REDIRECTS, OutgoingRequest, Unfollowable, Unsendable, outgoing, redirected
from .responses import Malformed, ResponseReader, TooLarge
from .tls import wrapped

TIMEOUT = 10.0
"""Seconds after which an exchange without a full answer is given up."""

IDLE_LIMIT = 1.0
"""Seconds after which an idle connection is not used again: servers close theirs after 2 s at the least, and a request
that meets the closing is lost through nobody's fault."""

_BLOCK = 65536
_LONGEST_SHOWN = 200  # characters of what a target says, in an error
_KEPT = re.compile(r"\btimeout\s*=\s*(\d{1,9})", re.IGNORECASE)
_NEVER = float("nan")
_POLLIN = 1  # poll's word for readable, and for closed by the other side
_poll: Any = get_original("select", "poll")  # one look without waiting, which gevent's cannot do

Note = Callable[[str, str], object]
"""Takes a kind and a detail: what is worth knowing and nobody's fault."""


class Response(NamedTuple):
    """What came of a request. `status` 0: no answer; `error` says why. Times are monotonic seconds.

    A negative `status` is no answer either, and the rig's own doing: `-errno`, or UNREADABLE_HERE.
    """

    status: int
    body: bytes
    complete: bool  # the answer was read to its end
    sent: float  # when its bytes went out on a connection that stood; NaN if there never was one
    done: float
    error: str = ""
    retry_after: str | None = None
    undecoded: bool = False  # it came whole, in an encoding that this rig cannot read; `body` is empty

    @property
    def written(self) -> bool:
        """Whether some of the request may have gone out."""
        return self.sent == self.sent

    @property
    def problem(self) -> str:
        """For people: why this is not a full 2xx that was read; empty if it is one."""
        if self.complete and 200 <= self.status < 300 and not self.undecoded:
            return ""
        return self.error or f"status {self.status}"

    @property
    def reading(self) -> int:
        """The status that a read records: 0 unless it came whole, UNREADABLE_HERE for a 2xx that was not decoded."""
        if self.undecoded and 200 <= self.status < 300:
            return UNREADABLE_HERE
        return self.status if self.complete or self.status < 0 else 0


class Client:
    """Kept connections of one user to one target, with at most `concurrency` exchanges at a time."""

    def __init__(
        self, address: Address, concurrency: int, via: Endpoint | None = None, *, origin: str | None = None,
        lane: str = "http", note: Note | None = None,
    ) -> None:  # fmt: skip
        """`via`: a proxy's address instead of the target's own; `origin`: for the Origin header; `lane`: see
        `addresses.connect`; `note`: told of addresses that were passed over.
        """
        self._address = address
        self._via = via
        self._origin = origin
        self._lane = lane
        self._note = note
        self._slots = Semaphore(concurrency)
        self._idle: dict[Address, list[_Connection]] = {}
        self._last: tuple[Request, OutgoingRequest, bytes] | None = None
        self._closed = False

    def send_request(self, request: Request) -> Response:
        """See `exchange`."""
        state = _ExchangeState(time.monotonic() + TIMEOUT)
        if not self._slots.acquire(timeout=TIMEOUT):
            return state.failed(0, f"no free connection within {TIMEOUT:g} s")
        try:
            if time.monotonic() >= state.deadline:
                # It was free at the last moment: what went out now could not be answered in time.
                return state.failed(0, f"no free connection within {TIMEOUT:g} s")
            return self._follow(*self._prepared(request), state)
        except Unsendable as error:
            return state.failed(-errno.EINVAL, str(error))
        except Exception as error:  # noqa: BLE001 - the last line of defence: whatever it is, there is an outcome
            return state.failed(UNREADABLE_HERE, f"the rig failed: {_described(error)}")
        finally:
            self._slots.release()

    def close(self) -> None:
        """Closes what is idle now, and what is in use when it is given back."""
        self._closed = True
        self.close_idle()

    def close_idle(self) -> None:
        """Closes what is idle now: each is an open file."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    def _prepared(self, request: Request) -> tuple[OutgoingRequest, bytes]:
        last = self._last
        if last is not None and last[0] is request:
            return last[1:]
        sending = outgoing(self._address, request, self._origin)
        data = sending.wire()
        self._last = request, sending, data
        return sending, data

    def _follow(self, sending: OutgoingRequest, data: bytes, state: "_ExchangeState") -> Response:
        for hop in range(MOST_REDIRECTS):
            response = self._once(sending, data, state)
            if hop and response.error:
                response = response._replace(error=f"redirected to {sending.address.origin}: {response.error}")
            if not state.location:
                return response
            try:
                further = redirected(sending, response.status, state.location)
            except Unfollowable as error:
                return response._replace(error=f"{response.error}: {error}")
            if further is None:
                return response
            sending, data = further, further.wire()
        response = self._once(sending, data, state)
        if state.location:
            response = response._replace(error=f"{response.error}: more than {MOST_REDIRECTS} redirects")
        return response

    def _once(self, sending: OutgoingRequest, data: bytes, state: "_ExchangeState") -> Response:
        """One request on one connection, and what came back."""
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
            response = state.response_from(reading)
            keep = reading.reusable
        except TimeoutError as error:
            text = _described(error)
            if time.monotonic() >= state.deadline:
                text = f"no {'connection' if connection is None else 'full answer'} within {TIMEOUT:g} s"
            response = state.failed(_status(connection), text, connection)
        except TooLarge as error:
            response = state.failed(UNREADABLE_HERE, f"the answer is too large for this rig: {error}", connection)
        except (OSError, EOFError, Malformed) as error:
            own = own_errno(error)
            if own is not None and connection is not None and own not in RESOURCES:
                own = None
            response = state.failed(_status(connection) if own is None else -own, _described(error), connection)
        finally:
            if connection is not None:
                if keep and not self._closed:
                    connection.idle_since, connection.keep_for = time.monotonic(), state.keep_for
                    self._keep(connection, self._idle.setdefault(sending.address, []))
                else:
                    connection.close()
        return response

    def _connection(self, address: Address, state: "_ExchangeState") -> "_Connection":
        """One that idles and still stands, or a new one. Raises OSError."""
        idle = self._idle.get(address)
        while idle:
            connection = idle.pop()
            idled = time.monotonic() - connection.idle_since
            if idled <= min(IDLE_LIMIT, connection.keep_for) and not connection.is_readable():
                return connection
            connection.close()
        host, port = self._via if self._via is not None and address is self._address else (address.host, address.port)
        return _Connection(connect(host, port, state.left(), self._lane, self._passed_over), address, state.left())

    @staticmethod
    def _keep(connection: "_Connection", idle: list["_Connection"]) -> None:
        """The newest is used first, so those of a burst that nobody uses again gather at the front."""
        while idle and connection.idle_since - idle[0].idle_since > IDLE_LIMIT:
            idle.pop(0).close()
        idle.append(connection)

    def _passed_over(self, detail: str) -> None:
        if self._note is not None:
            self._note("passed_over", detail)


class _ExchangeState:
    """What is known of an exchange while it goes on."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.sent = _NEVER
        self.location = ""
        self.keep_for = float("inf")  # seconds for which the server is sure to keep an idle connection

    def left(self) -> float:
        return max(0.001, self.deadline - time.monotonic())

    def response_from(self, reading: ResponseReader) -> Response:
        done = time.monotonic()  # what decoding costs is the rig's
        status, body, error, retry_after, undecoded = reading.status, reading.body, "", None, False
        encoding, self.location, retry, keep_alive = reading.head
        if keep_alive and (told := _KEPT.search(keep_alive)):
            self.keep_for = float(told[1]) / 2
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
        return Response(status, body, True, self.sent, done, error, retry_after, undecoded)

    def failed(self, status: int, error: str, connection: "_Connection | None" = None) -> Response:
        body = b"" if connection is None or status < 0 else connection.reading.body
        return Response(status, body, False, self.sent, time.monotonic(), error)


class _Connection:
    """A connection that stands, TLS and all. Raises OSError where it does not come about."""

    def __init__(self, tcp: socket.socket, address: Address, timeout: float) -> None:
        self._socket: Any = tcp
        try:
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if address.secure:
                tcp.settimeout(timeout)
                self._socket = wrapped(tcp, address.host)
        except BaseException:
            tcp.close()
            raise
        self._secure = address.secure
        self.reading = ResponseReader()
        self.idle_since, self.keep_for = 0.0, 0.0
        self._look = _poll()
        self._look.register(tcp.fileno() if not address.secure else self._socket.fileno(), _POLLIN)

    def is_readable(self) -> bool:
        """Whether an idle connection has been closed by the other side, or has said something unasked."""
        return bool(self._look.poll(0))

    def exchange(self, data: bytes, deadline: float) -> None:
        """Sends a request and reads to the end of the answer. Raises OSError, EOFError, Malformed, TooLarge."""
        reading, recv = self.reading, self._socket.recv
        self._settle(deadline)
        unsent = self._send(data, deadline)
        while not reading.complete:
            self._settle(deadline)
            try:
                came = recv(_BLOCK)
            except OSError:
                if unsent is not None:
                    raise unsent from None  # what was wrong first
                raise
            if came:
                reading.feed(came)
                continue
            reading.end()
            if not reading.complete:
                raise unsent or EOFError(
                    "the connection was closed in the middle of the answer"
                    if reading.began
                    else "the connection was closed without an answer"
                )
        if unsent is not None:
            reading.reusable = False

    def close(self) -> None:
        self._socket.close()
        self.reading.close()

    def _settle(self, deadline: float) -> None:
        self._socket.settimeout(max(0.001, deadline - time.monotonic()))

    def _send(self, data: bytes, deadline: float) -> OSError | None:
        """Sends it all, or up to where an answer comes before its time. Returns why the rest could not be sent."""
        try:
            if self._secure or len(data) <= _BLOCK:
                self._socket.sendall(data)
            else:
                self._send_listening(memoryview(data), deadline)
        except TimeoutError:
            raise
        except OSError as error:
            # A server that refuses a request may answer and close before it has read it all.
            if own_errno(error) in RESOURCES:
                raise
            return error
        return None

    def _send_listening(self, data: memoryview, deadline: float) -> None:
        """A long request. Raises OSError: BrokenPipeError if an answer came before all was sent."""
        while data:
            number, left = self._socket.fileno(), max(0.001, deadline - time.monotonic())
            readable, writable, _ = select.select([number], [number], [], left)
            if readable:
                raise BrokenPipeError(errno.EPIPE, "an answer came before the request was sent")
            if not writable:
                raise TimeoutError
            self._socket.settimeout(0)
            data = data[self._socket.send(data[:_BLOCK]) :]


def client_for(
    url: str, concurrency: int, via: Endpoint | None = None, *, origin: str | None = None, lane: str = "http",
    note: Note | None = None,
) -> Client:  # fmt: skip
    """A client for the target at a base URL. See Client. Raises ValueError if it is no such URL."""
    return Client(parse_address(url), concurrency, via, origin=origin, lane=lane, note=note)


def exchange(client: Client, request: Request) -> Response:
    """Makes one request and reads the whole answer. Call it in the greenlet whose time it is. Raises nothing.

    Redirects are followed as a browser follows them: `sent` is that of the first request.
    """
    return client.send_request(request)


def _status(connection: _Connection | None) -> int:
    return 0 if connection is None else connection.reading.status


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {_shortened(str(error))}" if str(error) else type(error).__name__


def _shortened(text: str) -> str:
    return one_line(text[:_LONGEST_SHOWN])


_memory = DecodedBodies()
