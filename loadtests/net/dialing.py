"""Blocking connections to an address, over all that its name stands for, in which every wait ends at a given moment.

Every `deadline` is a reading of `time.monotonic()`. Used by `chatswarm check`, the look at the target before a run, and
the client of Toxiproxy. No proxy from the environment; certificates are verified against what the system trusts, and
SSL_CERT_FILE and SSL_CERT_DIR as OpenSSL reads them.
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

from chatswarm.loadtests.system.rig_limits import OWN, RESOURCES, OwnLimit, own_errno

from .address import Address
from .rotation import Rotation

# A family that this machine does not have, or has no way out for: nobody's fault while there is another.
_NO_ROUTE = (errno.EAFNOSUPPORT, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL)


class Trouble(StrEnum):
    """Why there is no connection."""

    NO_SUCH_NAME = "host not found"
    REFUSED = "connection refused"
    UNREACHABLE = "unreachable"  # no answer to the connection attempt, or not from all the way there
    UNTRUSTED = "certificate not trusted"
    TLS = "no TLS"
    NO_ANSWER = "no answer"
    CLOSED = "connection closed"
    HERE = "a limit of this machine"


class DialError(Exception):
    """There is no connection. `own` is the limit of this machine that is to blame, if one is."""

    def __init__(self, trouble: Trouble, detail: str = "", own: OwnLimit | None = None) -> None:
        super().__init__(f"{trouble}: {detail}" if detail else str(trouble))
        self.trouble = trouble
        self.detail = detail
        self.own = own


class Place(NamedTuple):
    """One of a name's addresses, as `socket` takes them."""

    family: int
    kind: int
    protocol: int
    address: tuple[Any, ...]

    @property
    def shown(self) -> str:
        """The number, without the port that all of them share."""
        return str(self.address[0])


class Dialer:
    """Opens connections to one address, with TLS where it asks for it. The addresses of its name take turns."""

    def __init__(self, address: Address, tls: ssl.SSLContext | None = None) -> None:
        self.address = address
        self.passed_over: dict[str, str] = {}  # addresses that took no connection while another did, and why
        self._tls = tls
        self._turns: Rotation[Place] | None = None

    def beside(self, address: Address) -> "Dialer":
        """Another one, that trusts the same authorities."""
        return Dialer(address, self._tls)

    def places(self, deadline: float, turn: int | None = None) -> list[Place]:
        """All addresses of the name, in the order in which the next connection tries them. Raises DialError."""
        if self._turns is None:
            self._turns = Rotation(_resolve(self.address.host, self.address.port, deadline))
        return self._turns.order(time.monotonic(), turn)

    def open(self, deadline: float, turn: int | None = None) -> socket.socket:
        """A connected socket to the next address that takes one, after its TLS handshake. Raises DialError."""
        places = self.places(deadline, turn)
        failures: list[tuple[Place, OSError]] = []
        for at, place in enumerate(places):
            # Each gets its share of the time, so that one that drops packets leaves some for the next.
            share = (deadline - time.monotonic()) / (len(places) - at)
            try:
                sock = _connected(place, time.monotonic() + share)
            except OSError as error:
                self._took_none(place, error)
                failures.append((place, error))
            else:
                self._took_one(place, failures)
                return self.encrypted(sock, deadline)
        raise _no_connection([error for _, error in failures])

    @staticmethod
    def connected(place: Place, deadline: float) -> socket.socket:
        """A connected socket to this one of the addresses, before any TLS. Raises DialError."""
        try:
            return _connected(place, deadline)
        except OSError as error:
            raise _no_connection([error]) from error

    def encrypted(self, sock: socket.socket, deadline: float) -> socket.socket:
        """The same connection after its TLS handshake, if the address asks for one. Raises DialError."""
        if not self.address.secure:
            return sock
        try:
            if self._tls is None:
                self._tls = trusting()
            sock.settimeout(left(deadline))
            return self._tls.wrap_socket(sock, server_hostname=server_name(self.address.host))
        except ssl.SSLCertVerificationError as error:
            _check_for_files()  # authorities in a folder are looked up one by one
            raise DialError(Trouble.UNTRUSTED, error.verify_message + unreadable_authorities(os.environ)) from error
        except ssl.SSLError as error:
            raise DialError(Trouble.TLS, (error.reason or str(error)).lower().replace("_", " ")) from error
        except OSError as error:
            raise broken_off(error) from error
        finally:
            sock.close()  # of no effect once TLS has taken it over

    def _took_none(self, place: Place, error: OSError) -> None:
        # What ran out here runs out for every address, and says nothing of this one.
        if own_errno(error) in RESOURCES:
            raise _no_connection([error]) from error
        assert self._turns is not None
        self._turns.failed(place, time.monotonic())

    def _took_one(self, place: Place, failures: list[tuple[Place, OSError]]) -> None:
        assert self._turns is not None
        self._turns.worked(place)
        self.passed_over.pop(place.shown, None)
        for other, error in failures:
            if error.errno not in _NO_ROUTE:
                self.passed_over[other.shown] = _reason(error)


def trusting() -> ssl.SSLContext:
    """What trusts whom the system trusts. Raises DialError where its files cannot be opened."""
    _check_for_files()  # OpenSSL says nothing if it can open none
    try:
        return ssl.create_default_context()
    except OSError as error:
        # Python opens the file that this variable names, and nothing else of which it would tell.
        own = OwnLimit("the file that SSLKEYLOGFILE names", "unset SSLKEYLOGFILE, or name a file that can be written")
        raise DialError(Trouble.HERE, f"{own.name} ({(error.strerror or str(error)).lower()})", own) from error


def unreadable_authorities(environment: Mapping[str, str]) -> str:
    """What to add where a certificate is not trusted, if a variable names authorities that cannot be read."""
    told = ""
    for name, split in (("SSL_CERT_FILE", False), ("SSL_CERT_DIR", True)):
        value = environment.get(name, "")
        paths = value.split(os.pathsep) if split else [value]
        if value and not any(os.access(path, os.R_OK) for path in paths):
            told += f"; {name} names {value!r}, which cannot be read"
    return told


def start_thread(work: Callable[[], None], name: str) -> threading.Thread:
    """Has it done by a thread that ends with the process. Raises DialError if this machine gives no more threads."""
    thread = threading.Thread(target=work, daemon=True, name=name)
    try:
        thread.start()
    except RuntimeError as error:
        own = OwnLimit("no more threads", "raise `ulimit -u`, or end other processes")
        raise DialError(Trouble.HERE, f"{own.name} ({error})", own) from error
    return thread


def server_name(host: str) -> str:
    """The name that a certificate must be made for: without a root's dot, and without an interface's name."""
    return host.partition("%")[0].rstrip(".")


def request_target(address: Address, path: str) -> str:
    """`path`, below the address' own, as it may stand in a request. What is percent-encoded already stays so."""
    # Half a character is what a browser makes of it: a sign that it cannot be read.
    whole = path.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return quote(address.prefix + whole, safe="/%?&=:+,;@~!$'()*")


def proxy_note(secure: bool, environment: Mapping[str, str]) -> str:
    """What to add where a target cannot be reached and the environment names a proxy; empty if it names none.

    Never the value: there may be a password in it.
    """
    names = ("HTTPS_PROXY" if secure else "HTTP_PROXY", "ALL_PROXY")
    found = [name for upper in names for name in (upper, upper.lower()) if environment.get(name, "").strip()]
    return f" ({found[0]} is set, and ignored: chatswarm connects directly)" if found else ""


def broken_off(error: OSError) -> DialError:
    """What it means that a connection that stood has failed."""
    number = own_errno(error)
    if number in RESOURCES:
        return _limit(number)
    if isinstance(error, TimeoutError):
        return DialError(Trouble.NO_ANSWER)
    return DialError(Trouble.CLOSED, error.strerror or str(error))


def left(deadline: float) -> float:
    """Seconds until then. Raises TimeoutError if there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _connected(place: Place, deadline: float) -> socket.socket:
    sock = socket.socket(place.family, place.kind, place.protocol)
    try:
        sock.settimeout(left(deadline))
        sock.connect(place.address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _no_connection(errors: list[OSError]) -> DialError:
    """What several failures mean together: what says most of the target counts."""
    if any(isinstance(error, ConnectionRefusedError) for error in errors):
        return DialError(Trouble.REFUSED)
    numbers = [own_errno(error) for error in errors]
    own = [number for number in numbers if number is not None]
    if own and len(own) == len(errors):
        return _limit(own[0])
    told = sorted({error.strerror for error in errors if error.strerror and own_errno(error) is None})
    return DialError(Trouble.UNREACHABLE, ", ".join(told))


def _check_for_files() -> None:
    """Raises DialError if this process can open no more files."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise _limit(error.errno) from error


def _limit(number: int) -> DialError:
    said = f"{OWN[number].name} ({errno.errorcode[number]}: {os.strerror(number).lower()})"
    return DialError(Trouble.HERE, said, OWN[number])


def _reason(error: OSError) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()


def _resolve(host: str, port: int, deadline: float) -> list[Place]:
    # The system's resolver has no time limit of its own, so it is left behind in a thread when it takes too long.
    answers: queue.SimpleQueue[list[Place] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([Place(family, kind, protocol, place) for family, kind, protocol, _, place in found])
        except (OSError, UnicodeError) as error:
            answers.put(error if isinstance(error, OSError) else OSError(str(error)))

    start_thread(ask, "resolve")
    try:
        answer = answers.get(timeout=left(deadline))
    except (queue.Empty, TimeoutError):
        raise DialError(Trouble.NO_SUCH_NAME, "the resolver gave no answer in time") from None
    if isinstance(answer, OSError):
        # A resolver that can open no socket says that the name is unknown, or to try again.
        _check_for_files()
        raise DialError(Trouble.NO_SUCH_NAME, answer.strerror or str(answer)) from answer
    return answer
