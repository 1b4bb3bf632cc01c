"""The address of a chat, read once: whatever takes a URL takes and refuses the same, and says it in one line.

Used by `chatswarm check` and `run`, `--toxiproxy`, `--pages`, the pytest plugin, Locust's `--host` and its page.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

_EXPECTED = "expected a URL such as http://127.0.0.1:8000 or https://chat.example.com/path"
_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a chat is. `prefix` is the path before all others, percent-encoded and without a slash at its end."""

    secure: bool
    host: str  # as a resolver takes it: an IPv6 address has no brackets
    port: int
    prefix: str = ""

    @property
    def authority(self) -> str:
        """For the Host header: brackets around IPv6, and no port where it is the scheme's own."""
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.secure else "http"] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme and authority: what a browser sends as the Origin of the chat's own pages."""
        return f"{'https' if self.secure else 'http'}://{self.authority}"

    @property
    def url(self) -> str:
        """The base URL, always written the same way."""
        return self.origin + self.prefix

    @property
    def socket_url(self) -> str:
        """The base of its WebSockets' URLs."""
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{self.prefix}"

    @property
    def endpoint(self) -> str:
        """`host:port`, with brackets around IPv6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(url: str) -> Address:
    """The address in a base URL. Raises ValueError, which says in one line what was expected and what came.

    No user, password, query or fragment: none of them belongs to a base URL, and a password in one is never repeated.
    """
    try:
        parts = urlsplit(url)
        host, port = _host(parts.hostname or "", bracketed="[" in parts.netloc), parts.port
    except ValueError as error:
        # What urllib says may repeat the netloc, and with it a password.
        detail = "" if "@" in url else f" ({error})"
        raise ValueError(f"{_EXPECTED}, got {_shown(url)}{detail}") from None
    why = ""
    if not url.isprintable() or " " in url or "\\" in url:
        why = "a space or another character that no URL has"
    elif parts.scheme not in _PORTS:
        why = "another scheme than http and https" if parts.scheme and "://" in url else "no scheme"
    elif "@" in parts.netloc:
        why = "a user or a password"
    elif not host:
        why = "no host"
    elif port == 0:
        why = "the port 0"
    elif "?" in url or "#" in url:
        why = "a query or a fragment"
    if why:
        raise ValueError(f"{_EXPECTED}, got {_shown(url)} (it has {why})")
    prefix = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
    return Address(parts.scheme == "https", host, port or _PORTS[parts.scheme], prefix)


def _host(name: str, *, bracketed: bool) -> str:
    """The host as resolvers take it. Raises ValueError."""
    if bracketed:
        ipaddress.IPv6Address(name)
        return name
    host = name if name.isascii() else name.encode("idna").decode()
    if host and not _NAME.fullmatch(host):
        raise ValueError("not the name of a host")
    return host


def _shown(url: str) -> str:
    """The URL for an error, without what stands before an @: it may be a password."""
    start, at, end = url.rpartition("@")
    if at:
        scheme, slashes, _ = start.partition("://")
        url = f"{scheme}{slashes}…@{end}" if slashes else f"…@{end}"
    return repr(url if len(url) <= 200 else url[:199] + "…")
