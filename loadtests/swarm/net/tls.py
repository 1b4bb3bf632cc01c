"""The process's TLS context, which trusts the system's certificate authorities.

OpenSSL finds them: in `SSL_CERT_FILE` and `SSL_CERT_DIR`, or where the system's packages put them. The context is made
once, because that opens files, and a swarm may have none left.
"""

import errno
import os

from gevent import socket, ssl

_contexts: dict[tuple[str | None, str | None], ssl.SSLContext] = {}


def wrapped(connection: socket.socket, host: str) -> ssl.SSLSocket:
    """The connection with TLS to `host`. Raises OSError; the caller must then close the connection."""
    try:
        # Certificates contain neither the zone of an address nor the dot at the end of a name.
        return context().wrap_socket(connection, server_hostname=host.partition("%")[0].removesuffix("."))
    except ssl.SSLCertVerificationError:
        # OpenSSL opens the authorities in a folder one by one, and finds none if no file can be opened.
        check_for_files()
        raise


def context() -> ssl.SSLContext:
    """The context, made on the first call. Raises OSError if its files cannot be opened."""
    where = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    known = _contexts.get(where)
    if known is None:
        check_for_files()  # OpenSSL stays silent if it cannot open a file
        # Not `create_default_context`: where gevent has patched nothing, its sockets would block the loop.
        known = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        known.load_default_certs()
        if keys := os.environ.get("SSLKEYLOGFILE"):
            known.keylog_filename = keys
        _contexts[where] = known
    return known


def check_for_files() -> None:
    """Raises OSError if this process cannot open another file."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
