"""Connects to the target: looks its name up at intervals, not per connection, and uses all its addresses alike.

gevent looks names up in threads, which have to wait for the busy loop: tens of milliseconds under load, which would
count as the target's. A fault proxy's address replaces the target's, and nothing else: names in requests and
certificates stay the target's.
"""

# Python and gevent import two of these during a look-up, which hangs for ever if no file can be opened at that moment.
import encodings.idna  # noqa: F401
import errno
import os
import pickle  # noqa: F401
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent import socket

from chatswarm.loadtests.net.address import join_host_port
from chatswarm.loadtests.system.rig_limits import RESOURCES, rig_limit_errno

from .tls import check_for_files

_KEEP = 30.0  # seconds until a name is looked up again, and a failed address is tried again
_RETRY_FAILED = 5.0  # seconds until the retry of a failed look-up while earlier results serve
_RETRY_UNRESOLVED = 1.0  # seconds until the retry of a failed look-up without earlier results
_TIMEOUT = 10.0  # seconds for a look-up

Endpoint = tuple[str, int]
"""A host and a port."""

Info = tuple[Any, Any, int, str, Any]
"""One result of `getaddrinfo`: family, kind, protocol, canonical name, address."""


class _Name:
    """The addresses of one host and port, and whose turn is next."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.found: list[Info] = []
        self.turns: dict[str, int] = {}
        self._failure: OSError | None = None
        self._found_at = float("-inf")
        self._due = float("-inf")  # when to look up again
        self._look_up: Any = None  # the greenlet of a look-up that is running

    def addresses(self, timeout: float) -> list[Info]:
        """The addresses, from a recent look-up if there is one. Raises OSError."""
        now = time.monotonic()
        if now >= self._due and self._look_up is None:
            self._look_up = gevent.spawn(self._resolve)
        if self.found and now - self._found_at <= 2 * _KEEP:
            return self.found  # serves while the next look-up is running
        if (look_up := self._look_up) is not None:
            look_up.join(timeout)
            if not look_up.ready() and not self.found:
                raise TimeoutError(f"no answer from the resolver for {self.host} within {timeout:.3g} s")
        if self.found:
            return self.found
        failure = self._failure or OSError(f"no address for {self.host}")
        raise type(failure)(*failure.args)

    def next_turn(self, traffic: str, choices: int) -> int:
        """Whose turn it is among `choices`: each kind of traffic rotates separately, from a random start."""
        # With one shared count, kinds would fall into step: all sockets to one address, all refetches to another.
        turn = self.turns.get(traffic)
        if turn is None:
            turn = int.from_bytes(os.urandom(4))
        self.turns[traffic] = turn + 1
        return turn % choices

    def _resolve(self) -> None:
        try:
            found = list(socket.getaddrinfo(self.host, self.port, 0, socket.SOCK_STREAM))
            if not found:
                raise OSError(f"no address for {self.host}")
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait for the look-up must get it
            self._failure = _resolver_failure(error)
            self._due = time.monotonic() + (_RETRY_FAILED if self.found else _RETRY_UNRESOLVED)
        else:
            self.found = list({info[4]: info for info in found}.values())
            self._found_at = time.monotonic()
            self._due = self._found_at + _KEEP
        finally:
            self._look_up = None


_names: dict[Endpoint, _Name] = {}
_dead: dict[Any, float] = {}  # address → until when it is tried only after all others


def addresses(host: str, port: int, timeout: float = _TIMEOUT) -> list[Info]:
    """The `getaddrinfo` results for a TCP address, about 30 s old at most. Concurrent callers share one look-up.

    Results stay valid while later look-ups fail. Raises OSError.
    """
    return _name(host, port).addresses(timeout)


def connect(
    host: str, port: int, timeout: float, traffic: str = "", on_skipped: Callable[[str], object] | None = None
) -> socket.socket:
    """A TCP connection to one of the addresses of a name, within `timeout` seconds in all. Raises OSError.

    Connections of one kind of `traffic` take the addresses in turn. An address that fails is skipped, and tried last
    for 30 s; if another one accepts the connection, `on_skipped` gets one line about it. If all addresses fail, this
    raises a failure of the target if there is one, else one of the rig.
    """
    deadline = time.monotonic() + timeout
    name = _name(host, port)
    order = _order(name, traffic, name.addresses(timeout))
    failures: list[tuple[Info, OSError]] = []
    for place, info in enumerate(order):
        family, kind, protocol, _, address = info
        # An address that drops packets must leave time for the next.
        share = max(0.001, (deadline - time.monotonic()) / (len(order) - place))
        try:
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(share)
                connection.connect(address)
            except BaseException:
                connection.close()
                raise
        except OSError as error:
            if rig_limit_errno(error) in RESOURCES or len(order) == 1:
                raise
            if not (error.errno == errno.EADDRNOTAVAIL and family == socket.AF_INET):  # then all local ports are in use
                _dead[address] = time.monotonic() + _KEEP
            failures.append((info, error))
        else:
            _dead.pop(address, None)
            if on_skipped is not None:
                _report_skipped(on_skipped, info, failures)
            return connection
    # If all of them stayed dead, the first to recover would get the whole load.
    for info, _ in failures:
        _dead.pop(info[4], None)
    raise _combined_error(failures)


def peer_of(connection: socket.socket) -> str:
    """`host:port` of the address that a connection leads to, with IPv6 in brackets; empty if it has ended."""
    try:
        return join_host_port(*connection.getpeername()[:2])
    except OSError:
        return ""


def _name(host: str, port: int) -> _Name:
    name = _names.get((host, port))
    if name is None:
        name = _names[host, port] = _Name(host, port)
    return name


def _order(name: _Name, traffic: str, found: list[Info]) -> list[Info]:
    """All addresses: those that are alive, beginning with the one whose turn it is, then those that failed recently."""
    if len(found) == 1:
        return found
    now = time.monotonic()
    alive = [info for info in found if _dead.get(info[4], 0.0) <= now]
    dead = [info for info in found if info not in alive]
    start = name.next_turn(traffic, len(alive) or 1)
    return alive[start:] + alive[:start] + dead


def _report_skipped(on_skipped: Callable[[str], object], connected: Info, failures: list[tuple[Info, OSError]]) -> None:
    for info, error in failures:
        # A family without a route is normal, and so is a `localhost` that listens on one of its two addresses.
        loopbacks = _is_loopback(info) and _is_loopback(connected) and info[0] != connected[0]
        if rig_limit_errno(error) is None and not loopbacks:
            what = "refused a connection" if isinstance(error, ConnectionRefusedError) else f"failed ({error})"
            if isinstance(error, TimeoutError):
                what = "did not answer"
            on_skipped(f"{_shown(info)} {what}, another address took it")


def _combined_error(failures: list[tuple[Info, OSError]]) -> OSError:
    """One error for the failures of all addresses: a failure of the target if there is one."""
    chosen = next((error for _, error in failures if rig_limit_errno(error) is None), failures[0][1])
    text = "; ".join(f"{_shown(info)}: {error.strerror or error}" for info, error in failures)
    return TimeoutError(text) if isinstance(chosen, TimeoutError) else OSError(chosen.errno or errno.EIO, text)


def _shown(info: Info) -> str:
    return join_host_port(*info[4][:2])


def _is_loopback(info: Info) -> bool:
    return str(info[4][0]).startswith(("127.", "::1"))


def _resolver_failure(error: Exception) -> OSError:
    """The real cause of a failed look-up: if no file can be opened, a resolver reports a temporary failure."""
    try:
        check_for_files()
    except OSError as limit:
        return limit
    return error if isinstance(error, OSError) else OSError(errno.EINVAL, f"no name of a host: {error}")
