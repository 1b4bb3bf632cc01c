"""A client of Toxiproxy's HTTP API: it drives our own fault proxy, and a real Toxiproxy by the same calls."""

import ipaddress
import json
import os
import re
import socket
import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit

from chatswarm.loadtests.net.address import Address, parse_address
from chatswarm.loadtests.net.dialing import Dialer, DialError, Place, left, proxy_note, request_target
from chatswarm.loadtests.net.responses import Reader, read_body, read_head
from chatswarm.loadtests.system.text import one_line

from .error import FaultError

_TIMEOUT = 5.0
_MOST = 16 << 20  # bytes of an answer
_PORT = 8474


@dataclass(frozen=True, slots=True)
class ProxyLag:
    """How well the proxy's process kept up: when its loop woke and how late, its CPU over the span before `time`."""

    samples: list[tuple[float, float]]
    time: float
    cpu: float


class Toxiproxy:
    """The API at a URL. Every call raises FaultError if it is not answered as it should be. Threads may share it."""

    def __init__(self, url: str) -> None:
        """`url`: a base URL as for a target, with https and a path too. Without a port, http means 8474; https means
        443, because what speaks TLS stands before a Toxiproxy.
        """
        address = _address(url)
        self.url = address.url
        self._dialer = Dialer(address)
        self._place: Place | None = None
        self._addresses: dict[str, tuple[str, int]] = {}  # where proxies listen
        version = self._call("GET", "/version")
        # Older ones answer in plain text.
        self.version = str(version["version"] if isinstance(version, dict) else version).strip()
        if not re.match(r"v?\d+\.", self.version):
            raise FaultError(f"{self.url}/version: expected Toxiproxy's version, got {self.version[:60]!r}")
        self.has_evidence = self.version.endswith("+chatswarm")

    def create(self, name: str, upstream: str) -> tuple[str, int]:
        """A proxy to `upstream` (host:port). Returns where it listens."""
        assert self._place is not None, "its version was asked for"
        host = self._place.shown
        number = ipaddress.ip_address(host)
        listen = str(number) if number.is_loopback else "0.0.0.0" if number.version == 4 else "::"
        listen = f"[{listen}]:0" if number.version == 6 else f"{listen}:0"
        made = self._call("POST", "/proxies", {"name": name, "listen": listen, "upstream": upstream})
        address = host, int(str(made["listen"]).rpartition(":")[2])
        self._addresses[name] = address
        return address

    def enable(self, name: str, enabled: bool) -> None:
        """Takes it down, which cuts and refuses connections, or up again."""
        self._call("POST", self._path(name), {"enabled": enabled})

    def add(self, proxy: str, toxic: str, kind: str, stream: str, toxicity: float, values: dict[str, int]) -> None:
        """Applies a toxic to the proxy's connections, open ones as well."""
        body = {"name": toxic, "type": kind, "stream": stream, "toxicity": toxicity, "attributes": values}
        self._call("POST", f"{self._path(proxy)}/toxics", body)

    def remove(self, proxy: str, toxic: str) -> None:
        self._call("DELETE", f"{self._path(proxy)}/toxics/{quote(toxic, safe='')}")

    def toxics(self, proxy: str) -> list[str]:
        """The names of the toxics that a proxy has now."""
        return [toxic["name"] for toxic in self._call("GET", f"{self._path(proxy)}/toxics")]

    def refuses(self, proxy: str) -> bool:
        """Whether nobody listens where it did."""
        try:
            socket.create_connection(self._addresses[proxy], _TIMEOUT).close()
        except OSError:
            return True
        return False

    def evidence(self, proxy: str) -> dict[str, Any]:
        """What it and its toxics have done, counted. Only our own proxy tells."""
        return dict(self._call("GET", f"{self._path(proxy)}/evidence"))

    def lag(self) -> ProxyLag:
        """Since the last call. Only our own proxy tells."""
        found = self._call("GET", "/lag")
        return ProxyLag([(time, lag) for time, lag in found["samples"]], found["time"], found["cpu"])

    def proxy_url(self, proxy: str) -> str:
        """Where a proxy is to be deleted. Where the name has several addresses, at the one that it was made at."""
        address = self._dialer.address
        if not address.secure and self._place is not None and len(self._dialer.places(time.monotonic(), 0)) > 1:
            address = replace(address, host=self._place.shown)
        return address.url + self._path(proxy)

    @staticmethod
    def _path(proxy: str) -> str:
        return f"/proxies/{quote(proxy, safe='')}"

    def _call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - as JSON has it
        deadline = time.monotonic() + _TIMEOUT
        try:
            status, data = self._ask(method, path, b"" if body is None else json.dumps(body).encode(), deadline)
        except (DialError, OSError, ValueError) as error:
            got = one_line(str(error)) or type(error).__name__
            note = proxy_note(self._dialer.address.secure, os.environ) if isinstance(error, DialError) else ""
            raise FaultError(f"{self.url}{path}: expected Toxiproxy's API, got {got}{note}") from error
        if not 200 <= status < 300:
            said = one_line(data[:300].decode(errors="replace"))
            raise FaultError(f"{self.url}{path}: expected a 2xx for {method}, got {status}: {said}")
        try:
            return json.loads(data) if data else None
        except (ValueError, RecursionError):
            return data.decode(errors="replace")

    def _ask(self, method: str, path: str, body: bytes, deadline: float) -> tuple[int, bytes]:
        address = self._dialer.address
        # Toxiproxy refuses what looks like a browser.
        head = (
            f"{method} {request_target(address, path)} HTTP/1.1\r\nHost: {address.authority}\r\n"
            f"User-Agent: chatswarm\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        with self._connected(deadline) as sock:
            sock.settimeout(left(deadline))
            sock.sendall(head.encode() + body)
            reader = Reader(sock, deadline)
            answer = read_head(reader)
            return answer.status, read_body(reader, answer, _MOST)

    def _connected(self, deadline: float) -> socket.socket:
        """A connection to always the same of its name's addresses: each may be a Toxiproxy with proxies of its own."""
        if self._place is not None:
            return self._dialer.encrypted(self._dialer.connected(self._place, deadline), deadline)
        sock = self._dialer.open(deadline)
        peer = sock.getpeername()[0]
        self._place = next(place for place in self._dialer.places(deadline, 0) if place.address[0] == peer)
        return sock


def _address(url: str) -> Address:
    try:
        address = parse_address(url)
    except ValueError as error:
        got = str(error).partition(", got ")[2]
        raise FaultError(f"expected the URL of Toxiproxy's API, such as http://127.0.0.1:8474, got {got}") from None
    without = not address.secure and urlsplit(url).port is None
    return replace(address, port=_PORT) if without else address
