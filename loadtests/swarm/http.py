"""HTTP for the swarm: one request, one answer, nothing resent, nothing raised, and the moment it went out.

On FastHttpUser's own client, but below its session, which costs as much again as the whole exchange, and without its
resending a GET on a cut connection, which would hide a broken refetch.
"""

import time
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import gevent
import geventhttpclient.client
from geventhttpclient.client import HTTPClient, HTTPClientPool
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError

from chatswarm.loadtests.targets.target import Request

from .addresses import Address, addresses

TIMEOUT = 10.0
"""Seconds after which an exchange without a full answer is given up."""

IDLE_LIMIT = 1.0
"""Seconds after which an idle connection is not used again: servers close theirs after 2 s at the least, and a request
that meets the closing is lost through nobody's fault."""

_BLOCK = 65536
_FAILURES = (OSError, HTTPConnectionClosed, HTTPParseError)  # TLS errors and time-outs of sockets are OSErrors

# The client resends idempotent requests by itself. Nothing here may be resent unseen.
geventhttpclient.client.IDEMPOTENT_METHODS = frozenset()


class Answer(NamedTuple):
    """What came of a request. `status` 0: no answer; `error` says why. Times are monotonic seconds."""

    status: int
    body: bytes
    complete: bool  # the answer was read to its end
    sent: float  # when its bytes went out on a connection that stood; NaN if there never was one
    done: float
    error: str = ""

    @property
    def written(self) -> bool:
        """Whether some of the request may have gone out."""
        return self.sent == self.sent

    @property
    def problem(self) -> str:
        """For people: why this is not a full 2xx; empty if it is one."""
        if self.complete and 200 <= self.status < 300:
            return ""
        return self.error or f"status {self.status}"


def client_for(url: str, concurrency: int, via: Address | None = None) -> HTTPClient:
    """A client with connections of its own to the server at `url`, at most `concurrency` at a time, perhaps through a
    proxy's address.
    """
    return ClientPool(concurrency, via).get_client(url)


class ClientPool(HTTPClientPool):
    """What FastHttpUser takes as its `client_pool`: connections of one user, at most `concurrency` to each server."""

    def __init__(self, concurrency: int, via: Address | None = None) -> None:
        self._via = via
        super().__init__(
            concurrency=concurrency, block_size=_BLOCK, network_timeout=TIMEOUT, connection_timeout=TIMEOUT
        )

    def get_client(self, url: Any) -> HTTPClient:  # noqa: ANN401
        known = len(self.clients)
        client = super().get_client(url)
        if len(self.clients) > known:
            _watch_connections(client, self._via or (client.host, client.port or 80))
        return client


def exchange(client: HTTPClient, request: Request) -> Answer:
    """Makes one request and reads the whole answer. Call it in the greenlet whose time it is. Raises nothing."""
    greenlet = gevent.getcurrent()
    greenlet.connection_at = float("nan")
    status, body, complete, error = 0, b"", False, ""
    with gevent.Timeout(TIMEOUT) as timeout:
        response = None
        try:
            response = client.request(request.method, request.path, request.body or b"", request.headers)
            status = response.get_code()
            body = bytes(response.read())
            complete = True
        except gevent.Timeout as expired:
            if expired is not timeout:
                raise
            error = f"no full answer within {TIMEOUT:g} s"
        except _FAILURES as failure:
            error = f"{type(failure).__name__}: {failure}"
        finally:
            if response is not None and not complete:
                response.release()
    return Answer(status, body, complete, greenlet.connection_at, time.monotonic(), error)


def _watch_connections(client: HTTPClient, address: Address) -> None:
    """Has the client's pool note when a request got its connection, drop connections that idled too long, and look
    names up only now and then.
    """
    pool = client._connection_pool
    get_socket, return_socket = pool.get_socket, pool.return_socket
    idle_since: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    def get() -> Any:  # noqa: ANN401
        sock = get_socket()
        while time.monotonic() - idle_since.pop(sock, float("inf")) > IDLE_LIMIT:
            pool.release_socket(sock)
            sock = get_socket()
        gevent.getcurrent().connection_at = time.monotonic()
        return sock

    def give_back(sock: Any) -> None:  # noqa: ANN401
        idle_since[sock] = time.monotonic()
        return_socket(sock)

    pool._resolve = lambda: addresses(*address)  # type: ignore[method-assign]
    pool.get_socket, pool.return_socket = get, give_back  # type: ignore[method-assign]
