"""The parser and printer of addresses: base URLs, origins, Host headers, and `host:port` with IPv6 brackets.

Everything that takes a URL uses it, so that all accept and refuse the same: `chatswarm check` and `run`, `--toxiproxy`,
`--pages`, the pytest plugin, Locust's `--host` and its page.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

_EXPECTED = "expected a URL such as http://127.0.0.1:8000 or https://chat.example.com/path"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_BRACKETS = re.compile(r"([^@]*@)?\[[^\[\]]*\](:[^\[\]]*)?")
_ZONE = re.compile(r"[A-Za-z0-9._~-]+")
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a chat is. `prefix` is the path of its base URL, percent-encoded, without a trailing slash."""

    secure: bool
    host: str  # as resolvers take it: an IPv6 address without brackets, its zone after a plain %
    port: int
    prefix: str = ""

    @property
    def authority(self) -> str:
        """For the Host header: IPv6 in brackets and without its zone, and no port if it is the scheme's default."""
        host = self.host.partition("%")[0]
        return _bracketed(host) if self.port == _DEFAULT_PORTS[self._scheme] else join_host_port(host, self.port)

    @property
    def origin(self) -> str:
        """Scheme and authority: the Origin that a browser sends for the chat's own pages."""
        return f"{self._scheme}://{self.authority}"

    @property
    def url(self) -> str:
        """The base URL in its one normal form, which parses to this address again."""
        _, zoned, zone = self.host.partition("%")
        authority = self.authority.replace("]", f"%25{zone}]") if zoned else self.authority
        return f"{self._scheme}://{authority}{self.prefix}"

    @property
    def socket_url(self) -> str:
        """The base URL of its WebSockets."""
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{self.prefix}"

    @property
    def endpoint(self) -> str:
        """`host:port`, with IPv6 in brackets."""
        return join_host_port(self.host, self.port)

    @property
    def _scheme(self) -> str:
        return "https" if self.secure else "http"


def parse_address(url: str, *, http_port: int = _DEFAULT_PORTS["http"]) -> Address:
    """Parses a base URL. Raises ValueError, which says in one line what was expected and what came.

    A user, password, query or fragment is an error. The message never repeats a password. `http_port`: the default port
    of http.
    """
    try:
        parts = urlsplit(url)
        host, port = _host(parts), parts.port
    except ValueError as error:
        # urllib's message may repeat the netloc, and a password with it.
        detail = "" if "@" in url else f" ({error})"
        raise ValueError(f"{_EXPECTED}, got {_shown(url)}{detail}") from None
    why = ""
    if not url.isprintable() or " " in url or "\\" in url:
        why = "a space or another character that no URL has"
    elif parts.scheme not in _DEFAULT_PORTS:
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
    secure = parts.scheme == "https"
    return Address(secure, host, port or (_DEFAULT_PORTS["https"] if secure else http_port), prefix)


def join_host_port(host: str, port: int) -> str:
    """`host:port`, with IPv6 in brackets."""
    return f"{_bracketed(host)}:{port}"


def split_host_port(text: str) -> tuple[str, int]:
    """The host and port in `host:port`; IPv6 may come with or without brackets. Raises ValueError."""
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether a host is this host as only itself can reach it, by name or number."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _host(parts: SplitResult) -> str:
    """The host as resolvers take it. Raises ValueError."""
    name = parts.hostname or ""
    if "[" in parts.netloc:
        if not _BRACKETS.fullmatch(parts.netloc):
            raise ValueError("something beside the brackets")
        number, zoned, zone = name.partition("%")
        if zoned:
            # A URL writes the % as %25; people also paste the form that `ip addr` and `ping` use.
            zone = zone.removeprefix("25") or zone
            if not _ZONE.fullmatch(zone):
                raise ValueError("not the name of an interface")
        ipaddress.IPv6Address(number)
        return number + zoned + zone
    host = name if name.isascii() else name.encode("idna").decode()
    if host and not _NAME.fullmatch(host):
        raise ValueError("not the name of a host")
    return host


def _shown(url: str) -> str:
    """The URL for an error message, without anything before an @: it may be a password."""
    start, at, end = url.rpartition("@")
    if at:
        scheme, slashes, _ = start.partition("://")
        url = f"{scheme}{slashes}…@{end}" if slashes else f"…@{end}"
    return repr(url if len(url) <= 200 else url[:199] + "…")
