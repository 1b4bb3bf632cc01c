"""The address of a chat, read once: whatever takes a URL takes and refuses the same, and says it in one line.

Used by `chatswarm check` and `run`, `--toxiproxy`, `--pages`, the pytest plugin, Locust's `--host` and its page.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

_EXPECTED = "expected a URL such as http://127.0.0.1:8000 or https://chat.example.com/path"
_PORTS = {"http": 80, "https": 443}
_BRACKETS = re.compile(r"([^@]*@)?\[[^\[\]]*\](:[^\[\]]*)?")
_ZONE = re.compile(r"[A-Za-z0-9._~-]+")
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a chat is. `prefix` is the path before all others, percent-encoded and without a slash at its end."""

    secure: bool
    host: str  # as a resolver takes it: an IPv6 address has no brackets, and its zone follows a bare %
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
        return f"{self._scheme}://{self.authority}"

    @property
    def url(self) -> str:
        """The base URL, always written the same way. It parses to this address again."""
        _, zoned, zone = self.host.partition("%")
        authority = self.authority.replace("]", f"%25{zone}]") if zoned else self.authority
        return f"{self._scheme}://{authority}{self.prefix}"

    @property
    def socket_url(self) -> str:
        """The base of its WebSockets' URLs."""
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{self.prefix}"

    @property
    def endpoint(self) -> str:
        """`host:port`, with brackets around IPv6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def _scheme(self) -> str:
        return "https" if self.secure else "http"


def parse_address(url: str) -> Address:
    """The address in a base URL. Raises ValueError, which says in one line what was expected and what came.

    No user, password, query or fragment: none of them belongs to a base URL, and a password in one is never repeated.
    """
    try:
        parts = urlsplit(url)
        host, port = _host(parts), parts.port
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


def _host(parts: SplitResult) -> str:
    """The host as resolvers take it. Raises ValueError."""
    name = parts.hostname or ""
    if "[" in parts.netloc:
        if not _BRACKETS.fullmatch(parts.netloc):
            raise ValueError("something beside the brackets")
        number, zoned, zone = name.partition("%")
        if zoned:
            # In a URL the % is written %25; people also paste what `ip addr` and `ping` take.
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
    """The URL for an error, without what stands before an @: it may be a password."""
    start, at, end = url.rpartition("@")
    if at:
        scheme, slashes, _ = start.partition("://")
        url = f"{scheme}{slashes}…@{end}" if slashes else f"…@{end}"
    return repr(url if len(url) <= 200 else url[:199] + "…")
