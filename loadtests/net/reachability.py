"""Whether something answers, asked once, before there is any load."""

import contextlib
import os
import socket
import time

from chatswarm.loadtests.system.text import one_line

from .address import Address, parse_address
from .dialing import Dialer, DialError, Trouble, broken_off, left, proxy_note, request_target
from .responses import NotHttpError, Reader, read_body, read_head

_BODY = 0.2  # seconds for a body that nobody needs
_MOST = 1 << 16  # bytes of it
_CERTIFICATES = "; for a certificate of your own, set SSL_CERT_FILE, or SSL_CERT_DIR"


def unanswered(base_url: str, timeout: float = 5.0, via: str | None = None) -> str | None:
    """Why a server gives no HTTP answer at all within `timeout` seconds; None if it gives any.

    All addresses of its name are tried. `via`: another address (host:port, IPv6 with or without brackets) to ask at, in
    whose name nothing changes.
    """
    try:
        address = parse_address(base_url)
    except ValueError as error:
        return str(error)
    deadline = time.monotonic() + timeout
    try:
        failures = _ask_all(address, via, deadline)
    except DialError as error:
        failures = [_told(error)]
    if not failures:
        return None
    note = proxy_note(address.secure, os.environ) if via is None else ""
    return f"expected an HTTP answer from {base_url}, got {', '.join(dict.fromkeys(failures))}{note}"


def listening(host: str, port: int) -> str | None:
    """Why there is no TCP connection to be had; None if there is."""
    try:
        socket.create_connection((host, port), 1.0).close()
    except OSError as error:
        return f"expected a connection to {host}:{port}, got {error}"
    return None


def _ask_all(address: Address, via: str | None, deadline: float) -> list[str]:
    """Asks at each place until one answers; why none did."""
    names = Dialer(address)
    where = names if via is None else Dialer(_through(via))
    places = where.places(deadline)
    failures = []
    for at, place in enumerate(places):
        # One that says nothing leaves some of the time for the next.
        until = time.monotonic() + (deadline - time.monotonic()) / (len(places) - at)
        try:
            # Names stay the target's, also through a proxy.
            with names.encrypted(where.connected(place, until), until) as sock:
                _ask(sock, address, until)
            return []
        except DialError as error:
            which = f" ({place.shown})" if len(places) > 1 else ""
            failures.append(f"{_told(error)}{which}")
    return failures


def _ask(sock: socket.socket, address: Address, deadline: float) -> None:
    """Any head will do. A body is taken, if it comes at once, so that the server sees no reset. Raises DialError."""
    try:
        sock.settimeout(left(deadline))
        lines = f"GET {request_target(address, '/')} HTTP/1.1\r\nHost: {address.authority}\r\nUser-Agent: chatswarm\r\n"
        sock.sendall(f"{lines}Accept: */*\r\nConnection: close\r\n\r\n".encode())
        reader = Reader(sock, deadline)
        head = read_head(reader)
        reader.deadline = min(deadline, time.monotonic() + _BODY)
        with contextlib.suppress(OSError, ValueError):
            read_body(reader, head, _MOST)
    except OSError as error:
        raise broken_off(error) from error
    except NotHttpError as error:
        raise DialError(Trouble.CLOSED, f"no HTTP: {str(error)[:100]!r}") from error


def _through(via: str) -> Address:
    host, _, port = via.rpartition(":")
    return Address(False, host.removeprefix("[").removesuffix("]"), int(port))


def _told(error: DialError) -> str:
    match error.trouble:
        case Trouble.HERE if error.own is not None:
            return f"{error.detail}, which is this machine's own trouble: {error.own.remedy}"
        case Trouble.UNTRUSTED:
            return f"{error.trouble}: {one_line(error.detail)}{_CERTIFICATES}"
        case Trouble.NO_ANSWER | Trouble.UNREACHABLE if not error.detail:
            return f"{error.trouble}: timed out"
        case Trouble.CLOSED if error.detail:
            return one_line(error.detail)
        case _:
            return one_line(str(error))
