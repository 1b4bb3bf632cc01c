"""Blocking TCP and TLS connections by a deadline, to any of the addresses that a name resolves to.

Every `deadline` is a `time.monotonic()` time. Used by `chatswarm check`, by the reachability check before a run, and by
the Toxiproxy client. Proxies in the environment are ignored. Certificates are verified against the system's CAs, or
those in SSL_CERT_FILE and SSL_CERT_DIR, as in OpenSSL.
"""

import errno
import os
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import quote

from chatswarm.loadtests.system.rig_limits import RESOURCES, RIG_LIMITS, RigLimit, rig_limit_errno

from .address import Address
from .rotation import Rotation

# This machine lacks the address family or a route: no fault while another address works.
_NO_ROUTE = (errno.EAFNOSUPPORT, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL)


class ConnectFailure(StrEnum):
    """Why a connection could not be made or was lost."""

    NO_SUCH_NAME = "host not found"
    REFUSED = "connection refused"
    UNREACHABLE = "unreachable"  # no response to the connection attempt, or no route to the host
    UNTRUSTED = "certificate not trusted"
    TLS = "no TLS"
    NO_ANSWER = "no answer"
    CLOSED = "connection closed"
    HERE = "a limit of this machine"


class DialError(Exception):
    """There is no connection. `limit` is the limit of this machine that caused it, if one did."""

    def __init__(self, failure: ConnectFailure, detail: str = "", limit: RigLimit | None = None) -> None:
        super().__init__(f"{failure}: {detail}" if detail else str(failure))
        self.failure = failure
        self.detail = detail
        self.limit = limit


class SocketAddress(NamedTuple):
    """One of the addresses that a name resolves to, in the form that `socket` takes."""

    family: int
    kind: int
    protocol: int
    sockaddr: tuple[Any, ...]

    @property
    def ip(self) -> str:
        return str(self.sockaddr[0])


class Dialer:
    """Opens connections to a chat's address, with TLS if it is https. The IP addresses behind its name take turns."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None = None) -> None:
        self.address = address
        self.skipped: dict[str, str] = {}  # IP address → why it took no connection while another did
        self._tls = tls
        self._rotation: Rotation[SocketAddress] | None = None

    def for_address(self, address: Address) -> "Dialer":
        """A dialer for another address that trusts the same CAs."""
        return Dialer(address, self._tls)

    def addresses(self, deadline: float, turn: int | None = None) -> list[SocketAddress]:
        """All addresses of the name, in the order in which the next connection tries them. Raises DialError."""
        if self._rotation is None:
            self._rotation = Rotation(_resolve(self.address.host, self.address.port, deadline))
        return self._rotation.order(time.monotonic(), turn)

    def open(self, deadline: float, turn: int | None = None) -> socket.socket:
        """Connects to the next address that accepts, and completes the TLS handshake. Raises DialError."""
        addresses = self.addresses(deadline, turn)
        failures: list[tuple[SocketAddress, OSError]] = []
        for at, address in enumerate(addresses):
            try:
                sock = _connected(address, fair_deadline(deadline, len(addresses) - at))
            except OSError as error:
                self._note_failure(address, error)
                failures.append((address, error))
            else:
                self._note_success(address, failures)
                return self.encrypted(sock, deadline)
        raise _combined_error([error for _, error in failures])

    @staticmethod
    def connected(address: SocketAddress, deadline: float) -> socket.socket:
        """Connects to this address, without TLS. Raises DialError."""
        try:
            return _connected(address, deadline)
        except OSError as error:
            raise _combined_error([error]) from error

    def encrypted(self, sock: socket.socket, deadline: float) -> socket.socket:
        """The same connection after the TLS handshake if the address is https. Raises DialError."""
        if not self.address.secure:
            return sock
        try:
            if self._tls is None:
                self._tls = default_tls()
            sock.settimeout(seconds_left(deadline))
            return self._tls.wrap_socket(sock, server_hostname=server_name(self.address.host))
        except ssl.SSLCertVerificationError as error:
            _check_file_descriptors()  # OpenSSL opens the CAs in a folder one by one
            raise DialError(ConnectFailure.UNTRUSTED, error.verify_message + unreadable_ca_note(os.environ)) from error
        except ssl.SSLError as error:
            raise DialError(ConnectFailure.TLS, (error.reason or str(error)).lower().replace("_", " ")) from error
        except OSError as error:
            raise connection_error(error) from error
        finally:
            sock.close()  # no effect once TLS has taken it over

    def _note_failure(self, address: SocketAddress, error: OSError) -> None:
        # A resource that this machine has run out of says nothing about the address.
        if rig_limit_errno(error) in RESOURCES:
            raise _combined_error([error]) from error
        assert self._rotation is not None
        self._rotation.failed(address, time.monotonic())

    def _note_success(self, address: SocketAddress, failures: list[tuple[SocketAddress, OSError]]) -> None:
        assert self._rotation is not None
        self._rotation.worked(address)
        self.skipped.pop(address.ip, None)
        for other, error in failures:
            if error.errno not in _NO_ROUTE:
                self.skipped[other.ip] = _reason(error)


def default_tls() -> ssl.SSLContext:
    """A context that trusts the system's CAs. Raises DialError if a file cannot be opened."""
    _check_file_descriptors()  # OpenSSL stays silent if it cannot open a file
    try:
        return ssl.create_default_context()
    except OSError as error:
        # The only file whose failure Python reports is the one that SSLKEYLOGFILE names.
        limit = RigLimit("the file that SSLKEYLOGFILE names", "unset SSLKEYLOGFILE, or name a writable file")
        raise DialError(
            ConnectFailure.HERE, f"{limit.name} ({(error.strerror or str(error)).lower()})", limit
        ) from error


