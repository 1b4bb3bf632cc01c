"""One TLS context for a process: it trusts what the system trusts.

That is OpenSSL's own choice: `SSL_CERT_FILE` and `SSL_CERT_DIR`, or what the system's packages put there. Made once,
because it opens files, of which a swarm may have no more.
"""

import errno
import os

from gevent import socket, ssl

_contexts: dict[tuple[str | None, str | None], ssl.SSLContext] = {}


def wrapped(connection: socket.socket, host: str) -> ssl.SSLSocket:
    """The connection with TLS to `host` on it. Raises OSError, and leaves the connection to the caller."""
    try:
        # No certificate has the zone of an address, or the dot at the end of a name.
        return context().wrap_socket(connection, server_hostname=host.partition("%")[0].removesuffix("."))
    except ssl.SSLCertVerificationError:
        # Authorities in a folder are looked up one by one: without a free file, none is found.
        check_for_files()
        raise


def context() -> ssl.SSLContext:
    """Raises OSError where its files cannot be opened now."""
    where = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    known = _contexts.get(where)
    if known is None:
        check_for_files()  # OpenSSL says nothing if it cannot open them
        known = _contexts[where] = ssl.create_default_context()
    return known


def check_for_files() -> None:
    """Raises OSError if this process can open no more files."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
