"""Encodes requests and resolves redirects as a browser does. No I/O.

Nothing that comes from a target or a protocol can smuggle in a second request: paths are encoded, and a header with a
forbidden character is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urljoin, urlsplit

from chatswarm.loadtests.net.address import Address, parse_address
from chatswarm.loadtests.net.encodings import ACCEPTED
from chatswarm.loadtests.protocols.protocol import Request

MOST_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A name of a method, a header or a subprotocol."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HALF = re.compile("[\ud800-\udfff]")  # lone surrogates, which UTF-8 cannot encode
_IN_A_PATH = "/%:@!$&'()*+,;=~?[]|"  # not encoded, as are letters, digits and "_.-"
_SECRET = {"authorization", "cookie", "proxy-authorization"}
_OF_CACHES = {
    "cache-control",
    "pragma",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "range",
}
_OURS = {"connection", "content-length", "transfer-encoding"}  # only the client sets these


class Unsendable(ValueError):
    """A request that must not be sent. The text never contains a header's value, which may be a token."""


class Unfollowable(ValueError):
    """A redirect without a usable address."""


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """One request to one server; `path` includes the prefix and is encoded."""

    address: Address
    method: str
    path: str
    body: bytes | None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it goes."""
        return self.address.origin + self.path

    @property
    def may_ask_again(self) -> bool:
        """Whether it may be sent with the validator of an earlier response, as a browser does for what it has kept."""
        return self.method == "GET" and self.body is None and not _OF_CACHES & {name.lower() for name in self.headers}

    def wire(self, cookies: str = "") -> bytes:
        """The request as bytes, with these `cookies` after those in its headers. Raises Unsendable."""
        if not TOKEN.fullmatch(self.method):
            raise Unsendable(f"expected a method such as GET, got {self.method!r}")
        fields = {"host": f"Host: {self.address.authority}", "user-agent": "User-Agent: chatswarm"}
        if self.method == "GET":
            fields["accept-encoding"] = f"Accept-Encoding: {ACCEPTED}"
        for name, value in with_cookies(self.headers, cookies).items():
            check_header(name, value)
            if name.lower() not in _OURS:
                fields[name.lower()] = f"{name}: {value.strip()}"
        if self.body is not None or self.method not in ("GET", "HEAD"):
            fields["content-length"] = f"Content-Length: {len(self.body or b'')}"
        head = f"{self.method} {self.path} HTTP/1.1\r\n" + "\r\n".join(fields.values()) + "\r\n\r\n"
        return head.encode("utf-8", "replace") + (self.body or b"")


def check_header(name: str, value: str) -> None:
    """Raises Unsendable if this would not be exactly one valid header."""
    if not TOKEN.fullmatch(name):
        raise Unsendable(f"expected the name of a header, got {name!r}")
    if wrong := _CONTROL.search(value):
        raise Unsendable(f"header {name}: expected a value in one line, got the character U+{ord(wrong[0]):04X}")


def with_cookies(headers: Mapping[str, str], cookies: str) -> Mapping[str, str]:
    """The headers with more `cookies`, the value of a Cookie header or empty. The last of equal names counts."""
    if not cookies:
        return headers
    own = [value.strip() for name, value in headers.items() if name.lower() == "cookie"]
    return {**headers, "Cookie": "; ".join([*own, cookies])}


def outgoing(address: Address, request: Request, origin: str | None) -> OutgoingRequest:
    """A request to a target. `origin` is the Origin header's value; None sends none."""
    path = request.path if request.path.startswith("/") else f"/{request.path}"
    headers = request.headers if origin is None else {**request.headers, "Origin": origin}
    return OutgoingRequest(address, request.method, address.prefix + _encoded(path), request.body, headers)


def redirected(request: OutgoingRequest, status: int, location: str) -> OutgoingRequest | None:
    """The request that follows a redirect; None if the response is no redirect, or a browser would not follow it.

    A GET follows every redirect, another method only a 307 or 308, which repeat it unchanged. Another origin gets no
    credentials. Raises Unfollowable.
    """
    if status not in REDIRECTS or not (request.method in ("GET", "HEAD") or status in (307, 308)):
        return None
    try:
        url = urljoin(request.address.origin + request.path, location.strip())
        parts = urlsplit(url)
        there = parse_address(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    except ValueError as error:
        raise Unfollowable("no address to go to") from error
    headers = request.headers
    if there.origin == request.address.origin:
        there = request.address
    else:
        headers = {name: value for name, value in headers.items() if name.lower() not in {"host", *_SECRET}}
    path = _encoded(parts.path or "/") + (f"?{_encoded(parts.query)}" if parts.query else "")
    return OutgoingRequest(there, request.method, path, request.body, headers)


def _encoded(path: str) -> str:
    """The path as a request line needs it: ASCII only, without spaces, control characters or a fragment."""
    return quote(_HALF.sub("\ufffd", path), safe=_IN_A_PATH)
