"""Whether something answers, asked once, before there is any load."""

import http.client
import socket
import ssl
from urllib.parse import urlsplit


def unanswered(base_url: str, timeout: float = 5.0, via: str | None = None) -> str | None:
    """Why a server gives no HTTP answer at all; None if it gives any. `via`: another address (host:port) to ask at."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"expected a URL such as http://127.0.0.1:8000, got {base_url!r}"
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    host, _, through = (via or f"{parts.hostname}:{port}").rpartition(":")
    connection = http.client.HTTPConnection(parts.hostname, port, timeout=timeout)
    try:
        connection.sock = socket.create_connection((host, int(through)), timeout)
        if secure:
            # Names stay the target's, also through a proxy.
            connection.sock = ssl.create_default_context().wrap_socket(connection.sock, server_hostname=parts.hostname)
        connection.request("GET", parts.path or "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        return f"expected an HTTP answer from {base_url}, got {str(error) or type(error).__name__}"
    finally:
        connection.close()
    return None


def listening(host: str, port: int) -> str | None:
    """Why there is no TCP connection to be had; None if there is."""
    try:
        socket.create_connection((host, port), 1.0).close()
    except OSError as error:
        return f"expected a connection to {host}:{port}, got {error}"
    return None
