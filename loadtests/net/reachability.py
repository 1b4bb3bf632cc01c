"""Checks that a server answers before any load: over TCP, or with any HTTP response."""

import contextlib
import os
import socket
import time

from chatswarm.loadtests.system.text import one_line

from .address import Address, join_host_port, parse_address, split_host_port
from .dialing import (
    ConnectFailure,
    Dialer,
    DialError,
    connection_error,
    fair_deadline,
    proxy_note,
    request_target,
    seconds_left,
)
from .responses import NotHttpError, Reader, read_body, read_head

_BODY_TIMEOUT = 0.2  # seconds for the body, which does not matter
_MAX_BODY = 1 << 16  # bytes
_CA_NOTE = "; for a private CA, set SSL_CERT_FILE, or SSL_CERT_DIR"


def http_problem(base_url: str, timeout: float = 5.0, via: str | None = None) -> str | None:
    """Why a server gives no HTTP response within `timeout` seconds; None if it gives any.

    Tries all addresses of its name. `via`: a proxy's host:port to connect to instead; Host header and certificate stay
    the target's.
    """
    try:
        address = parse_address(base_url)
    except ValueError as error:
        return str(error)
    deadline = time.monotonic() + timeout
    try:
        failures = _ask_all(address, via, deadline)
    except DialError as error:
        failures = [_reason(error)]
    if not failures:
        return None
    note = proxy_note(address.secure, os.environ) if via is None else ""
    return f"expected an HTTP answer from {base_url}, got {', '.join(dict.fromkeys(failures))}{note}"


def tcp_problem(host: str, port: int, timeout: float = 1.0) -> str | None:
    """Why no TCP connection can be made within `timeout` seconds; None if one can."""
    try:
        socket.create_connection((host, port), timeout).close()
    except OSError as error:
        return f"expected a connection to {join_host_port(host, port)}, got {error}"
    return None


def _ask_all(address: Address, via: str | None, deadline: float) -> list[str]:
    """Requests "/" from each address until one responds. Returns why none did; empty if one did."""
    target = Dialer(address)
    server = target if via is None else Dialer(Address(False, *split_host_port(via)))
    addresses = server.addresses(deadline)
    failures = []
    for at, one in enumerate(addresses):
        until = fair_deadline(deadline, len(addresses) - at)
        try:
            # TLS is for the target's name, even through a proxy.
            with target.encrypted(server.connected(one, until), until) as sock:
                _ask(sock, address, until)
            return []
        except DialError as error:
            which = f" ({one.ip})" if len(addresses) > 1 else ""
            failures.append(f"{_reason(error)}{which}")
    return failures


def _ask(sock: socket.socket, address: Address, deadline: float) -> None:
    """Returns once a response's head has come. Raises DialError.

    A body that comes at once is read, so that the server does not see a reset.
    """
    try:
        sock.settimeout(seconds_left(deadline))
        lines = f"GET {request_target(address, '/')} HTTP/1.1\r\nHost: {address.authority}\r\nUser-Agent: chatswarm\r\n"
        sock.sendall(f"{lines}Accept: */*\r\nConnection: close\r\n\r\n".encode())
        reader = Reader(sock, deadline)
        head = read_head(reader)
        reader.deadline = min(deadline, time.monotonic() + _BODY_TIMEOUT)
        with contextlib.suppress(OSError, ValueError):
            read_body(reader, head, _MAX_BODY)
    except OSError as error:
        raise connection_error(error) from error
    except NotHttpError as error:
        raise DialError(ConnectFailure.CLOSED, f"no HTTP: {str(error)[:100]!r}") from error


def _reason(error: DialError) -> str:
    match error.failure:
        case ConnectFailure.HERE if error.limit is not None:
            return f"{error.detail}, which is a limit of this machine: {error.limit.remedy}"
        case ConnectFailure.UNTRUSTED:
            return f"{error.failure}: {one_line(error.detail)}{_CA_NOTE}"
        case ConnectFailure.NO_ANSWER | ConnectFailure.UNREACHABLE if not error.detail:
            return f"{error.failure}: timed out"
        case ConnectFailure.CLOSED if error.detail:
            return one_line(error.detail)
        case _:
            return one_line(str(error))
