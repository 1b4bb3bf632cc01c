"""Reads what has come over a connection, for callbacks of the event loop: nothing here waits."""

import os
from collections.abc import Callable
from functools import partial

from gevent import socket, ssl

READABLE = 1
"""libev's flag for a watcher."""

_READ_SIZE = 65536
_WHOLE_RECORD = 16384  # bytes of the largest record of TLS
_MOST_RECORDS = 4  # at a time: a peer that sends without end must not stop the loop

Read = Callable[[], bytes]
"""Returns what has come; empty at the end of the stream. Raises BlockingIOError if nothing has come, and OSError."""


def reader_of(connection: socket.socket, *, secure: bool) -> Read:
    """What reads from gevent's socket; `secure`: with TLS, whose time-out has to be 0."""
    return partial(_decrypted, connection) if secure else partial(os.read, connection.fileno(), _READ_SIZE)


def _decrypted(connection: ssl.SSLSocket) -> bytes:
    """A record of TLS, and those after it if they are parts of something longer.

    OpenSSL reads one record at a time and keeps nothing back, so the loop calls again for more.
    """
    came: list[bytes] = []
    try:
        while len(came) < _MOST_RECORDS:
            came.append(connection.read(_READ_SIZE))
            if len(came[-1]) < _WHOLE_RECORD:
                break
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        if not came:
            raise BlockingIOError from None
    except OSError:
        if not came:
            raise  # otherwise it fails again, after what came before
    return came[0] if len(came) == 1 else b"".join(came)
