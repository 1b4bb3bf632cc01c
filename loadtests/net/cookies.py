"""A user's cookies, kept and sent by Chrome's rules. No I/O.

The standard library's `http.cookiejar` differs from browsers where chats are tested: it sends a host's own cookies to
its subdomains, refuses `Secure` ones and `Domain=localhost` on a loopback address, and misses deletions.
"""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from .address import is_loopback

_MOST = 180  # cookies of one domain
_LONGEST = 4096  # bytes of name and value
_LONGEST_ATTRIBUTE = 1024  # bytes; a longer one is ignored
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BLANK = " \t"
_SECONDS = re.compile(r"-?[0-9]+")
_FOREVER = float("inf")
_IP = re.compile(r"[0-9.]+|.*:.*")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE_PARTS = re.compile(r"[^\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?!\d)")
_DAY = re.compile(r"(\d{1,2})(?!\d)")
_YEAR = re.compile(r"(\d{2,4})(?!\d)")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a response came from, or a request goes to."""

    secure: bool  # over TLS, or to this machine, which browsers trust alike
    host: str
    path: str


@dataclass(frozen=True, slots=True)
class _Cookie:
    name: str
    value: str
    domain: str  # of the host that set it if `host_only`
    host_only: bool
    path: str
    secure: bool
    expires: float  # seconds since 1970

    @property
    def key(self) -> tuple[str, str, bool, str]:
        """What a cookie that replaces this one has in common with it."""
        return self.name, self.domain, self.host_only, self.path

    def goes_to(self, place: _Place) -> bool:
        if self.secure and not place.secure:
            return False
        same = place.host == self.domain
        if not same and (self.host_only or not _is_below(place.host, self.domain)):
            return False
        return _path_matches(place.path, self.path)


class CookieJar:
    """The cookies of one user, by the rules of Chrome for a page of the target itself.

    Ports do not separate cookies, as in browsers. There is no list of public suffixes: a domain without a dot is
    refused for others than that host, and `Domain=co.uk` is not.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """`now`: the time in seconds since 1970."""
        self._now = now
        self._cookies: dict[tuple[str, str, bool, str], _Cookie] = {}

    def store(self, url: str, headers: Iterable[tuple[str, str]]) -> None:
        """Takes the `Set-Cookie` fields of a response from `url` (http, https, ws or wss). Raises nothing.

        `headers`: pairs of a lower-case name and a value; other fields are ignored.
        """
        lines = [value for name, value in headers if name == "set-cookie"]
        if not lines:
            return
        place, now = _place(url), self._now()
        for line in lines:
            cookie = _parsed(line, place, now)
            if cookie is None or (not place.secure and self._hides_a_secure_one(cookie)):
                continue
            known = self._cookies.get(cookie.key)
            if cookie.expires <= now:
                self._cookies.pop(cookie.key, None)
                continue
            if known is not None and known.value != cookie.value:
                del self._cookies[cookie.key]  # a new value goes to the end
            self._cookies[cookie.key] = cookie
            self._drop_the_oldest_of(cookie.domain)

    def header(self, url: str) -> str:
        """The value of the `Cookie` header of a request to `url` (http, https, ws or wss); empty if there is none."""
        return "; ".join(f"{each.name}={each.value}" if each.name else each.value for each in self._for(url))

    def __len__(self) -> int:
        return len(self._cookies)

    def values(self) -> list[str]:
        """The values of all cookies, which may be secrets."""
        return [each.value for each in self._cookies.values()]

    def value(self, url: str, name: str) -> str | None:
        """The value of the first cookie of that name that a request to `url` has; None if there is none."""
        return next((each.value for each in self._for(url) if each.name == name), None)

    def _for(self, url: str) -> list[_Cookie]:
        if not self._cookies:
            return []
        place, now = _place(url), self._now()
        found = [each for each in self._cookies.values() if each.expires > now and each.goes_to(place)]
        return sorted(found, key=lambda each: -len(each.path)) if len(found) > 1 else found

    def _hides_a_secure_one(self, new: _Cookie) -> bool:
        """Whether a cookie that came over a connection anybody can read would replace or hide one that did not."""
        for known in self._cookies.values():
            if known.secure and known.name == new.name and _path_matches(new.path, known.path):
                one, other = known.domain, new.domain
                if one == other or _is_below(one, other) or _is_below(other, one):
                    return True
        return False

    def _drop_the_oldest_of(self, domain: str) -> None:
        if len(self._cookies) > _MOST:
            keys = [key for key, each in self._cookies.items() if each.domain == domain]
            for key in keys[:-_MOST]:
                del self._cookies[key]