def unreadable_ca_note(environment: Mapping[str, str]) -> str:
    """A note for an untrusted certificate if SSL_CERT_FILE or SSL_CERT_DIR cannot be read; otherwise empty."""
    note = ""
    for name, split in (("SSL_CERT_FILE", False), ("SSL_CERT_DIR", True)):
        value = environment.get(name, "")
        paths = value.split(os.pathsep) if split else [value]
        if value and not any(os.access(path, os.R_OK) for path in paths):
            note += f"; {name} names {value!r}, which cannot be read"
    return note


def start_thread(work: Callable[[], None], name: str) -> threading.Thread:
    """Runs `work` in a daemon thread. Raises DialError if this machine cannot start another thread."""
    thread = threading.Thread(target=work, daemon=True, name=name)
    try:
        thread.start()
    except RuntimeError as error:
        limit = RigLimit("no more threads", "raise `ulimit -u`, or end other processes")
        raise DialError(ConnectFailure.HERE, f"{limit.name} ({error})", limit) from error
    return thread


def server_name(host: str) -> str:
    """The name that a certificate must be valid for: the host without a trailing dot or an IPv6 zone."""
    return host.partition("%")[0].rstrip(".")


def request_target(address: Address, path: str) -> str:
    """`path` below the base URL's path, percent-encoded for a request line. Existing escapes stay as they are."""
    # Half of a surrogate pair becomes U+FFFD, as in a browser.
    whole = path.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return quote(address.prefix + whole, safe="/%?&=:+,;@~!$'()*")


def proxy_note(secure: bool, environment: Mapping[str, str]) -> str:
    """A note for an unreachable target if the environment names a proxy; otherwise empty.

    It never contains the value, which may include a password.
    """
    names = ("HTTPS_PROXY" if secure else "HTTP_PROXY", "ALL_PROXY")
    found = [name for upper in names for name in (upper, upper.lower()) if environment.get(name, "").strip()]
    return f" ({found[0]} is set, and ignored: chatswarm connects directly)" if found else ""


def connection_error(error: OSError) -> DialError:
    """The error for a failure of an established connection."""
    number = rig_limit_errno(error)
    if number in RESOURCES:
        return _limit_error(number)
    if isinstance(error, TimeoutError):
        return DialError(ConnectFailure.NO_ANSWER)
    return DialError(ConnectFailure.CLOSED, error.strerror or str(error))


def fair_deadline(deadline: float, attempts: int) -> float:
    """The deadline for the next of `attempts` that share the time left, so that a silent address leaves time for the
    others.
    """
    now = time.monotonic()
    return now + (deadline - now) / attempts


def seconds_left(deadline: float) -> float:
    """Seconds until the deadline. Raises TimeoutError if it has passed."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _connected(address: SocketAddress, deadline: float) -> socket.socket:
    sock = socket.socket(address.family, address.kind, address.protocol)
    try:
        sock.settimeout(seconds_left(deadline))
        sock.connect(address.sockaddr)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _combined_error(errors: list[OSError]) -> DialError:
    """One error for the failures of all addresses: the one that says most about the target."""
    if any(isinstance(error, ConnectionRefusedError) for error in errors):
        return DialError(ConnectFailure.REFUSED)
    numbers = [rig_limit_errno(error) for error in errors]
    limits = [number for number in numbers if number is not None]
    if limits and len(limits) == len(errors):
        return _limit_error(limits[0])
    reasons = sorted({error.strerror for error in errors if error.strerror and rig_limit_errno(error) is None})
    return DialError(ConnectFailure.UNREACHABLE, ", ".join(reasons))


def _check_file_descriptors() -> None:
    """Raises DialError if this process cannot open another file."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise _limit_error(error.errno) from error


def _limit_error(number: int) -> DialError:
    limit = RIG_LIMITS[number]
    return DialError(
        ConnectFailure.HERE, f"{limit.name} ({errno.errorcode[number]}: {os.strerror(number).lower()})", limit
    )


def _reason(error: OSError) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()


def _resolve(host: str, port: int, deadline: float) -> list[SocketAddress]:
    # The system's resolver has no timeout, so it runs in a thread that is abandoned when it takes too long.
    results: queue.SimpleQueue[list[SocketAddress] | OSError] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            results.put(
                [SocketAddress(family, kind, protocol, sockaddr) for family, kind, protocol, _, sockaddr in found]
            )
        except (OSError, UnicodeError) as error:
            results.put(error if isinstance(error, OSError) else OSError(str(error)))

    start_thread(resolve, "resolve")
    try:
        result = results.get(timeout=seconds_left(deadline))
    except (queue.Empty, TimeoutError):
        raise DialError(ConnectFailure.NO_SUCH_NAME, "the resolver timed out") from None
    if isinstance(result, OSError):
        # A resolver that cannot open a socket reports an unknown or temporarily unavailable name.
        _check_file_descriptors()
        raise DialError(ConnectFailure.NO_SUCH_NAME, result.strerror or str(result)) from result
    return result
