"""Where the target is: looked up now and then, not for each connection.

gevent looks names up in threads, which have to wait for the busy loop: tens of milliseconds under load, which would
count as the target's. Where a fault proxy stands between, its address takes the place of the target's, and only that:
names in requests and certificates stay the target's.
"""

import time
from typing import Any

from gevent import socket

_KEEP = 30.0  # seconds; a target that moves is found again
_known: dict[tuple[str, int], tuple[float, list[Any]]] = {}

Address = tuple[str, int]
"""A host and a port."""


def addresses(host: str, port: int) -> list[Any]:
    """What `getaddrinfo` says of a TCP address, at most 30 s old. Raises OSError."""
    now = time.monotonic()
    known = _known.get((host, port))
    if known is None or now - known[0] > _KEEP:
        known = _known[host, port] = (now, socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
    return known[1]


def address_of(text: str) -> Address:
    """The address that `host:port` is."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def connect(host: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection to the first address that takes one. Raises OSError."""
    failure = OSError(f"no address for {host}")
    for family, kind, protocol, _, address in addresses(host, port):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(timeout)
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure
