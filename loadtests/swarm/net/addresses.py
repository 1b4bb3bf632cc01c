"""Where the target is: looked up now and then, not for each connection, and all its addresses used alike.

gevent looks names up in threads, which have to wait for the busy loop: tens of milliseconds under load, which would
count as the target's. Where a fault proxy stands between, its address takes the place of the target's, and only that:
names in requests and certificates stay the target's.
"""

# Python and gevent import two of these in the middle of a look-up, which hangs for ever if no file is left just then.
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
from chatswarm.loadtests.system.rig_limits import RESOURCES, own_errno

from .tls import check_for_files

_KEEP = 30.0  # seconds; a target that moves is found again, and an address that failed is tried again
_AGAIN_AFTER_FAILURE = 5.0  # seconds to the next look-up while an earlier one's answer serves
_FAILED_KEEP = 1.0  # seconds for which a name without any answer is not looked up again
_PATIENCE = 10.0  # seconds

Endpoint = tuple[str, int]
"""A host and a port."""

Info = tuple[Any, Any, int, str, Any]
"""One row of getaddrinfo's: family, kind, protocol, canonical name, address."""


class _Name:
    """What is known of one host and port."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.found: list[Info] = []
        self.turns: dict[str, int] = {}
        self._failure: OSError | None = None
        self._asked = float("-inf")  # when the look-up behind `found` ended
        self._due = float("-inf")
        self._asking: Any = None

    def addresses(self, patience: float) -> list[Info]:
        """Raises OSError."""
        now = time.monotonic()
        if now >= self._due and self._asking is None:
            self._asking = gevent.spawn(self._look_up)
        if self.found and now - self._asked <= 2 * _KEEP:
            return self.found  # while the next answer is on its way, the last one serves
        if (asking := self._asking) is not None:
            asking.join(patience)
            if not asking.ready() and not self.found:
                raise TimeoutError(f"no answer from the resolver for {self.host} within {patience:.3g} s")
        if self.found:
            return self.found
        failure = self._failure or OSError(f"no address for {self.host}")
        raise type(failure)(*failure.args)

    def next_turn(self, lane: str, choices: int) -> int:
        """Whose turn it is among so many: each lane goes round by itself, from a start that differs by process."""
        # Lanes that shared one count would fall into step: every socket here, every refetch there.
        turn = self.turns.get(lane)
        if turn is None:
            turn = int.from_bytes(os.urandom(4))
        self.turns[lane] = turn + 1
        return turn % choices

    def _look_up(self) -> None:
        try:
            found = list(socket.getaddrinfo(self.host, self.port, 0, socket.SOCK_STREAM))
            if not found:
                raise OSError(f"no address for {self.host}")
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait for it must hear of it
            self._failure = _resolver_failure(error)
            self._due = time.monotonic() + (_AGAIN_AFTER_FAILURE if self.found else _FAILED_KEEP)
        else:
            self.found = list({info[4]: info for info in found}.values())
            self._asked = time.monotonic()
            self._due = self._asked + _KEEP
        finally:
            self._asking = None


_names: dict[Endpoint, _Name] = {}
_dead: dict[Any, float] = {}  # address → until when it is only tried after all others


def addresses(host: str, port: int, patience: float = _PATIENCE) -> list[Info]:
    """What `getaddrinfo` says of a TCP address, about 30 s old at most; concurrent callers share one look-up.

    An answer stays valid while later look-ups fail. Raises OSError.
    """
    return _name(host, port).addresses(patience)


def connect(
    host: str, port: int, timeout: float, lane: str = "", passed_over: Callable[[str], object] | None = None
) -> socket.socket:
    """A TCP connection to one of the addresses of a name, within `timeout` seconds in all. Raises OSError.

    Connections of a lane go round the addresses. One that takes none is passed over, and tried last for 30 s; where
    another one took the connection, `passed_over` is told in a line. All fail: the target's failure is raised if there
    is one, else the rig's own.
    """
    deadline = time.monotonic() + timeout
    name = _name(host, port)
    order = _order(name, lane, name.addresses(timeout))
    failures: list[tuple[Info, OSError]] = []
    for place, info in enumerate(order):
        family, kind, protocol, _, address = info
        # One that drops packets must leave time for the next.
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
            if own_errno(error) in RESOURCES or len(order) == 1:
                raise
            if not (error.errno == errno.EADDRNOTAVAIL and family == socket.AF_INET):  # that is all local ports taken
                _dead[address] = time.monotonic() + _KEEP
            failures.append((info, error))
        else:
            _dead.pop(address, None)
            if passed_over is not None:
                _tell(passed_over, info, failures)
            return connection
    for info, _ in failures:
        _dead.pop(info[4], None)  # with nothing to pass over to, and the first to come back would get all the load
    raise _of_all(failures)


def _name(host: str, port: int) -> _Name:
    name = _names.get((host, port))
    if name is None:
        name = _names[host, port] = _Name(host, port)
    return name


def _order(name: _Name, lane: str, found: list[Info]) -> list[Info]:
    """All of them: those that are alive from the one whose turn it is, then those that failed lately."""
    if len(found) == 1:
        return found
    now = time.monotonic()
    alive = [info for info in found if _dead.get(info[4], 0.0) <= now]
    dead = [info for info in found if info not in alive]
    start = name.next_turn(lane, len(alive) or 1)
    return alive[start:] + alive[:start] + dead


def _tell(passed_over: Callable[[str], object], took: Info, failures: list[tuple[Info, OSError]]) -> None:
    for info, error in failures:
        # A family without a route is no news, nor is a `localhost` that listens on one of its two addresses.
        loopbacks = _is_loopback(info) and _is_loopback(took) and info[0] != took[0]
        if own_errno(error) is None and not loopbacks:
            what = "refused a connection" if isinstance(error, ConnectionRefusedError) else f"failed ({error})"
            if isinstance(error, TimeoutError):
                what = "did not answer"
            passed_over(f"{_shown(info)} {what}, another address took it")


def _of_all(failures: list[tuple[Info, OSError]]) -> OSError:
    """One failure for all addresses: the target's if any is."""
    chosen = next((error for _, error in failures if own_errno(error) is None), failures[0][1])
    text = "; ".join(f"{_shown(info)}: {error.strerror or error}" for info, error in failures)
    return TimeoutError(text) if isinstance(chosen, TimeoutError) else OSError(chosen.errno or errno.EIO, text)


def _shown(info: Info) -> str:
    return join_host_port(*info[4][:2])


def _is_loopback(info: Info) -> bool:
    return str(info[4][0]).startswith(("127.", "::1"))


def _resolver_failure(error: Exception) -> OSError:
    """What a failed look-up really was: without a free file, a resolver says that the name is not known for now."""
    try:
        check_for_files()
    except OSError as own:
        return own
    return error if isinstance(error, OSError) else OSError(errno.EINVAL, f"no name of a host: {error}")