def _place(url: str) -> _Place:
    parts = urlsplit(url)
    host = (parts.hostname or "").partition("%")[0]
    local = is_loopback(host) or host.endswith(".localhost")
    return _Place(local or parts.scheme in ("https", "wss"), host, parts.path or "/")


def _is_below(host: str, domain: str) -> bool:
    """Whether `host` is a subdomain of `domain`."""
    return host.endswith(f".{domain}") and not _IP.fullmatch(host)


def _path_matches(path: str, of_cookie: str) -> bool:
    return path.startswith(of_cookie) and (
        len(path) == len(of_cookie) or of_cookie.endswith("/") or path[len(of_cookie)] == "/"
    )


def _parsed(line: str, place: _Place, now: float) -> _Cookie | None:
    """The cookie in a `Set-Cookie` field; None if a browser would refuse it."""
    if _CONTROL.search(line):
        return None
    pair, *rest = line.split(";")
    name, equals, value = pair.partition("=")
    if not equals:
        name, value = "", pair
    name, value = name.strip(_BLANK), value.strip(_BLANK)
    if not (name or value) or len((name + value).encode(errors="replace")) > _LONGEST:
        return None
    attributes: dict[str, str] = {}  # of repeated ones, the last counts
    for attribute in rest:
        key, _, setting = attribute.partition("=")
        setting = setting.strip(_BLANK)
        if len(setting.encode(errors="replace")) <= _LONGEST_ATTRIBUTE:
            attributes[key.strip(_BLANK).lower()] = setting
    domain = _domain(attributes.get("domain", ""), place.host)
    if domain is None:
        return None
    path = attributes.get("path", "")
    if not path.startswith("/"):
        path = place.path.rpartition("/")[0] or "/"
    secure = "secure" in attributes
    if secure and not place.secure:
        return None
    if not secure and attributes.get("samesite", "").lower() == "none":
        return None
    cookie = _Cookie(name, value, domain or place.host, not domain, path, secure, _expires(attributes, now))
    return cookie if _keeps_its_prefix(cookie, attributes) else None


def _domain(attribute: str, host: str) -> str | None:
    """The domain whose hosts get the cookie; empty if only `host` does, None if the cookie is refused."""
    domain = attribute.removeprefix(".").lower()
    if not domain:
        return ""
    if domain == host:
        # Numbers have no subdomains.
        return "" if _IP.fullmatch(host) or "." not in domain else domain
    return domain if "." in domain and _is_below(host, domain) else None


def _expires(attributes: dict[str, str], now: float) -> float:
    """When a cookie ends, in seconds since 1970. Sessions never end here."""
    if _SECONDS.fullmatch(age := attributes.get("max-age", "")):
        return now + float(age) if not age.startswith("-") else 0.0
    moment = _date(attributes.get("expires", ""))
    return _FOREVER if moment is None else moment


def _date(text: str) -> float | None:
    """The time in an `Expires`, in seconds since 1970, read as tolerantly as RFC 6265 asks; None if it is no date."""
    clock: re.Match[str] | None = None
    day = month = year = None
    for part in _DATE_PARTS.findall(text):
        if clock is None and (found := _TIME.match(part)):
            clock = found
        elif day is None and (found := _DAY.match(part)):
            day = int(found[1])
        elif month is None and part[:3].lower() in _MONTHS:
            month = 1 + _MONTHS.index(part[:3].lower())
        elif year is None and (found := _YEAR.match(part)):
            year = int(found[1])
    if clock is None or day is None or month is None or year is None:
        return None
    year += 1900 if 70 <= year <= 99 else 2000 if year < 70 else 0
    try:
        return datetime(year, month, day, int(clock[1]), int(clock[2]), int(clock[3]), tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _keeps_its_prefix(cookie: _Cookie, attributes: dict[str, str]) -> bool:
    """Whether a name with a prefix keeps what the prefix promises."""
    name = (cookie.name or cookie.value).lower()
    if not name.startswith(("__host-", "__secure-")):
        return True
    if not cookie.name or not cookie.secure:
        return False
    return name.startswith("__secure-") or (
        cookie.host_only and not attributes.get("domain") and attributes.get("path") == "/"
    )
